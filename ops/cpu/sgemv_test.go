package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// spread is a vector of n random elements inc apart, all between them poisoned, next to a page that cannot be touched.
func spread(t *testing.T, r *rand.Rand, n, inc int, atEnd bool) []float32 {
	data := guarded[float32](t, (n-1)*max(inc, -inc)+1, atEnd)
	for i := range data {
		if data[i] = poison; i%inc == 0 {
			data[i] = r.Float32()*2 - 1
		}
	}
	return data
}

func checkSgemv(t *testing.T, k *kernels, r *rand.Rand, trans bool, m, n, pad, incX, incY int, alpha, beta float32, atEnd bool) {
	t.Helper()
	outer, inner := m, n
	if trans {
		outer, inner = n, m
	}
	a := operand(t, r, trans, outer, inner, pad, atEnd)
	x, y := spread(t, r, inner, incX, atEnd), spread(t, r, outer, incY, atEnd)
	before := slices.Clone(y)
	if beta == 0 {
		fill(y, func() float32 { return poison })
	}
	if alpha == 0 {
		fill(a.data, func() float32 { return poison })
		fill(x, func() float32 { return poison })
	}
	sgemvOn(k, outer, inner, alpha, a, x, incX, beta, y, incY)
	for at, got := range y {
		if at%incY != 0 {
			if math.Float32bits(got) != math.Float32bits(poison) {
				t.Fatalf("trans %v, m=%d n=%d, incY=%d: wrote %v between elements", trans, m, n, incY, got)
			}
			continue
		}
		i := (at - start(outer, incY)) / incY
		want, size := 0., 0.
		if beta != 0 {
			want = float64(beta) * float64(before[at])
			size = math.Abs(want)
		}
		for s := 0; s < inner && alpha != 0; s++ {
			p := float64(alpha) * float64(a.at(i, s)) * float64(x[start(inner, incX)+s*incX])
			want += p
			size += math.Abs(p)
		}
		if diff := math.Abs(float64(got) - want); !(diff <= 0x1p-24*size*float64(inner+4)) {
			t.Fatalf("trans %v, m=%d n=%d, pad %d, increments %d %d, alpha=%v beta=%v: element %d is %v, want %v",
				trans, m, n, pad, incX, incY, alpha, beta, i, got, want)
		}
	}
}

func TestSgemvRandom(t *testing.T) {
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		increments := []int{1, 1, 2, 3, -1, -2}
		scalars := []float32{0, 1, 1, -1, 0.5}
		for i := range 300 {
			size := func() int { return int(math.Exp(r.Float64() * math.Log(200))) }
			checkSgemv(t, k, r, r.IntN(2) == 0, size(), size(), r.IntN(4), increments[r.IntN(6)], increments[r.IntN(6)],
				scalars[r.IntN(5)], scalars[r.IntN(5)], i%2 == 0)
		}
	})
}

// TestSgemvBlocks has sizes at which matrices are cut.
func TestSgemvBlocks(t *testing.T) {
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, size := range [][2]int{{3, 2*gemvCols + 5}, {2*gemvWork/panelCols + 3, 31}, {50, gemvCols + 1}, {1, 3 * gemvCols}, {3 * gemvCols, 1}} {
			for _, trans := range []bool{false, true} {
				checkSgemv(t, k, r, trans, size[0], size[1], 3, 1, 1, 1, 0.5, trans)
			}
		}
	})
}
