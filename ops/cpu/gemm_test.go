package cpu

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestCutRowsCoversRows(t *testing.T) {
	for _, n := range []int{0, 1, tileRows - 1, tileRows, tileRows + 1, 3*tileRows + 2} {
		at, least, most := 5, n, 0
		for _, s := range cutRows(nil, 5, 5+n, 3) {
			if s.row != at || s.matrix != 3 || s.rows < 1 || s.rows > tileRows {
				t.Errorf("%d rows: strip %+v after row %d", n, s, at)
			}
			at += s.rows
			least, most = min(least, s.rows), max(most, s.rows)
		}
		if at != 5+n || most-least > 1 {
			t.Errorf("%d rows: strips of %d to %d rows end at row %d", n, least, most, at)
		}
	}
}

// TestDotsAddInOrder has a sum that is 1 in ascending order only: 2²⁴ swallows the first 1.
func TestDotsAddInOrder(t *testing.T) {
	x := []float32{1, 1, 1, 1}
	w := [group][]float32{
		{0x1p24, 1, -0x1p24, 1}, {1, 0x1p24, 1, -0x1p24}, {2, 0, 0, 0, 100}, {0, 3, 0, 0}, {0, 0, 4, 0}, {0, 0, 0, 5},
	}
	if got, want := dot6(x, &w), [group]float32{1, 0, 2, 3, 4, 5}; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := dot6(nil, &w); got != [group]float32{} {
		t.Errorf("dots of nothing are %v", got)
	}
}

// TestProductOfAllSizes has sizes at and beside the borders of groups, tiles and lengths.
func TestProductOfAllSizes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []struct{ r, d, n int }{
		{0, 7, 5}, {3, 0, 5}, {3, 7, 0}, {1, 1, 1}, {1, 3, 7}, {2, 130, group}, {3, 127, group + 1}, {tileRows, 5, group - 1},
		{tileRows + 1, 3, 127}, {2*tileRows + 3, 17, minCols + 1}, {2, depth - 1, 3}, {3, depth, 130}, {3, depth + 1, 13},
		{5, 2*depth + 3, 7}, {1, 2, maxCols}, {1, 1, 2*maxCols + 5}, {tileRows, 400, 2*minCols + 1},
	} {
		for _, dt := range floatDtypes {
			t.Run(fmt.Sprintf("%v/R=%d,D=%d,N=%d", dt, size.r, size.d, size.n), func(t *testing.T) {
				x, xs := normals(t, rng, dt, size.r, size.d)
				w, ws := normals(t, rng, dt, size.n, size.d)
				out := poisoned(t, dt, size.r, size.n)
				if err := (Go{}).Linear(out, x, w); err != nil {
					t.Fatal(err)
				}
				acc := min(unitOf(dt), unitOf(tensor.Float32))
				for i, got := range floatsIn(t, out) {
					r, c := i/size.n, i%size.n
					want, magnitude := dotOf(xs[r*size.d:(r+1)*size.d], ws[c*size.d:(c+1)*size.d])
					if !near(got, want, magnitude, size.d, acc, dt) {
						t.Fatalf("element (%d,%d) is %v, want %v", r, c, got, want)
					}
				}
			})
		}
	}
}

// TestRowDependsOnNothingElse compares the bits of each row of a product with those of the row on its own, whose tiles are
// others, and with other numbers of workers.
func TestRowDependsOnNothingElse(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	const rows, d, n = tileRows + 9, depth + 70, 2*minCols + 5
	rng := rand.New(rand.NewPCG(3, 4))
	for _, dt := range floatDtypes {
		x, _ := normals(t, rng, dt, rows, d)
		w, _ := normals(t, rng, dt, n, d)
		linear := func(x *tensor.Dense) []byte {
			out := poisoned(t, dt, x.Shape()[0], n)
			if err := (Go{}).Linear(out, x, w); err != nil {
				t.Fatal(err)
			}
			return bytesIn(t, out)
		}
		all := linear(x)
		for _, procs := range []int{1, 3} {
			runtime.GOMAXPROCS(procs)
			if !bytes.Equal(linear(x), all) {
				t.Errorf("%v: other bits for GOMAXPROCS = %d", dt, procs)
			}
		}
		xBytes, width := bytesIn(t, x), d*int(dt.Size())
		for _, r := range []int{0, 1, 37, tileRows, rows - 1} {
			one := poisoned(t, dt, 1, d)
			copyBytes(t, one, xBytes[r*width:(r+1)*width])
			if size := n * int(dt.Size()); !bytes.Equal(linear(one), all[r*size:(r+1)*size]) {
				t.Errorf("%v: row %d on its own has other bits", dt, r)
			}
		}
	}
}

// TestPlainProductsAllocateNothing counts allocations of plain Go's products once the pools are warm, for weights of all kinds but
// FP8 and stacks.
func TestPlainProductsAllocateNothing(t *testing.T) {
	skipWherePoolsForget(t)
	const experts, n, d = 4, 30, 70
	r := rand.New(rand.NewPCG(1, 2))
	plan := planOfCounts([]int{1, 0, 20, 3}, 4, 40)
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64, backend.BFloat16, backend.Float16} {
		x, out := filled(dt, plan.Rows, d), filled(dt, plan.Rows, n)
		none := func(call func() error) {
			t.Helper()
			if got := testing.AllocsPerRun(20, func() {
				if err := call(); err != nil {
					t.Fatal(err)
				}
			}); got != 0 {
				t.Errorf("%v: %v allocations", dt, got)
			}
		}
		for _, w := range []backend.Value{filled(dt, experts, n, d), guardedBlocks(t, r, backend.Q8_0, experts, n, d)} {
			none(func() error { return (Go{}).GroupedMatMul(out, x, w, plan) })
		}
		for _, w := range []backend.Value{filled(dt, n, d), guardedBlocks(t, r, backend.Q4_0, n, d)} {
			none(func() error { return (Go{}).Linear(out, x, w) })
		}
	}
}
