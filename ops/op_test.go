package ops_test

import (
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/gorgonia/encoding/dot"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
)

// node adds v to g as an input, a tensor with a header of its own: a TapeMachine writes into it.
func node(g *gorgonia.ExprGraph, name string, v gorgonia.Value) *gorgonia.Node {
	if d, ok := v.(*tensor.Dense); ok {
		v = d.ShallowClone()
	}
	return gorgonia.NewUniqueNode(gorgonia.In(g), gorgonia.WithType(gorgonia.TypeOf(v)), gorgonia.WithName(name),
		gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v))
}

// run executes g once on a TapeMachine.
func run(t *testing.T, g *gorgonia.ExprGraph) {
	t.Helper()
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
}

func f32s(t *testing.T, v gorgonia.Value) []float32 {
	t.Helper()
	s, err := backend.Slice[float32](v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func matrix(rows, cols int, data ...float32) *tensor.Dense {
	if data == nil {
		data = make([]float32, rows*cols)
		for i := range data {
			data[i] = float32(i%13) - 6
		}
	}
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
}

func ids(rows, cols int, data ...int32) *tensor.Dense {
	return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
}

// must fails the test on an error of building the graph.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestHyperParametersAreHashed(t *testing.T) {
	node1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	logits := node(g, "logits", matrix(3, 5))
	k1, k2 := node1(ops.TopK(logits, 1)), node1(ops.TopK(logits, 2))
	i := node(g, "ids", ids(3, 2, 0, 1, 1, 2, 3, 4))
	pairs := [][2]*gorgonia.Node{
		{k1, k2},
		{node1(ops.Gates(logits, k2, ops.SoftmaxAll)), node1(ops.Gates(logits, k2, ops.SoftmaxTopK))},
		{node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5})), node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5, Align: 8}))},
		{node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5})), node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 6}))},
		{node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5, Rows: 9})), node1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5, Rows: 10}))},
		{node1(ops.RMSNorm(logits, node(g, "w", tensor.New(tensor.WithShape(5), tensor.Of(tensor.Float32))), 1e-5)),
			node1(ops.RMSNorm(logits, node(g, "w", tensor.New(tensor.WithShape(5), tensor.Of(tensor.Float32))), 1e-6))},
		{node1(ops.Quantize(logits)), node1(ops.QuantizeWeight(logits))},
		{node1(ops.Embedding(tensor.Float32, logits, node(g, "e", tensor.New(tensor.WithShape(2), tensor.Of(tensor.Int32))))),
			node1(ops.Embedding(tensor.Float64, logits, node(g, "e", tensor.New(tensor.WithShape(2), tensor.Of(tensor.Int32)))))},
	}
	for n, p := range pairs {
		if p[0] == p[1] || p[0].Op().Hashcode() == p[1].Op().Hashcode() {
			t.Errorf("pair %d: %v and %v are taken for one op", n, p[0].Op(), p[1].Op())
		}
	}
	if again := node1(ops.TopK(logits, 2)); again != k2 {
		t.Errorf("the same op on the same input is not the same node")
	}
}

// A graph with every op of the data's way; the experts scale by 2 and 3, so that the result can be told in the head.
func TestDataWayInAGraph(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	for _, fused := range []bool{false, true} {
		g := gorgonia.NewGraph()
		x := node(g, "x", matrix(3, 1, 1, 2, 4))
		logits := node(g, "logits", matrix(3, 2, 0, float32(math.Inf(-1)), float32(math.Inf(-1)), 0, 0, 0))
		w13 := node(g, "w13", tensor.New(tensor.WithShape(2, 2, 1), tensor.WithBacking([]float32{40, 1, 40, 1})))
		w2 := node(g, "w2", tensor.New(tensor.WithShape(2, 1, 1), tensor.WithBacking([]float32{2, 3})))
		i := n1(ops.TopK(logits, 2))
		gates := n1(ops.Gates(logits, i, ops.SoftmaxTopK))
		p := n1(ops.Plan(i, nil, ops.PlanConfig{Experts: 2, Align: 4}))
		var y *gorgonia.Node
		if fused {
			y = n1(ops.Experts(x, gates, p, w13, w2))
		} else {
			rows := n1(ops.Permute(x, p))
			h := n1(ops.SwiGLU(n1(ops.GroupedMatMul(rows, w13, p))))
			y = n1(ops.Unpermute(n1(ops.GroupedMatMul(h, w2, p)), gates, p))
		}
		run(t, g)
		// silu(40x)·x = 40x² for x ≥ 1 to within float32.
		want := []float32{2 * 40, 3 * 160, 2.5 * 640}
		got := f32s(t, y.Value())
		for j := range want {
			if math.Abs(float64(got[j]-want[j])) > 1e-4*float64(want[j]) {
				t.Errorf("fused=%v: y = %v, want %v", fused, got, want)
				break
			}
		}
	}
}

func TestRepeatedRunsReadNewInputs(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	data := []float32{1, 5, 3}
	logits := node(g, "logits", matrix(1, 3, data...))
	i := n1(ops.TopK(logits, 1))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	for _, want := range []int32{1, 2} {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if got := must[[]int32](t)(backend.Slice[int32](i.Value())); got[0] != want {
			t.Fatalf("the expert is %d, want %d", got[0], want)
		}
		logits.Value().Data().([]float32)[2] = 9
		m.Reset()
	}
	if err := gorgonia.Let(logits, matrix(1, 3, 7, 0, 0)); err != nil {
		t.Fatal(err)
	}
	m.Reset()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	if got := must[[]int32](t)(backend.Slice[int32](i.Value())); got[0] != 0 {
		t.Fatalf("the expert after Let is %d, want 0", got[0])
	}
}

