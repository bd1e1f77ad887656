package ops_test

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

type opCase struct {
	name  string // as errors name it, without case and spaces
	in    []backend.Value
	build func(n gorgonia.Nodes) (*gorgonia.Node, error)
}

// opCases are the ops with inputs that they take.
func opCases(t *testing.T) []opCase {
	w := newWorld(t)
	cache := must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, nT+2, nKV, nD))
	q := must[*backend.Quantized](t)(ops.EvalQuantize(w.x))
	return []opCase{
		{"topk", []backend.Value{w.logits}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.TopK(n[0], nK) }},
		{"gates", []backend.Value{w.logits, w.ids}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Gates(n[0], n[1], ops.SoftmaxAll)
		}},
		{"plan", []backend.Value{w.ids}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Plan(n[0], nil, ops.PlanConfig{Experts: nE})
		}},
		{"plan", []backend.Value{w.ids, tensor.New(tensor.Of(tensor.Int32), tensor.WithShape(nE))}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Plan(n[0], n[1], ops.PlanConfig{Experts: nE})
		}},
		{"permute", []backend.Value{w.x, w.plan}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Permute(n[0], n[1]) }},
		{"permute", []backend.Value{q, w.plan}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Permute(n[0], n[1]) }},
		{"groupedmatmul", []backend.Value{w.rows, w.w13, w.plan}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.GroupedMatMul(n[0], n[1], n[2])
		}},
		{"swiglu", []backend.Value{w.gateUp}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.SwiGLU(n[0]) }},
		{"unpermute", []backend.Value{w.rows, w.gates, w.plan}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Unpermute(n[0], n[1], n[2])
		}},
		{"experts", []backend.Value{w.x, w.gates, w.plan, w.w13, w.w2}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Experts(n[0], n[1], n[2], n[3], n[4])
		}},
		{"quantize", []backend.Value{w.x}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Quantize(n[0]) }},
		{"codes", []backend.Value{q}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Codes(n[0]) }},
		{"scales", []backend.Value{q}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Scales(n[0]) }},
		{"linear", []backend.Value{w.x, w.x}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Linear(n[0], n[1]) }},
		{"rmsnorm", []backend.Value{w.x, w.norm}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.RMSNorm(n[0], n[1], 1e-5) }},
		{"rotary", []backend.Value{w.q, w.positions}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Rotary(n[0], n[1], nD, 1e4) }},
		{"attention", []backend.Value{w.q, cache, w.positions}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Attention(n[0], n[1], n[2], ops.AttentionConfig{HeadDim: nD})
		}},
		{"cacheappend", []backend.Value{cache, w.keys, w.values, w.positions}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.CacheAppend(n[0], n[1], n[2], n[3])
		}},
		{"embedding", []backend.Value{w.x, w.positions}, func(n gorgonia.Nodes) (*gorgonia.Node, error) {
			return ops.Embedding(tensor.Float32, n[0], n[1])
		}},
		{"add", []backend.Value{w.x, w.x}, func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Add(n[0], n[1]) }},
	}
}

// misfits are values that no op takes in the place of like.
func misfits(t *testing.T, like backend.Value) map[string]backend.Value {
	shape := like.Shape()
	zeros := func(dt tensor.Dtype, shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
	}
	out := map[string]backend.Value{
		"a scalar":           gorgonia.NewF32(1),
		"strings":            zeros(tensor.String, shape...),
		"plan rows":          zeros(backend.PlanDtype, shape...),
		"sparse":             tensor.CSRFromCoord(tensor.Shape{2, 2}, []int{0, 1}, []int{0, 1}, []float32{1, 2}),
		"five dimensions":    zeros(tensor.Int32, 1, 2, 3, 4, 5),
		"a tensor of no use": &tensor.Dense{},
		"a nil tensor":       (*tensor.Dense)(nil),
		"a nil plan":         (*backend.Plan)(nil),
		"a nil cache":        (*backend.KVCache)(nil),
		"a nil quantized":    (*backend.Quantized)(nil),
		"a nil stack":        (*backend.ExpertStack)(nil),
		"an empty stack":     &backend.ExpertStack{},
		"an empty plan":      &backend.Plan{},
		"an empty cache":     &backend.KVCache{},
		"an empty quantized": &backend.Quantized{},
		"another plan":       must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 0, 0), nil, ops.PlanConfig{Experts: 1})),
	}
	if _, cache := like.(*backend.KVCache); !cache {
		out["a cache"] = must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, shape[0], 1, shape[len(shape)-1]))
	}
	return out
}

