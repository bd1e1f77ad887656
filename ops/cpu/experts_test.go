package cpu

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// expertsCase is a call of Experts, its ids by token and slot, −1 for one that is not here.
type expertsCase struct {
	tokens, slots, experts, align, h, f int
	id                                  func(t, k int) int
}

// weightKind is what weights are stored as: a dtype, or a format of blocks if there is one.
type weightKind struct {
	dtype  tensor.Dtype
	format backend.BlockFormat
}

func (k weightKind) String() string {
	if k.format.Valid() {
		return k.format.String()
	}
	return k.dtype.Name()
}

// weightKinds are those that the fused stage takes.
var weightKinds = []weightKind{
	{tensor.Float32, noFormat}, {backend.BFloat16, noFormat}, {backend.Float16, noFormat}, {format: backend.Q8_0}, {format: backend.Q4_0},
}

// isCoded tells whether a kind of weight needs kernels for its format.
func (k weightKind) isCoded() bool { return k.format.Valid() || k.dtype == backend.Float16 }

// operands draws a case's operands from small numbers over 16 in memory that ends at a page that cannot be touched, and
// makes the plan. Gates of slots that are not here are NaN.
func (c expertsCase) operands(t *testing.T, r *rand.Rand, x tensor.Dtype, w weightKind) (in [5]backend.Value) {
	t.Helper()
	rows, err := backend.RowBound(c.tokens, c.slots, c.experts, c.align)
	if err != nil {
		t.Fatal(err)
	}
	p, err := backend.NewPlan(backend.Host, c.tokens, c.slots, c.experts, c.align, rows)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int32
	for i := range c.tokens {
		for k := range c.slots {
			ids = append(ids, int32(c.id(i, k)))
		}
	}
	if err := (Go{}).Plan(p, hostTensor(t, []int{c.tokens, c.slots}, ids...), nil); err != nil {
		t.Fatal(err)
	}
	gates := guarded[float32](t, len(ids), true)
	for i, id := range ids {
		gates[i] = float32(r.NormFloat64())
		if id < 0 {
			gates[i] = float32(math.NaN())
		}
	}
	scaled := func(dt tensor.Dtype, shape ...int) *tensor.Dense {
		v := guardedTensor(t, r, dt, shape...)
		f, err := floatsOf[float32]("test", "operand", v, shape...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range backend.Elements(shape) {
			f.write(i, []float32{f.at(i) / 16})
		}
		return v
	}
	weight := func(shape ...int) backend.Value {
		if w.isCoded() {
			return guardedBlocks(t, r, w.format, shape...)
		}
		return scaled(w.dtype, shape...)
	}
	return [5]backend.Value{
		scaled(x, c.tokens, c.h),
		tensor.New(tensor.WithShape(c.tokens, c.slots), tensor.WithBacking(gates)),
		p,
		weight(c.experts, 2*c.f, c.h),
		weight(c.experts, c.h, c.f),
	}
}

// composed is Experts by its definition, in plain Go.
func composed(t *testing.T, in [5]backend.Value, dt tensor.Dtype) []float64 {
	t.Helper()
	p, w13, w2 := in[2].(*backend.Plan), in[3].Shape(), in[4].Shape()
	zeros := func(shape ...int) *tensor.Dense { return tensor.New(tensor.Of(dt), tensor.WithShape(shape...)) }
	rows, gateUp, hidden := zeros(p.Rows, w13[2]), zeros(p.Rows, w13[1]), zeros(p.Rows, w2[2])
	out, y := zeros(p.Rows, w2[1]), zeros(p.Tokens, w2[1])
	if err := errors.Join(
		Go{}.Permute(rows, in[0], p), Go{}.GroupedMatMul(gateUp, rows, in[3], p), Go{}.SwiGLU(hidden, gateUp),
		Go{}.GroupedMatMul(out, hidden, in[4], p), Go{}.Unpermute(y, out, in[1], p),
	); err != nil {
		t.Fatal(err)
	}
	return floatsIn(t, y)
}

// expertsBackends are the variants that have the kernels of the fused stage and those for a kind of weight; others decline. Weights in
// blocks and float16 are not packed.
func expertsBackends(kind weightKind) []backend.Backend {
	return slices.DeleteFunc(VectorBackends(), func(b backend.Backend) bool {
		k := b.(vectorBackend).kernels()
		_, packs := b.(packing)
		return !hasExperts(k) || kind.isCoded() && (packs || !hasFormats(k))
	})
}

// inGo tells whether a variant's kernels are those in Go, which take long under an emulator and the race detector.
func inGo(b backend.Backend) bool { return strings.HasPrefix(b.Name(), goVariant.name) }

// TestFusedExperts compares the fused stage of every variant with the composition: routings of every kind, sizes that no unit of
// the products divides, padding, NaN where nothing may look.
func TestFusedExperts(t *testing.T) {
	for name, c := range map[string]expertsCase{
		"no slot is here":      {7, 2, 3, 1, 40, 24, func(int, int) int { return -1 }},
		"one token":            {1, 2, 3, 1, 131, 67, func(_, k int) int { return 2 - k }},
		"an expert without":    {40, 2, 4, 1, 96, 64, func(t, k int) int { return []int{0, 2, 3}[(t+k)%3] }},
		"all on one":           {300, 1, 3, 1, 33, 35, func(int, int) int { return 1 }},
		"some not here":        {29, 3, 5, 1, 61, 130, func(t, k int) int { return []int{3, -1, 0, 4, -1, 1, 2}[(t+k)%7] }},
		"padding":              {29, 2, 5, 8, 70, 33, func(t, k int) int { return (t*t + 2*k) % 5 }},
		"padding and not here": {50, 3, 4, 8, 2, 3, func(t, k int) int { return (t+k)%5 - 1 }},
		"uneven":               {160, 2, 5, 1, 45, 67, func(t, k int) int { return []int{0, 0, 0, 0, 1, 0, 2, 0, 1, 0, 3, 0, 4, 0, 0, 0}[(t*2+k)%320/20] }},
		"few rows":             {6, 2, 4, 1, 50, 150, func(t, k int) int { return (2*t + k) % 4 }},
		"wide":                 {9, 2, 2, 1, 515, 1100, func(_, k int) int { return k }},
	} {
		if testing.Short() && c.h*c.f > 1<<12 {
			continue
		}
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
			for _, kind := range weightKinds {
				in := c.operands(t, rand.New(rand.NewPCG(9, 10)), dt, kind)
				want := composed(t, in, dt)
				scale := 0.0
				for _, v := range want {
					scale = max(scale, math.Abs(v))
				}
				bound := 0x1p-18 * scale
				if kind.format.Valid() {
					bound = 0x1p-13 * scale // elements of x and of SwiGLU's result may be rounded by 2⁻¹⁶ of the largest of their block
				}
				if dt == backend.BFloat16 {
					bound = 0x1p-5 * scale
				}
				for _, b := range expertsBackends(kind) {
					if testing.Short() && inGo(b) && kind != weightKinds[1] {
						continue
					}
					t.Run(fmt.Sprintf("%s/%v,%v/%s", name, dt.Name(), kind, b.Name()), func(t *testing.T) {
						for _, w13 := range []backend.Value{in[3], halves(t, in[3])} {
							y := guardedTensor(t, rand.New(rand.NewPCG(1, 1)), dt, c.tokens, c.h)
							if err := b.(backend.Experts).Experts(y, in[0], in[1], in[2].(*backend.Plan), w13, in[4]); err != nil {
								t.Fatal(err)
							}
							for i, got := range floatsIn(t, y) {
								if !(math.Abs(got-want[i]) <= bound) {
									t.Fatalf("w13 as %T: element %d is %v, want %v ± %v", w13, i, got, want[i], bound)
								}
							}
						}
					})
				}
			}
		}
	}
}

