package cpu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// guardedTensor is a tensor of small whole numbers whose memory ends at a page that cannot be touched.
func guardedTensor(t *testing.T, r *rand.Rand, dt tensor.Dtype, shape ...int) *tensor.Dense {
	n := backend.Elements(shape)
	if dt == backend.BFloat16 {
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(
			fill(guarded[backend.BF16](t, n, true), func() backend.BF16 { return backend.ToBF16(small(r)) })))
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(
		fill(guarded[float32](t, n, true), func() float32 { return small(r) })))
}

// TestVectorProducts compares the products of every variant with those of plain Go, bit by bit: their sums are exact. The sizes
// reach beyond each of the units that products are cut into, and none divides one of them.
func TestVectorProducts(t *testing.T) {
	for _, size := range []struct{ rows, d, n int }{
		{1, 1, 1}, {1, 37, 70}, {2, 64, 33}, {2, 805, 130}, {3, 38, 300}, {4, 805, 100}, {5, 37, 1}, {8, 131, 67}, {9, 131, 67}, {15, 803, 40}, {43, 97, 1100}, {150, 805, 66},
	} {
		for _, dts := range []struct{ x, w, out tensor.Dtype }{
			{tensor.Float32, tensor.Float32, tensor.Float32},
			{tensor.Float32, backend.BFloat16, tensor.Float32},
			{backend.BFloat16, tensor.Float32, tensor.Float32},
			{backend.BFloat16, backend.BFloat16, tensor.Float32},
			{backend.BFloat16, backend.BFloat16, backend.BFloat16},
		} {
			if testing.Short() && size.rows*size.d*size.n > 1<<20 {
				continue
			}
			r := rand.New(rand.NewPCG(3, 4))
			x, w := guardedTensor(t, r, dts.x, size.rows, size.d), guardedTensor(t, r, dts.w, size.n, size.d)
			want := tensor.New(tensor.Of(dts.out), tensor.WithShape(size.rows, size.n))
			if err := (Go{}).Linear(want, x, w); err != nil {
				t.Fatal(err)
			}
			for _, b := range VectorBackends() {
				t.Run(fmt.Sprintf("%s/%v/%v,%v,%v", b.Name(), size, dts.x.Name(), dts.w.Name(), dts.out.Name()), func(t *testing.T) {
					out := guardedTensor(t, r, dts.out, size.rows, size.n)
					if err := b.(backend.Linear).Linear(out, x, w); err != nil {
						t.Fatal(err)
					}
					sameBytes(t, out, want)
				})
			}
		}
	}
}

func sameBytes(t *testing.T, got, want backend.Value) {
	t.Helper()
	a, errA := backend.Bytes(got)
	b, errB := backend.Bytes(want)
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if a[i] != b[i] {
			t.Fatalf("element %d differs: got %v, want %v", i/int(want.Dtype().Size()), got, want)
		}
	}
}

// TestStreamsRoundAsTiles multiplies few rows, of numbers whose sums are not exact, with several panels at a time and with one: no bit
// differs.
func TestStreamsRoundAsTiles(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	withoutFew := func(k *kernels) *kernels {
		single := *k
		single.fewF32, single.fewWidened, single.fewDot = nil, nil, nil
		return &single
	}
	for _, v := range append(variantsWith(hasFew), goVariant, simd{"cpu/kernels in go with pairs", &goPairs, 0}) {
		single := withoutFew(v.k)
		if single.pairs != nil {
			single.pairs = withoutFew(single.pairs)
		}
		for rows := 1; v.k.forPairs().streams(rows); rows++ {
			for _, dts := range [][2]tensor.Dtype{{tensor.Float32, tensor.Float32}, {tensor.Float32, backend.BFloat16}, {backend.BFloat16, backend.BFloat16}} {
				t.Run(fmt.Sprintf("%s/%d rows/%v,%v", v.name, rows, dts[0].Name(), dts[1].Name()), func(t *testing.T) {
					d, n := 805, 310 // parts of panels, and panels that are left over
					if testing.Short() {
						d, n = 405, 174
					}
					x, _ := normals(t, r, dts[0], rows, d)
					plain, _ := normals(t, r, dts[1], n, d)
					w, err := v.PackWeight(plain)
					if err != nil {
						t.Fatal(err)
					}
					got, want := guardedTensor(t, r, tensor.Float32, rows, n), poisoned(t, tensor.Float32, rows, n)
					if err := errors.Join(v.Linear(got, x, w), simd{v.name, single, 0}.Linear(want, x, w)); err != nil {
						t.Fatal(err)
					}
					sameBytes(t, got, want)
				})
			}
		}
	}
}

