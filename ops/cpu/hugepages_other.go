//go:build !linux

package cpu

func wantHugePages([]uint32) {}
