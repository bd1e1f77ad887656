package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// operandMaker draws an operand of a product, and the numbers it stands for.
type operandMaker struct {
	name string
	unit float64 // of the sums it runs in
	make func(t testing.TB, rng *rand.Rand, shape ...int) (backend.Value, []float64)
}

func denseMaker(dt tensor.Dtype) operandMaker {
	return operandMaker{dt.Name(), min(unitOf(dt), 0x1p-24), func(t testing.TB, rng *rand.Rand, shape ...int) (backend.Value, []float64) {
		return normals(t, rng, dt, shape...)
	}}
}

func quantizedMaker(blockRows, blockCols int) operandMaker {
	return operandMaker{fmt.Sprintf("%dx%d codes", blockRows, blockCols), 0x1p-24, func(t testing.TB, rng *rand.Rand, shape ...int) (backend.Value, []float64) {
		return quantizedNormals(t, rng, blockRows, blockCols, shape...)
	}}
}

// stackMaker stacks two blocks for each expert.
func stackMaker(dt tensor.Dtype) operandMaker {
	return operandMaker{"stack of " + dt.Name(), min(unitOf(dt), 0x1p-24), func(t testing.TB, rng *rand.Rand, shape ...int) (backend.Value, []float64) {
		var all []float64
		blocks := make([][]backend.Value, shape[0])
		for e := range blocks {
			for _, h := range []int{shape[1] / 3, shape[1] - shape[1]/3} {
				block, x := normals(t, rng, dt, h, shape[2])
				blocks[e] = append(blocks[e], block)
				all = append(all, x...)
			}
		}
		s, err := backend.StackExperts(blocks)
		if err != nil {
			t.Fatal(err)
		}
		return s, all
	}}
}

// TestGroupedMatMulOfAllMixtures has a hot expert, experts without rows and padding inside and behind the segments, whose
// rows are NaN.
func TestGroupedMatMulOfAllMixtures(t *testing.T) {
	const d, n, rows = 37, 13, 104
	counts := []int{0, tileRows + 6, 1, 0, 5}
	rng := rand.New(rand.NewPCG(9, 10))
	plan := planOfCounts(counts, 8, rows)
	var xs, ws []operandMaker
	for _, dt := range floatDtypes {
		xs = append(xs, denseMaker(dt))
		ws = append(ws, denseMaker(dt), stackMaker(dt))
	}
	xs = append(xs, quantizedMaker(1, 16), quantizedMaker(1, 128))
	ws = append(ws, quantizedMaker(4, 8), quantizedMaker(128, 128))
	for _, makeX := range xs {
		for _, makeW := range ws {
			for _, dt := range floatDtypes {
				t.Run(fmt.Sprintf("%s by %s to %v", makeX.name, makeW.name, dt), func(t *testing.T) {
					x, xValues := makeX.make(t, rng, rows, d)
					w, wValues := makeW.make(t, rng, len(counts), n, d)
					experts := expertOfRow(t, plan)
					poisonPadding(t, x, experts)
					out := poisoned(t, dt, rows, n)
					if err := (Go{}).GroupedMatMul(out, x, w, plan); err != nil {
						t.Fatal(err)
					}
					for i, got := range floatsIn(t, out) {
						r, c := i/n, i%n
						if experts[r] < 0 {
							if got != 0 {
								t.Fatalf("padding (%d,%d) is %v, want 0", r, c, got)
							}
							continue
						}
						at := (experts[r]*n + c) * d
						want, magnitude := dotOf(xValues[r*d:(r+1)*d], wValues[at:at+d])
						if !near(got, want, magnitude, d+2, min(makeX.unit, makeW.unit), dt) {
							t.Fatalf("element (%d,%d) of expert %d is %v, want %v", r, c, experts[r], got, want)
						}
					}
				})
			}
		}
	}
}

// expertOfRow is the expert of each row of a plan, -1 for padding.
func expertOfRow(t testing.TB, p *backend.Plan) []int {
	t.Helper()
	experts := make([]int, p.Rows)
	for r := range experts {
		experts[r] = -1
	}
	offsets := elementsIn[int32](t, p.Offsets)
	for e, count := range elementsIn[int32](t, p.Counts) {
		for r := offsets[e]; r < offsets[e]+count; r++ {
			experts[r] = e
		}
	}
	return experts
}