// halves is a weight (E,2F,H) as a stack of gates above ups.
func halves(t *testing.T, w backend.Value) *backend.ExpertStack {
	t.Helper()
	half := w.Shape()[1] / 2
	if q, ok := w.(*backend.BlockQuantized); ok {
		return stackOf(t, q, half)
	}
	return inBlocks(t, w.(*tensor.Dense), half)
}

// TestFusedExpertsOfTwoKinds has w13 and w2 of different kinds, so that the two products may have tiles of different heights, and
// more rows than a strip has.
func TestFusedExpertsOfTwoKinds(t *testing.T) {
	c := expertsCase{150, 1, 2, 1, 33, 35, func(int, int) int { return 1 }}
	wide, narrow := weightKinds[0], weightKinds[1]
	for _, kinds := range [][2]weightKind{{wide, narrow}, {narrow, wide}, {weightKinds[3], narrow}, {narrow, weightKinds[3]}} {
		in := c.operands(t, rand.New(rand.NewPCG(19, 20)), backend.BFloat16, kinds[0])
		in[4] = c.operands(t, rand.New(rand.NewPCG(21, 22)), backend.BFloat16, kinds[1])[4]
		want := composed(t, in, backend.BFloat16)
		scale := 0.0
		for _, v := range want {
			scale = max(scale, math.Abs(v))
		}
		coded := kinds[0]
		if kinds[1].isCoded() {
			coded = kinds[1]
		}
		for _, b := range expertsBackends(coded) {
			y := guardedTensor(t, rand.New(rand.NewPCG(1, 1)), backend.BFloat16, c.tokens, c.h)
			if err := b.(backend.Experts).Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
				t.Fatal(err)
			}
			for i, got := range floatsIn(t, y) {
				if !(math.Abs(got-want[i]) <= 0x1p-5*scale) {
					t.Fatalf("%s, %v and %v: element %d is %v, want %v", b.Name(), kinds[0], kinds[1], i, got, want[i])
				}
			}
		}
	}
}