// liars change one thing each, so that a value's parts contradict each other.
func liars(t *testing.T, v backend.Value) map[string]backend.Value {
	out := map[string]backend.Value{}
	short := tensor.New(tensor.Of(tensor.Int32), tensor.WithShape(1))
	clone := func(name string) backend.Value {
		c, err := gorgonia.CloneValue(v)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = c
		return c
	}
	switch v.(type) {
	case *backend.Plan:
		for name, change := range map[string]func(p *backend.Plan){
			"R":             func(p *backend.Plan) { p.Rows += 5 },
			"a negative R":  func(p *backend.Plan) { p.Rows = -1 },
			"an absurd R":   func(p *backend.Plan) { p.Rows = math.MaxInt },
			"T":             func(p *backend.Plan) { p.Tokens = -1 },
			"K":             func(p *backend.Plan) { p.Slots = math.MaxInt },
			"E":             func(p *backend.Plan) { p.Experts++ },
			"no SlotRow":    func(p *backend.Plan) { p.SlotRow = nil },
			"no Counts":     func(p *backend.Plan) { p.Counts = nil },
			"a short table": func(p *backend.Plan) { p.RowSlot = short },
			"a float table": func(p *backend.Plan) { p.RowExpert = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(p.Rows)) },
			"a nested plan": func(p *backend.Plan) { inner := *p; p.Offsets = &inner },
		} {
			change(clone(name).(*backend.Plan))
		}
	case *backend.Quantized:
		clone("no scales").(*backend.Quantized).Scales = nil
		clone("short scales").(*backend.Quantized).Scales = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 1))
		clone("int32 scales").(*backend.Quantized).Scales = short
		clone("blocks of no width").(*backend.Quantized).BlockCols = 0
		clone("blocks of negative height").(*backend.Quantized).BlockRows = -1
		clone("narrow blocks").(*backend.Quantized).BlockCols = 4
	case *backend.KVCache:
		clone("no keys").(*backend.KVCache).Keys = nil
		clone("no values").(*backend.KVCache).Values = nil
		clone("capacity").(*backend.KVCache).Capacity = 999
		clone("a negative capacity").(*backend.KVCache).Capacity = -9
		clone("no heads").(*backend.KVCache).KVHeads = 0
		clone("short keys").(*backend.KVCache).Keys = tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, nKV*nD))
	}
	return out
}

// TestMisfitsAreErrors puts a value of every wrong kind into every input of every op. The answer is an error that names the op,
// not a panic that was caught.
func TestMisfitsAreErrors(t *testing.T) {
	for _, c := range opCases(t) {
		for i := range c.in {
			wrong := misfits(t, c.in[i])
			for name, v := range liars(t, c.in[i]) {
				wrong["contradictory: "+name] = v
			}
			n := buildCase(t, c)
			for name, v := range wrong {
				in := append([]backend.Value(nil), c.in...)
				in[i] = v
				out, err := n.Op().Do(in...)
				if err == nil {
					t.Errorf("%s, input %d, %s: taken, gives %v", c.name, i, name, out)
				} else if text := strings.ReplaceAll(strings.ToLower(err.Error()), " ", ""); strings.Contains(text, "panic") || !strings.Contains(text, c.name) {
					t.Errorf("%s, input %d, %s: %v", c.name, i, name, err)
				}
			}
		}
	}
}

// TestHostileRegisters: whatever the register holds, the op gives what it gives without.
func TestHostileRegisters(t *testing.T) {
	for _, c := range opCases(t) {
		n := buildCase(t, c)
		want := must[gorgonia.Value](t)(n.Op().Do(c.in...))
		registers := misfits(t, c.in[0])
		for name, v := range liars(t, want) {
			registers["contradictory: "+name] = v
		}
		for name, v := range registers {
			got, err := n.Op().(gorgonia.UsePreallocDoer).UsePreallocDo(v, c.in...)
			if err != nil {
				t.Errorf("%s, %s: %v", c.name, name, err)
			} else if got == v || !sameBytes(t, got, want) {
				t.Errorf("%s, %s: the register is taken, or changes the result", c.name, name)
			}
		}
	}
}

func buildCase(t *testing.T, c opCase) *gorgonia.Node {
	g := gorgonia.NewGraph()
	var in gorgonia.Nodes
	for i, v := range c.in {
		in = append(in, node(g, string(rune('a'+i)), v))
	}
	return must[*gorgonia.Node](t)(c.build(in))
}

func sameBytes(t *testing.T, a, b backend.Value) bool {
	if x, ok := a.(backend.Composite); ok {
		y := b.(backend.Composite)
		for i, part := range x.Parts() {
			if !sameBytes(t, part, y.Parts()[i]) {
				return false
			}
		}
		return true
	}
	read := must[[]byte](t)
	return a.Shape().Eq(b.Shape()) && bytes.Equal(read(backend.Bytes(a)), read(backend.Bytes(b)))
}

