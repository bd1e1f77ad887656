package cpu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// guardedBlocks is a weight of small numbers in blocks, or of float16 if format is none, whose memory ends at a page that cannot
// be touched.
func guardedBlocks(t *testing.T, r *rand.Rand, format backend.BlockFormat, shape ...int) backend.Value {
	t.Helper()
	rows, d := backend.Elements(shape[:len(shape)-1]), shape[len(shape)-1]
	if !format.Valid() {
		data := guarded[backend.F16](t, rows*d, true)
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(fill(data, func() backend.F16 { return backend.ToF16(small(r)) })))
	}
	data := guarded[byte](t, rows*format.RowBytes(d), true)
	smallBlocks(r, format.BlockBytes(), data)
	q, err := backend.NewBlockQuantized(format, shape, data)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// noFormat stands for float16.
const noFormat backend.BlockFormat = -1

// blockBackends are plain Go and the variants with kernels for blocks.
func blockBackends() []backend.Backend {
	list := []backend.Backend{Go{}}
	for _, v := range variantsAndGo(hasFormats) {
		list = append(list, v)
	}
	return list
}

// pin makes the first element of each block of x the greatest whole number that b rounds to and that of each block of w 0. Then the
// scales of x are 1, small whole numbers are rounded to themselves, and sums of products are as exact in whole numbers as in float32.
func pin(b backend.Backend, x *tensor.Dense, w backend.Value) {
	q, ok := w.(*backend.BlockQuantized)
	if !ok {
		return
	}
	layout := inPairs
	if v, ok := b.(simd); ok {
		layout = layoutOf(&v.k.formats.blocks[q.BlockFormat()].rounded)
	}
	for at := 2; at < len(q.Bytes()); at += q.BlockFormat().BlockBytes() {
		if q.BlockFormat() == backend.Q8_0 {
			q.Bytes()[at] = 0
		} else {
			q.Bytes()[at] = q.Bytes()[at]&^15 | 8
		}
	}
	numbers, d := x.Data().([]float32), x.Shape()[1]
	for row := 0; row < len(numbers); row += d {
		for k := 0; k < d; k += backend.BlockElements {
			numbers[row+k] = float32(layout.most)
		}
	}
}

// TestBlockProducts compares the products of every variant with those of plain Go with the unpacked weight, bit by bit: their sums
// are exact. Those of bfloat16 with blocks, which cannot be, are compared in TestRoundedProducts.
func TestBlockProducts(t *testing.T) {
	for _, size := range []struct{ rows, d, n int }{
		{1, 1, 1}, {1, 37, 70}, {2, 64, 33}, {3, 64, 34}, {4, 805, 100}, {5, 32, 1}, {8, 1088, 67}, {16, 1100, 5}, {17, 803, 40}, {43, 97, 300},
	} {
		for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0, noFormat} {
			for _, x := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
				if format != noFormat && x == backend.BFloat16 {
					continue
				}
				r := rand.New(rand.NewPCG(3, 4))
				in, w := guardedTensor(t, r, x, size.rows, size.d), guardedBlocks(t, r, format, size.n, size.d)
				for _, b := range blockBackends() {
					t.Run(fmt.Sprintf("%s/%v/%v/%v", b.Name(), size, format, x.Name()), func(t *testing.T) {
						pin(b, in, w)
						plain := w
						if q, ok := w.(*backend.BlockQuantized); ok {
							var err error
							if plain, err = q.Unpack(); err != nil {
								t.Fatal(err)
							}
						}
						want := tensor.New(tensor.Of(x), tensor.WithShape(size.rows, size.n))
						if err := (Go{}).Linear(want, in, plain); err != nil {
							t.Fatal(err)
						}
						out := guardedTensor(t, r, x, size.rows, size.n)
						if err := b.(backend.Linear).Linear(out, in, w); err != nil {
							t.Fatal(err)
						}
						sameBytes(t, out, want)
					})
				}
			}
		}
	}
}

