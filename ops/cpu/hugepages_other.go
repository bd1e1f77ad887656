//go:build !linux

package cpu

// wantHugePages has nothing to ask for here.
func wantHugePages([]uint32) {}
