//go:build !amd64 && !arm64

package cpu

// levels are the values of levelVariable.
var levels = []string{"go"}

// machineVariants are the levels of vector instructions that there are kernels for.
func machineVariants() []simd { return nil }