// poisonPadding makes the rows of no expert NaN.
func poisonPadding(t testing.TB, x backend.Value, experts []int) {
	t.Helper()
	width := x.Shape()[1]
	for r, e := range experts {
		if e >= 0 {
			continue
		}
		if q, ok := x.(*backend.Quantized); ok {
			elementsIn[backend.F8E4M3](t, q.Codes)[r*width] = 0x7f
			continue
		}
		f, err := floatsOf[float64]("test", "x", x, x.Shape()...)
		if err != nil {
			t.Fatal(err)
		}
		f.write(r*width, []float64{math.NaN()})
	}
}

func TestGroupedMatMulNaNStaysInItsRow(t *testing.T) {
	const d, n, rows = 20, 9, 12
	rng := rand.New(rand.NewPCG(11, 12))
	plan := planOfCounts([]int{5, 7}, 1, rows)
	x, _ := normals(t, rng, tensor.Float32, rows, d)
	w, _ := normals(t, rng, tensor.Float32, 2, n, d)
	elementsIn[float32](t, x)[3*d+19] = float32(math.NaN())
	out := hostTensor[float32](t, []int{rows, n})
	if err := (Go{}).GroupedMatMul(out, x, w, plan); err != nil {
		t.Fatal(err)
	}
	for i, v := range floatsIn(t, out) {
		if math.IsNaN(v) != (i/n == 3) {
			t.Errorf("element (%d,%d) is %v", i/n, i%n, v)
		}
	}
}

