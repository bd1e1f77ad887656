package ops_test

import (
	"math"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Every op gives the same bits in a graph and as a function on values.
func TestEvalEqualsTheGraph(t *testing.T) {
	w := newWorld(t)
	filled := func() *backend.KVCache {
		c := must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, nT, nKV, nD))
		if err := ops.EvalCacheAppend(c, w.keys, w.values, w.positions); err != nil {
			t.Fatal(err)
		}
		return c
	}
	empty := func() *backend.KVCache {
		return must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, nT, nKV, nD))
	}
	q := must[*backend.Quantized](t)(ops.EvalQuantize(w.x))
	window := ops.AttentionConfig{HeadDim: nD, Window: 3}
	for name, c := range map[string]struct {
		in    []backend.Value
		graph func(n gorgonia.Nodes) (*gorgonia.Node, error)
		eval  func() (backend.Value, error)
	}{
		"TopK": {[]backend.Value{w.logits},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.TopK(n[0], nK) },
			func() (backend.Value, error) { return ops.EvalTopK(w.logits, nK) }},
		"Gates": {[]backend.Value{w.logits, w.ids},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Gates(n[0], n[1], ops.SoftmaxAll) },
			func() (backend.Value, error) { return ops.EvalGates(w.logits, w.ids, ops.SoftmaxAll) }},
		"Plan": {[]backend.Value{w.ids},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) {
				return ops.Plan(n[0], nil, ops.PlanConfig{Experts: nE, Align: 8})
			},
			func() (backend.Value, error) { return ops.EvalPlan(w.ids, nil, ops.PlanConfig{Experts: nE, Align: 8}) }},
		"Permute": {[]backend.Value{q, w.plan},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Permute(n[0], n[1]) },
			func() (backend.Value, error) { return ops.EvalPermute(q, w.plan) }},
		"GroupedMatMul": {[]backend.Value{w.rows, w.w13, w.plan},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.GroupedMatMul(n[0], n[1], n[2]) },
			func() (backend.Value, error) { return ops.EvalGroupedMatMul(w.rows, w.w13, w.plan) }},
		"GroupedMatMulTo": {[]backend.Value{w.rows, w.w13, w.plan},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) {
				return ops.GroupedMatMulTo(backend.BFloat16, n[0], n[1], n[2])
			},
			func() (backend.Value, error) {
				return ops.EvalGroupedMatMulTo(backend.BFloat16, w.rows, w.w13, w.plan)
			}},
		"SwiGLU": {[]backend.Value{w.gateUp},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.SwiGLU(n[0]) },
			func() (backend.Value, error) { return ops.EvalSwiGLU(w.gateUp) }},
		"Unpermute": {[]backend.Value{w.rows, w.gates, w.plan},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Unpermute(n[0], n[1], n[2]) },
			func() (backend.Value, error) { return ops.EvalUnpermute(w.rows, w.gates, w.plan) }},
		"Experts": {[]backend.Value{w.x, w.gates, w.plan, w.w13, w.w2},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Experts(n[0], n[1], n[2], n[3], n[4]) },
			func() (backend.Value, error) { return ops.EvalExperts(w.x, w.gates, w.plan, w.w13, w.w2) }},
		"Quantize": {[]backend.Value{w.x},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Quantize(n[0]) },
			func() (backend.Value, error) { return ops.EvalQuantize(w.x) }},
		"QuantizeWeight": {[]backend.Value{w.w13},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.QuantizeWeight(n[0]) },
			func() (backend.Value, error) { return ops.EvalQuantizeWeight(w.w13) }},
		"Linear": {[]backend.Value{w.x, w.x},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Linear(n[0], n[1]) },
			func() (backend.Value, error) { return ops.EvalLinear(w.x, w.x) }},
		"RMSNorm": {[]backend.Value{w.x, w.norm},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.RMSNorm(n[0], n[1], 1e-5) },
			func() (backend.Value, error) { return ops.EvalRMSNorm(w.x, w.norm, 1e-5) }},
		"Rotary": {[]backend.Value{w.q, w.positions},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Rotary(n[0], n[1], nD, 1e4) },
			func() (backend.Value, error) { return ops.EvalRotary(w.q, w.positions, nD, 1e4) }},
		"CacheAppend": {[]backend.Value{empty(), w.keys, w.values, w.positions},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.CacheAppend(n[0], n[1], n[2], n[3]) },
			func() (backend.Value, error) { return filled(), nil }},
		"Attention": {[]backend.Value{w.q, filled(), w.positions},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Attention(n[0], n[1], n[2], window) },
			func() (backend.Value, error) { return ops.EvalAttention(w.q, filled(), w.positions, window) }},
		"Embedding": {[]backend.Value{w.x, w.positions},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Embedding(backend.Float16, n[0], n[1]) },
			func() (backend.Value, error) { return ops.EvalEmbedding(backend.Float16, w.x, w.positions) }},
		"Add": {[]backend.Value{w.x, w.x},
			func(n gorgonia.Nodes) (*gorgonia.Node, error) { return ops.Add(n[0], n[1]) },
			func() (backend.Value, error) { return ops.EvalAdd(w.x, w.x) }},
	} {
		g := gorgonia.NewGraph()
		var in gorgonia.Nodes
		for i, v := range c.in {
			in = append(in, node(g, string(rune('a'+i)), v))
		}
		n := must[*gorgonia.Node](t)(c.graph(in))
		run(t, g)
		got := must[backend.Value](t)(c.eval())
		if got.Dtype() != n.Dtype() || !sameBytes(t, got, n.Value()) {
			t.Errorf("%s: %v as a function, %v in the graph", name, got, n.Value())
		}
	}
}

// FP8 rows with 1×128 scales times FP8 weights with 128×128 scales, in a graph, against the product of the numbers that they
// stand for.
func TestBlockScaledProductInAGraph(t *testing.T) {
	const width, columns = 130, 3
	x, w := matrix(2, width), tensor.New(tensor.WithShape(2, columns, width), tensor.Of(tensor.Float32))
	for i := range w.Data().([]float32) {
		w.Data().([]float32)[i] = float32(i%11) / 8
	}
	n1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	p := n1(ops.Plan(node(g, "ids", ids(2, 1, 1, 0)), nil, ops.PlanConfig{Experts: 2}))
	q, qw := n1(ops.Quantize(node(g, "x", x))), n1(ops.QuantizeWeight(node(g, "w", w)))
	y := n1(ops.GroupedMatMul(n1(ops.Permute(q, p)), qw, p))
	run(t, g)
	if y.Dtype() != tensor.Float32 {
		t.Fatalf("the product is %v, want float32", y.Dtype())
	}
	number := func(v *backend.Quantized, i int) float64 { // one block of scales for each of the two columns of blocks
		row, blocks := i/width, (width+127)/128
		if v.BlockRows > 1 {
			row /= columns
		}
		return float64(v.Codes.Data().([]backend.F8E4M3)[i].Float32()) * float64(f32s(t, v.Scales)[row*blocks+i%width/128])
	}
	qx, qe := q.Value().(*backend.Quantized), qw.Value().(*backend.Quantized)
	for r := range 2 {
		token, expert := 1-r, r
		for c := range columns {
			want := 0.0
			for k := range width {
				want += number(qx, token*width+k) * number(qe, (expert*columns+c)*width+k)
			}
			if got := num(y.Value(), r, c); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("y[%d,%d] = %v, want %v", r, c, got, want)
			}
		}
	}
}