func TestErrorsOfARunWrapSentinels(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	i := node(g, "ids", ids(2, 2, 0, 1, 7, 0))
	p := n1(ops.Plan(i, nil, ops.PlanConfig{Experts: 3}))
	n1(ops.Permute(node(g, "x", matrix(2, 4)), p))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	err := ops.Cause(m.RunAll())
	var id *backend.ExpertIDError
	if !errors.Is(err, backend.ErrExpertID) || !errors.As(err, &id) {
		t.Fatalf("error %v, want an ExpertIDError", err)
	}
	if id.Token != 1 || id.Slot != 0 || id.ID != 7 || id.Experts != 3 {
		t.Errorf("error names %+v, want token 1, slot 0, id 7 of 3 experts", *id)
	}
}

func TestBadInputsAreErrorsWhenTheGraphIsBuilt(t *testing.T) {
	g := gorgonia.NewGraph()
	x := node(g, "x", matrix(3, 5))
	vec := node(g, "vec", tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32)))
	i32 := node(g, "i32", ids(3, 2, 0, 1, 2, 3, 4, 0))
	pl, err := ops.Plan(i32, nil, ops.PlanConfig{Experts: 5})
	if err != nil {
		t.Fatal(err)
	}
	w := node(g, "w", tensor.New(tensor.WithShape(5, 4, 6), tensor.Of(tensor.Float32)))
	cases := map[string]struct {
		want error
		call func() (*gorgonia.Node, error)
	}{
		"topk of a vector":          {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.TopK(vec, 1) }},
		"topk of int32":             {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.TopK(i32, 1) }},
		"topk k=0":                  {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.TopK(x, 0) }},
		"topk k>E":                  {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.TopK(x, 6) }},
		"topk of nil":               {backend.ErrValue, func() (*gorgonia.Node, error) { return ops.TopK(nil, 1) }},
		"gates of float ids":        {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.Gates(x, x, ops.SoftmaxAll) }},
		"gates of a wrong mode":     {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.Gates(x, i32, 9) }},
		"plan of float ids":         {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.Plan(x, nil, ops.PlanConfig{Experts: 1}) }},
		"plan without experts":      {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.Plan(i32, nil, ops.PlanConfig{}) }},
		"permute without a plan":    {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.Permute(x, x) }},
		"matmul of a wrong width":   {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.GroupedMatMul(x, w, pl) }},
		"unpermute of int32 gates":  {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.Unpermute(x, i32, pl) }},
		"swiglu of an odd width":    {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.SwiGLU(x) }},
		"linear of a wrong width":   {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.Linear(x, node(g, "m", matrix(2, 4))) }},
		"rmsnorm of a wrong weight": {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.RMSNorm(x, vec, 1e-5) }},
		"rmsnorm eps NaN":           {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.RMSNorm(x, vec, math.NaN()) }},
		"rotary of an odd width":    {backend.ErrParameter, func() (*gorgonia.Node, error) { return ops.Rotary(x, vec, 5, 1e4) }},
		"embedding of float ids":    {backend.ErrDtype, func() (*gorgonia.Node, error) { return ops.Embedding(tensor.Float32, x, vec) }},
		"add of two shapes":         {backend.ErrShape, func() (*gorgonia.Node, error) { return ops.Add(x, node(g, "m", matrix(2, 4))) }},
	}
	for name, c := range cases {
		if n, err := c.call(); !errors.Is(err, c.want) {
			t.Errorf("%s: node %v, error %v, want %v", name, n, err, c.want)
		}
	}
}

func TestDotExportShowsNamesAndShapes(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	x := node(g, "x", matrix(3, 4))
	i := n1(ops.TopK(node(g, "logits", matrix(3, 5)), 2))
	p := n1(ops.Plan(i, nil, ops.PlanConfig{Experts: 5, Align: 8}))
	n1(ops.Permute(x, p))
	b, err := dot.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"TopK(K=2)", "Plan(E=5 A=8)", "Permute", "(3, 2)", "(40)", "(40, 4)"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the drawing lacks %q:\n%s", want, b)
		}
	}
}

func TestManyGraphsShareWeights(t *testing.T) {
	w13 := tensor.New(tensor.WithShape(2, 6, 4), tensor.WithBacking(tensor.Random(tensor.Float32, 48)))
	w2 := tensor.New(tensor.WithShape(2, 4, 3), tensor.WithBacking(tensor.Random(tensor.Float32, 24)))
	plan := must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 0, 1), nil, ops.PlanConfig{Experts: 2}))
	x, gates := matrix(2, 4), matrix(2, 1, 1, 1)
	want := f32s(t, must[backend.Value](t)(ops.EvalExperts(x, gates, plan, w13, w2)))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			g := gorgonia.NewGraph()
			y, err := ops.Experts(node(g, "x", x), node(g, "gates", gates), node(g, "plan", plan), node(g, "w13", w13), node(g, "w2", w2))
			if err != nil {
				t.Error(err)
				return
			}
			m := gorgonia.NewTapeMachine(g)
			defer m.Close()
			for range 10 {
				if err := m.RunAll(); err != nil {
					t.Error(err)
					return
				}
				got, err := backend.Slice[float32](y.Value())
				if err != nil {
					t.Error(err)
					return
				}
				for i := range want {
					if got[i] != want[i] {
						t.Errorf("y[%d] = %v, want %v", i, got[i], want[i])
					}
				}
				m.Reset()
			}
		})
	}
	wg.Wait()
}
