//go:build !unix

package cpu

import "testing"

// guarded is memory of n elements; this system's pages are not protected here, which the tests on unix do.
func guarded[E any](_ *testing.T, n int, _ bool) []E { return make([]E, n) }
