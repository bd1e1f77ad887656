//go:build !amd64

package cpu

// machineVariants are the levels of vector instructions that there are kernels for.
func machineVariants() []simd { return nil }
