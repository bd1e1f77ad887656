package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// forBLAS runs a test for the kernels of every variant that the machine has and those in plain Go.
func forBLAS(t *testing.T, test func(t *testing.T, k *kernels)) {
	for _, v := range variantsAndGo(hasAxpy) {
		t.Run(v.name, func(t *testing.T) { test(t, v.k) })
	}
}

// blasCase is a product with everything that it depends on.
type blasCase struct {
	transA, transB bool
	m, n, k        int
	padA, padB     int // how much more than a row the distance of rows is
	padC           int
	alpha, beta    float32
}

func (c blasCase) String() string {
	return fmt.Sprintf("trans %v %v, m=%d n=%d k=%d, pads %d %d %d, alpha=%v beta=%v",
		c.transA, c.transB, c.m, c.n, c.k, c.padA, c.padB, c.padC, c.alpha, c.beta)
}

// poison fills what no product may read or write.
var poison = math.Float32frombits(0x7fc0dead)

// operand is a matrix op(a) (rows,cols) of random numbers, those between the rows poisoned, next to a page that cannot be touched.
func operand(t *testing.T, r *rand.Rand, trans bool, rows, cols, pad int, atEnd bool) blasMatrix {
	if trans {
		rows, cols = cols, rows
	}
	ld := max(cols, 1) + pad
	data := guarded[float32](t, max(0, (rows-1)*ld+cols), atEnd)
	for i := range data {
		if data[i] = poison; i%ld < cols {
			data[i] = r.Float32()*2 - 1
		}
	}
	return blasMatrix{data, ld, trans}
}

func (m blasMatrix) at(i, j int) float32 {
	if m.trans {
		i, j = j, i
	}
	return m.data[i*m.ld+j]
}

func (c blasCase) check(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
	t.Helper()
	a, b := operand(t, r, c.transA, c.m, c.k, c.padA, atEnd), operand(t, r, c.transB, c.k, c.n, c.padB, atEnd)
	out := operand(t, r, false, c.m, c.n, c.padC, atEnd)
	before := slices.Clone(out.data)
	if c.beta == 0 {
		for i := range out.data {
			out.data[i] = poison
		}
	}
	if c.alpha == 0 {
		fill(a.data, func() float32 { return poison })
		fill(b.data, func() float32 { return poison })
	}
	sgemmOn(k, c.m, c.n, c.k, c.alpha, a, b, c.beta, out)
	for i, got := range out.data {
		row, col := i/out.ld, i%out.ld
		if col >= c.n {
			if math.Float32bits(got) != math.Float32bits(poison) {
				t.Fatalf("%v: wrote %v behind row %d", c, got, row)
			}
			continue
		}
		want, size := 0., 0.
		if c.beta != 0 {
			want = float64(c.beta) * float64(before[i])
			size = math.Abs(want)
		}
		for s := 0; s < c.k && c.alpha != 0; s++ {
			p := float64(c.alpha) * float64(a.at(row, s)) * float64(b.at(s, col))
			want += p
			size += math.Abs(p)
		}
		if diff := math.Abs(float64(got) - want); !(diff <= 0x1p-24*size*float64(c.k+4)) {
			t.Fatalf("%v: element (%d,%d) is %v, want %v", c, row, col, got, want)
		}
	}
}

func randomBLASCase(r *rand.Rand, most int) blasCase {
	size := func() int { return int(math.Exp(r.Float64() * math.Log(float64(most+1)))) }
	scalar := func() float32 { return []float32{0, 1, -1, 0.5, r.Float32()}[r.IntN(5)] }
	return blasCase{r.IntN(2) == 0, r.IntN(2) == 0, size(), size(), size(), r.IntN(3) * 8, r.IntN(4), r.IntN(4), scalar(), scalar()}
}

func TestSgemmRandom(t *testing.T) {
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 300 {
			randomBLASCase(r, 150).check(t, k, r, i%2 == 0)
		}
	})
}

// TestSgemmBlocks has sizes around those at which products are cut.
func TestSgemmBlocks(t *testing.T) {
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(3, 4))
		for i, size := range [][3]int{
			{97, 33, blockSteps + 1}, {3, 40, 2*blockSteps + 5}, {blockRows + 1, 33, 3}, {blockRows + 100, 159, 2},
			{409, 40, blockSteps + 33}, {200, 103, blockSteps + 1}, {5, 259, blockSteps + 9},
			{96, 64, 100}, {90, 65, 100}, {1, 5000, 33}, {5000, 1, 33}, {1, 33, 5000}, {33, 1, 5000},
		} {
			if testing.Short() && size[0]*size[1]*size[2] > 1<<20 {
				continue
			}
			for trans := range 4 {
				alpha, beta := []float32{1, 0.5}[i%2], []float32{0, 1, 0.5}[(i+trans)%3]
				blasCase{trans&1 > 0, trans&2 > 0, size[0], size[1], size[2], 1, 2, 3, alpha, beta}.check(t, k, r, trans < 2)
			}
		}
	})
}

// TestSgemmKeepsBits computes the same with one worker and with several.
func TestSgemmKeepsBits(t *testing.T) {
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, size := range [][3]int{{100, 100, 100}, {30, 300, 100}, {1, 600, 500}} {
			m, n, depth := size[0], size[1], size[2]
			a, b := operand(t, r, false, m, depth, 0, true), operand(t, r, false, depth, n, 0, true)
			var results [2][]float32
			for i := range results {
				results[i] = make([]float32, m*n)
				withWorkers(1+3*i, func() { sgemmOn(k, m, n, depth, 1, a, b, 0, blasMatrix{results[i], n, false}) })
			}
			if !slices.Equal(results[0], results[1]) {
				t.Errorf("(%d,%d,%d): other bits with four workers than with one", m, n, depth)
			}
		}
	})
}

