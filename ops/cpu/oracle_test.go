package cpu

import (
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// normals is a tensor of normally distributed numbers, and what they are once they are rounded to dt.
func normals(t testing.TB, rng *rand.Rand, dt tensor.Dtype, shape ...int) (*tensor.Dense, []float64) {
	t.Helper()
	x := make([]float64, backend.Elements(shape))
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	d := floatTensor(t, dt, shape, x...)
	return d, floatsIn(t, d)
}

// poisoned is a destination: its elements are NaN.
func poisoned(t testing.TB, dt tensor.Dtype, shape ...int) *tensor.Dense {
	t.Helper()
	x := make([]float64, backend.Elements(shape))
	for i := range x {
		x[i] = math.NaN()
	}
	return floatTensor(t, dt, shape, x...)
}

// unitOf is the relative error of rounding to dt.
func unitOf(dt tensor.Dtype) float64 {
	switch dt {
	case tensor.Float64:
		return 0x1p-53
	case tensor.Float32:
		return 0x1p-24
	case backend.Float16:
		return 0x1p-11
	}
	return 0x1p-8
}

// dotOf is the dot of two vectors and the sum of the magnitudes of its terms.
func dotOf(x, w []float64) (dot, magnitude float64) {
	for k, v := range x {
		dot += v * w[k]
		magnitude += math.Abs(v * w[k])
	}
	return dot, magnitude
}

// near reports whether got is want within the error of a sum of n terms in an accumulator of the unit roundoff acc, whose
// magnitudes sum up to magnitude, and of rounding it to dt.
func near(got, want, magnitude float64, n int, acc float64, dt tensor.Dtype) bool {
	if math.IsNaN(want) || math.IsInf(want, 0) {
		return sameFloats([]float64{got}, []float64{want})
	}
	least := 0x1p-126
	if dt == backend.Float16 {
		least = 0x1p-25
	}
	return math.Abs(got-want) <= 1.1*float64(n+1)*acc*magnitude+1.1*unitOf(dt)*math.Abs(want)+least
}

// copyBytes sets the memory of a tensor.
func copyBytes(t testing.TB, dst backend.Value, src []byte) {
	t.Helper()
	b, err := backend.Bytes(dst)
	if err != nil {
		t.Fatal(err)
	}
	if copy(b, src) != len(src) || len(b) != len(src) {
		t.Fatalf("%d bytes for a tensor of %d", len(src), len(b))
	}
}

// wantFewAllocations fails if a call allocates more than a call and the pieces of its loop may, for a number of rows far
// greater.
func wantFewAllocations(t *testing.T, what any, call func() error) {
	t.Helper()
	skipWherePoolsForget(t)
	allocs := testing.AllocsPerRun(5, func() {
		if err := call(); err != nil {
			t.Error(err)
		}
	})
	if allocs > 40 {
		t.Errorf("%v: %v allocations, want at most 40", what, allocs)
	}
}

// skipWherePoolsForget skips a test that counts allocations if the race detector is on: a sync.Pool then loses much of what it
// is given.
func skipWherePoolsForget(t *testing.T) {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool drop scratch memory at random")
	}
}