// TestHostileTables: tables of the right shapes that point out of the rows are an error of the stage that follows them.
func TestHostileTables(t *testing.T) {
	w := newWorld(t)
	table := func(change func(p *backend.Plan)) *backend.Plan {
		p := must[any](t)(w.plan.Clone()).(*backend.Plan)
		change(p)
		return p
	}
	permute := func(p *backend.Plan) error { _, err := ops.EvalPermute(w.x, p); return err }
	product := func(p *backend.Plan) error { _, err := ops.EvalGroupedMatMul(w.rows, w.w13, p); return err }
	unpermute := func(p *backend.Plan) error { _, err := ops.EvalUnpermute(w.rows, w.gates, p); return err }
	for name, c := range map[string]struct {
		run    func(p *backend.Plan) error
		change func(p *backend.Plan)
	}{
		"a slot beyond T·K": {permute, func(p *backend.Plan) { int32s(p.RowSlot)[3] = nT * nK }},
		"a negative slot":   {permute, func(p *backend.Plan) { int32s(p.RowSlot)[3] = math.MinInt32 }},
		"negative count":    {product, func(p *backend.Plan) { int32s(p.Counts)[1] = -3 }},
		"a huge count":      {product, func(p *backend.Plan) { int32s(p.Counts)[1] = math.MaxInt32 }},
		"offsets go back":   {product, func(p *backend.Plan) { int32s(p.Offsets)[2] = 0 }},
		"a negative offset": {product, func(p *backend.Plan) { int32s(p.Offsets)[0] = -5 }},
		"a row beyond R":    {unpermute, func(p *backend.Plan) { int32s(p.SlotRow)[0] = int32(p.Rows) }},
		"a very early row":  {unpermute, func(p *backend.Plan) { int32s(p.SlotRow)[0] = math.MinInt32 }},
	} {
		if err := c.run(table(c.change)); !errors.Is(err, backend.ErrIndex) {
			t.Errorf("%s: %v, want ErrIndex", name, err)
		}
	}
}

// TestAbsurdSizesAreRefused: asking for such a table would end the process.
func TestAbsurdSizesAreRefused(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("an int holds no absurd size")
	}
	const absurd = math.MaxInt / 4096
	for _, c := range []ops.PlanConfig{{Experts: absurd}, {Experts: 2, Rows: absurd}, {Experts: 2, Align: absurd}} {
		if p, err := ops.EvalPlan(ids(1, 1, 0), nil, c); !errors.Is(err, backend.ErrParameter) {
			t.Errorf("%+v: %v, %v, want ErrParameter", c, p, err)
		}
	}
}

// TestExactRowsNeedNoBound: any routing of 4096 slots to as many experts would take 2³² rows, this one takes 2²⁰.
func TestExactRowsNeedNoBound(t *testing.T) {
	const n, align = 1 << 12, 1 << 20
	choice := make([]int32, n) // all of expert 0
	c := ops.PlanConfig{Experts: n, Align: align}
	if p, err := ops.EvalPlan(ids(n, 1, choice...), nil, c); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("without R: %v, %v, want ErrParameter", p, err)
	}
	counts := make([]int32, n)
	counts[0] = n
	c.Rows = must[int](t)(backend.RowsForCounts(counts, align))
	p := must[*backend.Plan](t)(ops.EvalPlan(ids(n, 1, choice...), nil, c))
	if last := must[[]int32](t)(backend.Slice[int32](p.SlotRow))[n-1]; p.Rows != align || last != n-1 {
		t.Errorf("R is %d and the last slot's row %d, want %d and %d", p.Rows, last, align, n-1)
	}
}

// TestVastTensorsOfNoElements: a dimension of 0 lets the others be anything. No op takes time or memory by them.
func TestVastTensorsOfNoElements(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("an int holds no vast size")
	}
	const vast = 1 << (strconv.IntSize - 24)
	f := func(shape ...int) *tensor.Dense {
		return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
	}
	none := tensor.New(tensor.Of(tensor.Int32), tensor.WithShape(vast, 0))
	for name, run := range map[string]func() (backend.Value, error){
		"linear":  func() (backend.Value, error) { return ops.EvalLinear(f(vast, 0), f(0, 0)) },
		"swiglu":  func() (backend.Value, error) { return ops.EvalSwiGLU(f(vast, 0)) },
		"rmsnorm": func() (backend.Value, error) { return ops.EvalRMSNorm(f(vast, 0), f(0), 1e-5) },
		"add":     func() (backend.Value, error) { return ops.EvalAdd(f(vast, 0), f(vast, 0)) },
		"gates":   func() (backend.Value, error) { return ops.EvalGates(f(vast, 0), none, ops.SoftmaxAll) },
		"rotary": func() (backend.Value, error) {
			return ops.EvalRotary(f(1, 0), tensor.New(tensor.WithShape(1), tensor.WithBacking([]int32{7})), vast, 1e4)
		},
		"quantize": func() (backend.Value, error) { return ops.EvalQuantize(f(vast, 0)) },
		"blocks":   func() (backend.Value, error) { return ops.QuantizeBlocks(f(vast, 0), ops.Q4_0) },
		"plan":     func() (backend.Value, error) { return ops.EvalPlan(none, nil, ops.PlanConfig{Experts: 3}) },
	} {
		if v, err := run(); err != nil || backend.Elements(v.Shape()) != 0 {
			t.Errorf("%s: %v, %v, want a value of no elements", name, v, err)
		}
	}
	// The size of the output overflows to a small one.
	if v, err := ops.EvalLinear(f(1<<(strconv.IntSize/2), 0), f(1<<(strconv.IntSize/2)+1, 0)); !errors.Is(err, backend.ErrShape) {
		t.Errorf("an output of 2⁶⁴ + 2³² elements: error %v, want ErrShape (%T)", err, v)
	}
}