func TestGroupedMatMulOfNothing(t *testing.T) {
	for name, c := range map[string]struct {
		counts     []int
		rows, n, d int
	}{
		"no experts, no rows": {nil, 0, 3, 4},
		"no experts":          {nil, 5, 3, 4},
		"no rows":             {[]int{0, 0}, 0, 3, 4},
		"only padding":        {[]int{0, 0}, 70, 3, 4},
		"no columns":          {[]int{2, 3}, 5, 0, 4},
		"no inner dimension":  {[]int{2, 3}, 5, 3, 0},
	} {
		out := poisoned(t, tensor.Float32, c.rows, c.n)
		x, w := poisoned(t, tensor.Float32, c.rows, c.d), hostTensor[float32](t, []int{len(c.counts), c.n, c.d})
		if err := (Go{}).GroupedMatMul(out, x, w, planOfCounts(c.counts, 1, c.rows)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, v := range floatsIn(t, out) {
			if v != 0 {
				t.Fatalf("%s: element %d is %v, want 0", name, i, v)
			}
		}
	}
}

// TestGroupedMatMulOfAnyTables tries tables that are no plan's. Each is either refused or has disjoint segments in order.
func TestGroupedMatMulOfAnyTables(t *testing.T) {
	const rows, d, n, experts = 6, 3, 2, 3
	rng := rand.New(rand.NewPCG(13, 14))
	numbers := []int32{0, 1, 2, 3, 4, 5, 6, 7, -1, math.MinInt32, math.MaxInt32}
	x, xs := normals(t, rng, tensor.Float64, rows, d)
	w, ws := normals(t, rng, tensor.Float64, experts, n, d)
	taken, refused := 0, 0
	for range 20_000 {
		p := planOfCounts(make([]int, experts), 1, rows)
		offsets, counts := elementsIn[int32](t, p.Offsets), elementsIn[int32](t, p.Counts)
		draw := func(table []int32, some int) {
			for i := range table {
				table[i] = numbers[rng.IntN(some)]
			}
		}
		some := 3 + rng.IntN(len(numbers)-2)
		draw(offsets, some)
		draw(counts, min(some, 3+rng.IntN(len(numbers)-2)))
		out := poisoned(t, tensor.Float64, rows, n)
		err := Go{}.GroupedMatMul(out, x, w, p)
		end := int64(0)
		valid := true
		for e, count := range counts {
			lo, hi := int64(offsets[e]), int64(offsets[e])+int64(count)
			valid = valid && count >= 0 && lo >= end && hi <= int64(offsets[e+1]) && hi <= rows
			end = hi
		}
		if !valid {
			refused++
			if !errors.Is(err, backend.ErrIndex) {
				t.Fatalf("offsets %v, counts %v: got error %v, want %v", offsets, counts, err, backend.ErrIndex)
			}
			continue
		}
		taken++
		if err != nil {
			t.Fatalf("offsets %v, counts %v: %v", offsets, counts, err)
		}
		experts := expertOfRow(t, p)
		for i, got := range floatsIn(t, out) {
			want := 0.0
			if e := experts[i/n]; e >= 0 {
				want, _ = dotOf(xs[i/n*d:][:d], ws[(e*n+i%n)*d:][:d])
			}
			if math.Abs(got-want) > 1e-12 {
				t.Fatalf("offsets %v, counts %v: element (%d,%d) is %v, want %v", offsets, counts, i/n, i%n, got, want)
			}
		}
	}
	if taken < 100 || refused < 100 {
		t.Errorf("%d tables were taken and %d refused, want more of each", taken, refused)
	}
}

func TestGroupedMatMulErrors(t *testing.T) {
	plan := planOfCounts([]int{2, 1}, 1, 4)
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	other := *plan
	other.Offsets = hostTensor[int64](t, []int{3})
	short := *plan
	short.Counts = hostTensor[int32](t, []int{1})
	for name, c := range map[string]struct {
		out, rows, w backend.Value
		plan         *backend.Plan
		want         error
	}{
		"no plan":       {f32(4, 3), f32(4, 5), f32(2, 3, 5), nil, backend.ErrValue},
		"no out":        {nil, f32(4, 5), f32(2, 3, 5), plan, backend.ErrValue},
		"no rows":       {f32(4, 3), nil, f32(2, 3, 5), plan, backend.ErrValue},
		"no w":          {f32(4, 3), f32(4, 5), nil, plan, backend.ErrValue},
		"rank of w":     {f32(4, 3), f32(4, 5), f32(3, 5), plan, backend.ErrShape},
		"experts":       {f32(4, 3), f32(4, 5), f32(3, 3, 5), plan, backend.ErrShape},
		"width":         {f32(4, 3), f32(4, 6), f32(2, 3, 5), plan, backend.ErrShape},
		"rows":          {f32(4, 3), f32(5, 5), f32(2, 3, 5), plan, backend.ErrShape},
		"out":           {f32(4, 4), f32(4, 5), f32(2, 3, 5), plan, backend.ErrShape},
		"dtype of out":  {hostTensor[int32](t, []int{4, 3}), f32(4, 5), f32(2, 3, 5), plan, backend.ErrDtype},
		"dtype of rows": {f32(4, 3), hostTensor[int32](t, []int{4, 5}), f32(2, 3, 5), plan, backend.ErrDtype},
		"dtype of w":    {f32(4, 3), f32(4, 5), hostTensor[int32](t, []int{2, 3, 5}), plan, backend.ErrDtype},
		"dtype of plan": {f32(4, 3), f32(4, 5), f32(2, 3, 5), &other, backend.ErrDtype},
		"short plan":    {f32(4, 3), f32(4, 5), f32(2, 3, 5), &short, backend.ErrShape},
		"packed w":      {f32(4, 3), f32(4, 5), alienPacked{hostTensor[float32](t, []int{2, 3, 5})}, plan, backend.ErrUnsupported},
	} {
		if err := (Go{}).GroupedMatMul(c.out, c.rows, c.w, c.plan); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

// TestGroupedMatMulDoesNotAllocatePerRow: a call may allocate for itself and for its strips.
func TestGroupedMatMulDoesNotAllocatePerRow(t *testing.T) {
	rng := rand.New(rand.NewPCG(15, 16))
	const rows, d, n = 3_000, 9, 4
	plan := planOfCounts([]int{1_000, 0, 1_500, 500}, 1, rows)
	for _, dt := range floatDtypes {
		x, _ := normals(t, rng, dt, rows, d)
		w, _ := normals(t, rng, dt, 4, n, d)
		out := poisoned(t, dt, rows, n)
		wantFewAllocations(t, dt, func() error { return Go{}.GroupedMatMul(out, x, w, plan) })
	}
}