// stackOf cuts the matrices of a weight in blocks below the given row.
func stackOf(t *testing.T, q *backend.BlockQuantized, row int) *backend.ExpertStack {
	t.Helper()
	e, n, d := q.Shape()[0], q.Shape()[1], q.Shape()[2]
	rowBytes, data := q.BlockFormat().RowBytes(d), q.Bytes()
	blocks := make([][]backend.Value, e)
	for i := range e {
		for _, rows := range [][2]int{{0, row}, {row, n}} {
			part := data[(i*n+rows[0])*rowBytes : (i*n+rows[1])*rowBytes]
			b, err := backend.NewBlockQuantized(q.BlockFormat(), tensor.Shape{rows[1] - rows[0], d}, part)
			if err != nil {
				t.Fatal(err)
			}
			blocks[i] = append(blocks[i], b)
		}
	}
	s, err := backend.StackExperts(blocks)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestBlockStacks multiplies with a weight in blocks and with a stack of its parts.
func TestBlockStacks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const d, n = 100, 70
	plan := planOfCounts([]int{1, 0, 20, 3}, 4, 36)
	in := guardedTensor(t, r, tensor.Float32, plan.Rows, d)
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		w := guardedBlocks(t, r, format, 4, n, d).(*backend.BlockQuantized)
		for _, b := range blockBackends() {
			pin(b, in, w)
			want := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(plan.Rows, n))
			if err := (Go{}).GroupedMatMul(want, in, w, plan); err != nil {
				t.Fatal(err)
			}
			for _, w := range []backend.Value{w, stackOf(t, w, 23)} {
				out := guardedTensor(t, r, tensor.Float32, plan.Rows, n)
				if err := b.(backend.GroupedMatMul).GroupedMatMul(out, in, w, plan); err != nil {
					t.Fatalf("%s, %v, %T: %v", b.Name(), format, w, err)
				}
				sameBytes(t, out, want)
			}
		}
	}
}

// TestMixedStackIsLeftToPlainGo multiplies with a stack whose parts are in different formats.
func TestMixedStackIsLeftToPlainGo(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a, b := guardedBlocks(t, r, backend.Q8_0, 5, 64), guardedBlocks(t, r, backend.Q4_0, 3, 64)
	c := guardedTensor(t, r, tensor.Float32, 2, 64)
	s, err := backend.StackExperts([][]backend.Value{{a, b, c}})
	if err != nil {
		t.Fatal(err)
	}
	in, plan := guardedTensor(t, r, tensor.Float32, 2, 64), planOfCounts([]int{2}, 1, 2)
	out := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 10))
	if err := goVariant.GroupedMatMul(out, in, s, plan); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("error %v, want %v", err, backend.ErrUnsupported)
	}
	if err := (Go{}).GroupedMatMul(out, in, s, plan); err != nil {
		t.Fatal(err)
	}
	for at, part := range map[int]backend.Value{0: a, 5: b, 8: c} {
		want := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, part.Shape()[0]))
		if err := (Go{}).Linear(want, in, part); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			for j := range part.Shape()[0] {
				if got, want := out.Data().([]float32)[10*i+at+j], want.Data().([]float32)[i*part.Shape()[0]+j]; got != want {
					t.Errorf("element (%d,%d) is %v, want %v", i, at+j, got, want)
				}
			}
		}
	}
}

func TestBlocksAreNotPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, v := range variantsAndGo(hasFormats) {
		for _, format := range []backend.BlockFormat{backend.Q8_0, noFormat} {
			if _, err := v.PackWeight(guardedBlocks(t, r, format, 5, 64)); !errors.Is(err, backend.ErrUnsupported) {
				t.Errorf("%s, %v: error %v, want %v", v.name, format, err, backend.ErrUnsupported)
			}
		}
	}
}

// TestBlockProductsAllocateNothing counts allocations once the pools are warm.
func TestBlockProductsAllocateNothing(t *testing.T) {
	skipWherePoolsForget(t)
	r := rand.New(rand.NewPCG(9, 10))
	plan := planOfCounts([]int{1, 0, 20, 3}, 1, 24)
	x, out := filled(tensor.Float32, 24, 70), filled(tensor.Float32, 24, 96)
	one, outOfOne := filled(tensor.Float32, 1, 70), filled(tensor.Float32, 1, 96)
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0, noFormat} {
		w, matrix := guardedBlocks(t, r, format, 4, 96, 70), guardedBlocks(t, r, format, 96, 70)
		for _, v := range someVariants(t, hasFormats) {
			for name, call := range map[string]func() error{
				"GroupedMatMul":     func() error { return v.GroupedMatMul(out, x, w, plan) },
				"Linear of 24 rows": func() error { return v.Linear(out, x, matrix) },
				"Linear of one row": func() error { return v.Linear(outOfOne, one, matrix) },
			} {
				n := testing.AllocsPerRun(50, func() {
					if err := call(); err != nil {
						t.Fatal(err)
					}
				})
				if n != 0 {
					t.Errorf("%s, %v, %s: %v allocations a run", v.name, format, name, n)
				}
			}
		}
	}
}