// TestFusedExpertsDoNotDependOnGOMAXPROCS compares the bits that one to eight workers give, for experts of a few rows and of many.
func TestFusedExpertsDoNotDependOnGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	processors := []int{1, 2, 3, 4, 5, 6, 7, 8}
	if testing.Short() {
		processors = []int{1, 3}
	}
	for _, c := range []expertsCase{
		{1, 2, 3, 1, 131, 290, func(_, k int) int { return 2 - k }},
		{70, 2, 4, 8, 160, 96, func(t, k int) int { return []int{0, 0, 2, 0, 3}[(2*t+k)%5] }},
	} {
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
			if testing.Short() && c.tokens > 1 && dt != tensor.Float32 {
				continue
			}
			for _, kind := range weightKinds {
				in := c.operands(t, rand.New(rand.NewPCG(17, 18)), dt, kind)
				for _, b := range expertsBackends(kind) {
					if testing.Short() && inGo(b) {
						continue
					}
					var want []byte
					for _, procs := range processors {
						runtime.GOMAXPROCS(procs)
						y := poisoned(t, dt, c.tokens, c.h)
						if err := b.(backend.Experts).Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
							t.Fatal(err)
						}
						if got := bytesIn(t, y); want == nil {
							want = got
						} else if !bytes.Equal(got, want) {
							t.Errorf("%s, %v, %v, %d tokens: other bits for GOMAXPROCS = %d", b.Name(), dt, kind, c.tokens, procs)
						}
					}
				}
			}
		}
	}
}

// TestFusedExpertsKeepNaNToItsToken: a NaN of one token is in its row of y and in no other, and in none if none of its slots is here.
func TestFusedExpertsKeepNaNToItsToken(t *testing.T) {
	c := expertsCase{20, 2, 3, 8, 37, 41, func(t, k int) int {
		if t == 6 {
			return -1
		}
		return (t + k) % 3
	}}
	for _, kind := range weightKinds {
		in := c.operands(t, rand.New(rand.NewPCG(11, 12)), tensor.Float32, kind)
		x := in[0].(*tensor.Dense).Data().([]float32)
		for _, token := range []int{4, 6} {
			x[token*c.h+5] = float32(math.NaN())
		}
		for _, b := range expertsBackends(kind) {
			y := filled(tensor.Float32, c.tokens, c.h)
			if err := b.(backend.Experts).Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
				t.Fatal(err)
			}
			for i, got := range y.Data().([]float32) {
				if math.IsNaN(float64(got)) != (i/c.h == 4) {
					t.Fatalf("%s, %v: token %d, column %d is %v", b.Name(), kind, i/c.h, i%c.h, got)
				}
				if i/c.h == 6 && got != 0 {
					t.Fatalf("%s, %v: token 6, none of whose slots is here, has %v", b.Name(), kind, got)
				}
			}
		}
	}
}

