package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// forBLAS runs a test for the kernels of every variant that the machine has and those in plain Go.
func forBLAS(t *testing.T, test func(t *testing.T, k *kernels)) {
	for _, v := range append(machineVariants(), simd{"cpu/kernels in go", &goKernels, 0}) {
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
	return fmt.Sprintf("trans %v %v, m=%d n=%d k=%d, pads %d %d %d, alpha=%v beta=%v", c.transA, c.transB, c.m, c.n, c.k, c.padA, c.padB, c.padC, c.alpha, c.beta)
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
	before := append([]float32(nil), out.data...)
	if c.beta == 0 {
		for i := range out.data {
			out.data[i] = poison
		}
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
		for s := range c.k {
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
			{97, 33, blockDepth + 1}, {3, 40, 2*blockDepth + 5}, {97, blockCols + 1, 3}, {blockRows + 1, 33, 3},
			{blockRows + 100, blockCols + 31, 2}, {200, taskCols + 7, partSteps + 1}, {5, 2*aloneCols + 3, partSteps + 9},
			{96, 64, 100}, {90, 65, 100}, {1, 5000, 33}, {5000, 1, 33}, {1, 33, 5000}, {33, 1, 5000},
		} {
			for _, beta := range []float32{0, 1, 0.5} {
				for trans := range 4 {
					blasCase{trans&1 > 0, trans&2 > 0, size[0], size[1], size[2], 1, 2, 3, []float32{1, 0.5}[i%2], beta}.check(t, k, r, trans < 2)
				}
			}
		}
	})
}
