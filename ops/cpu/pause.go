//go:build amd64 || arm64

package cpu

// pause tells the CPU that the program waits in a loop, so that it saves power and leaves the core to its other thread.
func pause()
