//go:build !linux

package hugepages

// Want has nothing to ask for here.
func Want[E any]([]E) {}