func withWorkers(n int, do func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	do()
}

func TestSgemmAllocatesNothing(t *testing.T) {
	skipWherePoolsForget(t)
	forBLAS(t, func(t *testing.T, k *kernels) {
		r := rand.New(rand.NewPCG(7, 8))
		a, b, c := operand(t, r, true, 100, 100, 0, true), operand(t, r, true, 100, 100, 0, true), operand(t, r, false, 100, 100, 0, true)
		for name, call := range map[string]func(){
			"Sgemm":             func() { sgemmOn(k, 100, 100, 100, 2, a, b, 0, c) },
			"Sgemm of few rows": func() { sgemmOn(k, 5, 100, 100, 2, a, b, 0, c) },
			"Sgemv":             func() { sgemvOn(k, 100, 100, 1, a, b.data, 100, 0, c.data, 100) },
		} {
			if n := testing.AllocsPerRun(20, call); n >= 1 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}

func TestSgemmErrors(t *testing.T) {
	if blasKernels() == nil {
		x := make([]float32, 1)
		if err := Sgemm(false, false, 1, 1, 1, 1, x, 1, x, 1, 0, x, 1); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("without kernels: error %v", err)
		}
		if err := Sgemv(false, 1, 1, 1, x, 1, x, 1, 0, x, 1); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("without kernels: error %v", err)
		}
		return
	}
	const huge = math.MaxInt/2 + 2 // twice that is no int
	x, c := make([]float32, 100), []float32{1, 2, 3, 4, 5, 6}
	for _, bad := range []struct {
		transA, transB         bool
		m, n, k, lda, ldb, ldc int
	}{
		{m: -1, n: 3, k: 4, lda: 4, ldb: 3, ldc: 3}, {m: 2, n: -1, k: 4, lda: 4, ldb: 3, ldc: 3}, {m: 2, n: 3, k: -1, lda: 4, ldb: 3, ldc: 3},
		{m: 2, n: 3, k: 4, lda: 3, ldb: 3, ldc: 3}, {m: 2, n: 3, k: 4, lda: 4, ldb: 2, ldc: 3}, {m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 2},
		{transA: true, m: 2, n: 3, k: 4, lda: 1, ldb: 3, ldc: 3}, {transB: true, m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 3},
		{m: 2, n: 3, k: 4, lda: 97, ldb: 3, ldc: 3}, {m: 2, n: 3, k: 4, lda: 4, ldb: 33, ldc: 3}, {m: 2, n: 3, k: 4, lda: 4, ldb: 3, ldc: 4},
		{m: 3, n: 3, k: 4, lda: huge, ldb: 3, ldc: 3}, {m: 2, n: 3, k: 3, lda: 4, ldb: huge, ldc: 3}, {m: 3, n: 3, k: 4, lda: 4, ldb: 3, ldc: huge},
		{m: huge, n: 3, k: 4, lda: 4, ldb: 3, ldc: 3}, {m: 2, n: 3, k: huge, lda: huge, ldb: 3, ldc: 3}, {m: 0, n: 3, k: 4, lda: 0, ldb: 3, ldc: 3},
	} {
		err := Sgemm(bad.transA, bad.transB, bad.m, bad.n, bad.k, 1, x, bad.lda, x, bad.ldb, 0, c, bad.ldc)
		if !errors.Is(err, backend.ErrShape) || !slices.Equal(c, []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%+v: error %v, c=%v", bad, err, c)
		}
	}
	for _, bad := range []struct {
		trans                 bool
		m, n, lda, incX, incY int
		want                  error
	}{
		{false, -1, 3, 3, 1, 1, backend.ErrShape}, {false, 2, -1, 3, 1, 1, backend.ErrShape}, {false, 2, 3, 2, 1, 1, backend.ErrShape},
		{false, 2, 3, 3, 0, 1, backend.ErrParameter}, {false, 2, 3, 3, 1, 0, backend.ErrParameter}, {false, 2, 3, 98, 1, 1, backend.ErrShape},
		{false, 2, 3, 3, 50, 1, backend.ErrShape}, {false, 2, 3, 3, -50, 1, backend.ErrShape}, {false, 2, 3, 3, 1, 6, backend.ErrShape},
		{true, 3, 2, 2, 1, -6, backend.ErrShape}, {true, 2, 7, 7, 1, 1, backend.ErrShape}, {false, 3, 3, huge, 1, 1, backend.ErrShape},
		{false, 2, 3, 3, huge, 1, backend.ErrShape}, {false, 3, 3, 3, 1, huge, backend.ErrShape}, {false, 3, 3, 3, 1, math.MinInt, backend.ErrShape},
		{false, 0, 3, 2, 1, 1, backend.ErrShape},
	} {
		err := Sgemv(bad.trans, bad.m, bad.n, 1, x, bad.lda, x, bad.incX, 0, c, bad.incY)
		if !errors.Is(err, bad.want) || !slices.Equal(c, []float32{1, 2, 3, 4, 5, 6}) {
			t.Errorf("%+v: error %v, y=%v", bad, err, c)
		}
	}
}