// TestFusedExpertsDecline holds the stage to what it leaves to the composition.
func TestFusedExpertsDecline(t *testing.T) {
	c := expertsCase{6, 2, 3, 1, 8, 4, func(t, k int) int { return (t + k) % 3 }}
	good := c.operands(t, rand.New(rand.NewPCG(13, 14)), tensor.Float32, weightKinds[0])
	with := func(i int, v backend.Value) [5]backend.Value {
		in := good
		in[i] = v
		return in
	}
	broken := func(breakIt func(p *backend.Plan, slotRow, rowSlot []int32)) [5]backend.Value {
		in := c.operands(t, rand.New(rand.NewPCG(13, 14)), tensor.Float32, weightKinds[0])
		p := in[2].(*backend.Plan)
		breakIt(p, p.SlotRow.Data().([]int32), p.RowSlot.Data().([]int32))
		return in
	}
	padded := func(slot int32) [5]backend.Value {
		c := c
		c.align = 8
		in := c.operands(t, rand.New(rand.NewPCG(13, 14)), tensor.Float32, weightKinds[0])
		in[2].(*backend.Plan).RowSlot.Data().([]int32)[7] = slot
		return in
	}
	s := goVariant
	if err := s.Experts(filled(tensor.Float32, 6, 8), good[0], good[1], good[2].(*backend.Plan), good[3], good[4]); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][5]backend.Value{
		"float64":                with(0, filled(tensor.Float64, 6, 8)),
		"a short x":              with(0, filled(tensor.Float32, 5, 8)),
		"narrow gates":           with(1, filled(tensor.Float32, 6, 1)),
		"gates of float64":       with(1, filled(tensor.Float64, 6, 2)),
		"no gates":               with(1, nil),
		"no plan":                with(2, (*backend.Plan)(nil)),
		"w13 of another width":   with(3, filled(tensor.Float32, 3, 8, 7)),
		"w13 of another height":  with(3, filled(tensor.Float32, 3, 10, 8)),
		"w2 of more experts":     with(4, filled(tensor.Float32, 4, 8, 4)),
		"w2 in two dimensions":   with(4, filled(tensor.Float32, 8, 4)),
		"no w2":                  with(4, nil),
		"a row of no slot":       broken(func(_ *backend.Plan, _, rowSlot []int32) { rowSlot[3] = -1 }),
		"a row beyond the slots": broken(func(_ *backend.Plan, _, rowSlot []int32) { rowSlot[3] = 12 }),
		"a slot beyond the rows": broken(func(_ *backend.Plan, slotRow, _ []int32) { slotRow[3] = 12 }),
		"a slot of another row":  broken(func(_ *backend.Plan, slotRow, _ []int32) { slotRow[3] = slotRow[4] }),
		"a slot of padding": broken(func(p *backend.Plan, _, _ []int32) {
			p.Counts.Data().([]int32)[1]--
		}),
		"a segment beyond the rows": broken(func(p *backend.Plan, _, _ []int32) {
			p.Offsets.Data().([]int32)[3], p.Counts.Data().([]int32)[2] = 100, 90
		}),
		"padding of a slot":        padded(3),
		"padding below all slots":  padded(-2),
		"padding beyond all slots": padded(math.MaxInt32),
		"a short table":            broken(func(p *backend.Plan, _, _ []int32) { p.SlotRow = hostTensor[int32](t, []int{6, 1}) }),
	} {
		y := filled(tensor.Float32, 6, 8)
		before := slices.Clone(y.Data().([]float32))
		if err := s.Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%s: error %v, want %v", name, err, backend.ErrUnsupported)
		}
		if !slices.Equal(y.Data().([]float32), before) {
			t.Errorf("%s: y was written to", name)
		}
	}
}

// TestFusedExpertsAllocateNothing counts allocations once the pools are warm.
func TestFusedExpertsAllocateNothing(t *testing.T) {
	skipWherePoolsForget(t)
	c := expertsCase{24, 2, 4, 8, 64, 96, func(t, k int) int { return (t + k) % 4 }}
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		for _, kind := range weightKinds {
			in := c.operands(t, rand.New(rand.NewPCG(15, 16)), dt, kind)
			p, y := in[2].(*backend.Plan), filled(dt, c.tokens, c.h)
			for _, b := range expertsBackends(kind) {
				if kind.isCoded() && b.(vectorBackend).kernels().formats == &goFormats { // which allocate
					continue
				}
				weights := [][2]backend.Value{{in[3], in[4]}, {halves(t, in[3]), in[4]}}
				v, plain := b.(simd)
				if !plain { // which packs with every call
					v = b.(packing).simd
					packed13, err13 := v.PackWeight(in[3])
					packed2, err2 := v.PackWeight(in[4])
					if err := errors.Join(err13, err2); err != nil {
						t.Fatal(err)
					}
					weights = [][2]backend.Value{{packed13, packed2}}
				}
				for _, w := range weights {
					n := testing.AllocsPerRun(50, func() {
						if err := v.Experts(y, in[0], in[1], p, w[0], w[1]); err != nil {
							t.Fatal(err)
						}
					})
					if n != 0 {
						t.Errorf("%s, %v, %v as %T: %v allocations a run", b.Name(), dt, kind, w[0], n)
					}
				}
			}
		}
	}
}