// TestProductsReadNothingBehindPanels multiplies all numbers of rows that tiles are cut from with panels that end at a page that cannot
// be touched.
func TestProductsReadNothingBehindPanels(t *testing.T) {
	productsReadNothingBehindPanels(t, 2*panelCols-3, 46, 1)  // panels that touch
	productsReadNothingBehindPanels(t, 2*panelCols-3, 128, 5) // such with lines between them
}

func productsReadNothingBehindPanels(t *testing.T, n, d, step int) {
	t.Helper()
	r := rand.New(rand.NewPCG(23, 24))
	for _, v := range append(machineVariants(), goVariant, simd{"cpu/kernels in go with pairs", &goPairs, 0}) {
		for rows := 1; rows <= 3*max(v.k.rows, v.k.forPairs().rows); rows += step {
			for _, dts := range [][2]tensor.Dtype{
				{tensor.Float32, tensor.Float32}, {tensor.Float32, backend.BFloat16}, {backend.BFloat16, tensor.Float32}, {backend.BFloat16, backend.BFloat16},
			} {
				x, plain := guardedTensor(t, r, dts[0], rows, d), guardedTensor(t, r, dts[1], n, d)
				w, err := pack(v.k, plain)
				if err != nil {
					t.Fatal(err)
				}
				data := guarded[uint32](t, len(w.data[0]), true)
				copy(data, w.data[0])
				w.data[0] = data
				got, want := poisoned(t, tensor.Float32, rows, n), poisoned(t, tensor.Float32, rows, n)
				if err := errors.Join(v.Linear(got, x, w), Go{}.Linear(want, x, plain)); err != nil {
					t.Fatal(err)
				}
				sameBytes(t, got, want)
			}
		}
	}
}

// TestPackKeepsEveryBit packs and unpacks weights of random bits, whole and in blocks.
func TestPackKeepsEveryBit(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		for _, shape := range []tensor.Shape{{1, 1}, {33, 35}, {3, 70, 131}, {2, 96, 64}, {2, 70, 128}} {
			w := tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
			bits, err := backend.Bytes(w)
			if err != nil {
				t.Fatal(err)
			}
			fill(bits, func() byte { return byte(r.Uint32()) })
			weights := []backend.Value{w}
			if len(shape) == 3 {
				weights = append(weights, inBlocks(t, w, 23))
			}
			for _, w := range weights {
				for _, v := range variantsAndGo(hasAll) {
					t.Run(fmt.Sprintf("%s/%v/%T", v.name, shape, w), func(t *testing.T) {
						p, err := v.PackWeight(w)
						if err != nil {
							t.Fatal(err)
						}
						if !p.Shape().Eq(shape) || p.Dtype() != dt {
							t.Fatalf("packed: %v %v, want %v %v", p.Dtype(), p.Shape(), dt, shape)
						}
						plain, err := p.Unpack()
						if err != nil {
							t.Fatal(err)
						}
						sameBytes(t, plain, weights[0])
					})
				}
			}
		}
	}
}

// inBlocks is a stack of w's matrices, each cut below the given row.
func inBlocks(t *testing.T, w *tensor.Dense, row int) *backend.ExpertStack {
	t.Helper()
	var blocks [][]backend.Value
	for e := range w.Shape()[0] {
		var list []backend.Value
		for _, rows := range []tensor.Slice{tensor.S(0, row), tensor.S(row, w.Shape()[1])} {
			v, err := w.Slice(tensor.S(e), rows)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, v.(*tensor.Dense))
		}
		blocks = append(blocks, list)
	}
	s, err := backend.StackExperts(blocks)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestVectorProductsDecline holds the variants to what they leave to plain Go.
