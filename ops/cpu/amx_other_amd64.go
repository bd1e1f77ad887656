//go:build !linux

package cpu

// mayUseTiles is not known on other systems.
func mayUseTiles() bool { return false }