func TestVectorProductsDecline(t *testing.T) {
	f32 := func(shape ...int) *tensor.Dense { return filled(tensor.Float32, shape...) }
	transposed := f32(5, 7)
	if err := transposed.T(); err != nil {
		t.Fatal(err)
	}
	s := goVariant
	for name, c := range map[string]struct{ out, x, w backend.Value }{
		"float64":            {f32(3, 7), filled(tensor.Float64, 3, 5), f32(7, 5)},
		"float16":            {f32(3, 7), filled(backend.Float16, 3, 5), f32(7, 5)},
		"an empty dimension": {f32(3, 7), f32(3, 0), f32(7, 0)},
		"another width":      {f32(3, 7), f32(3, 6), f32(7, 5)},
		"a stack":            {f32(3, 7), f32(3, 5), f32(1, 7, 5)},
		"a transposed view":  {f32(3, 7), f32(3, 5), transposed},
		"no value":           {f32(3, 7), f32(3, 5), nil},
		"a nil pack":         {f32(3, 7), f32(3, 5), (*panels)(nil)},
		"a short output":     {f32(2, 7), f32(3, 5), f32(7, 5)},
	} {
		if err := s.Linear(c.out, c.x, c.w); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: error %v, want %v", name, err, backend.ErrUnsupported)
		}
	}
}

// TestVectorProductsAllocateNothing counts allocations once the pools are warm.
func TestVectorProductsAllocateNothing(t *testing.T) {
	skipWherePoolsForget(t)
	plan := planOfCounts([]int{1, 0, 20, 3}, 1, 24)
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		x, out := filled(dt, 24, 64), filled(dt, 24, 96)
		w := filled(dt, 4, 96, 64)
		for _, v := range variantsAndGo(hasAll) {
			p, err := v.PackWeight(w)
			if err != nil {
				t.Fatal(err)
			}
			one := filled(dt, 96, 64)
			packed, err := v.PackWeight(one)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range []backend.Value{one, packed} {
				for _, rows := range []int{1, 24} {
					x, out := filled(dt, rows, 64), filled(dt, rows, 96)
					n := testing.AllocsPerRun(50, func() {
						if err := v.Linear(out, x, w); err != nil {
							t.Fatal(err)
						}
					})
					if n != 0 {
						t.Errorf("%s, %v, Linear of %d rows with %T: %v allocations a run", v.name, dt, rows, w, n)
					}
				}
			}
			for _, w := range []backend.Value{w, inBlocks(t, w, 40), p} {
				n := testing.AllocsPerRun(50, func() {
					if err := v.GroupedMatMul(out, x, w, plan); err != nil {
						t.Fatal(err)
					}
				})
				if n != 0 {
					t.Errorf("%s, %v, %T: %v allocations a run", v.name, dt, w, n)
				}
			}
		}
	}
}

// TestPackedRowsDoNotDependOnTheirNumber: each row of a product with a packed weight is, to the bit, what it is alone, and the
// variants that multiply float32 agree on it.
func TestPackedRowsDoNotDependOnTheirNumber(t *testing.T) {
	const rows, d, n = 47, 901, 70
	r := rand.New(rand.NewPCG(7, 8))
	normal := func(dt tensor.Dtype, shape ...int) *tensor.Dense {
		v := tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
		f, err := floatsOf[float32]("test", "operand", v, shape...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range backend.Elements(shape) {
			f.write(i, []float32{float32(r.NormFloat64())})
		}
		return v
	}
	for _, dts := range []struct{ x, w tensor.Dtype }{
		{tensor.Float32, tensor.Float32}, {tensor.Float32, backend.BFloat16}, {backend.BFloat16, backend.BFloat16},
	} {
		x, w := normal(dts.x, rows, d), normal(dts.w, n, d)
		var first *tensor.Dense
		for _, v := range someVariants(t, hasAll) {
			p, err := v.PackWeight(w)
			if err != nil {
				t.Fatal(err)
			}
			whole := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(rows, n))
			if err := v.Linear(whole, x, p); err != nil {
				t.Fatal(err)
			}
			for _, some := range []int{1, 2, 4, 5, 13, 30} {
				part := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(some, n))
				if err := v.Linear(part, head(t, x, some), p); err != nil {
					t.Fatal(err)
				}
				sameBytes(t, part, head(t, whole, some))
			}
			if dts.x == tensor.Float32 {
				if first == nil {
					first = whole
				}
				sameBytes(t, whole, first)
			}
		}
	}
}

// head is a copy of the first rows of a matrix.
func head(t *testing.T, m *tensor.Dense, rows int) *tensor.Dense {
	t.Helper()
	top := tensor.New(tensor.Of(m.Dtype()), tensor.WithShape(rows, m.Shape()[1]))
	to, errTo := backend.Bytes(top)
	from, errFrom := backend.Bytes(m)
	if err := errors.Join(errTo, errFrom); err != nil {
		t.Fatal(err)
	}
	copy(to, from)
	return top
}
