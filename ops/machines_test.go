package ops_test

import (
	"errors"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// A LispMachine wraps every value with a derivative of the same kind, plans and caches too.
func TestLispMachineRunsForward(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	w := newWorld(t)
	g := gorgonia.NewGraph()
	x := node(g, "x", w.x)
	logits := node(g, "logits", w.logits)
	i := n1(ops.TopK(logits, nK))
	p := n1(ops.Plan(i, nil, ops.PlanConfig{Experts: nE}))
	stack := must[*backend.ExpertStack](t)(backend.StackExperts(blocksOf(t, w.w13)))
	y := n1(ops.Experts(x, n1(ops.Gates(logits, i, ops.SoftmaxAll)), p, node(g, "w13", stack), node(g, "w2", w.w2)))
	m := gorgonia.NewLispMachine(g, gorgonia.ExecuteFwdOnly())
	defer m.Close()
	if err := m.RunAll(); err != nil {
		t.Fatal(err)
	}
	got := append([]float32(nil), f32s(t, y.Value())...)

	chosen := must[backend.Value](t)(ops.EvalTopK(w.logits, nK))
	want := f32s(t, must[backend.Value](t)(ops.EvalExperts(w.x, must[backend.Value](t)(ops.EvalGates(w.logits, chosen, ops.SoftmaxAll)),
		must[*backend.Plan](t)(ops.EvalPlan(chosen, nil, ops.PlanConfig{Experts: nE})), w.w13, w.w2)))
	for j := range want {
		if got[j] != want[j] {
			t.Fatalf("y[%d] = %v, want %v", j, got[j], want[j])
		}
	}
}

// blocksOf cuts a weight (E,N,D) into its matrices.
func blocksOf(t *testing.T, w *tensor.Dense) [][]backend.Value {
	shape := w.Shape()
	data, size := f32s(t, w), shape[1]*shape[2]
	var blocks [][]backend.Value
	for e := range shape[0] {
		blocks = append(blocks, []backend.Value{matrix(shape[1], shape[2], data[e*size:(e+1)*size]...)})
	}
	return blocks
}

func TestGradientsAreRefused(t *testing.T) {
	build := func() (*gorgonia.ExprGraph, *gorgonia.Node, *gorgonia.Node) {
		g := gorgonia.NewGraph()
		x := node(g, "x", matrix(2, 4))
		return g, x, must[*gorgonia.Node](t)(gorgonia.Sum(must[*gorgonia.Node](t)(ops.SwiGLU(x))))
	}
	g, _, _ := build()
	m := gorgonia.NewLispMachine(g)
	defer m.Close()
	if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), "SwiGLU has no gradient") {
		t.Errorf("a LispMachine that goes backwards: error %v", err)
	}
	_, x, cost := build()
	if grads, err := gorgonia.Grad(cost, x); err == nil {
		t.Errorf("Grad gives %v", grads)
	}
}

// What a LispMachine cannot start from is an error and does not end the process.
func TestLispMachineRefusesAPlanAsRoot(t *testing.T) {
	g := gorgonia.NewGraph()
	must[*gorgonia.Node](t)(ops.Plan(node(g, "ids", ids(1, 2, 1, 2)), nil, ops.PlanConfig{Experts: 4}))
	m := gorgonia.NewLispMachine(g, gorgonia.ExecuteFwdOnly())
	defer m.Close()
	if err := m.RunAll(); err == nil {
		t.Error("a plan has a derivative")
	}
}

func TestNodesThatDoNotBelong(t *testing.T) {
	g := gorgonia.NewGraph()
	x := node(g, "x", matrix(2, 4))
	stranger := node(gorgonia.NewGraph(), "x", matrix(2, 4))
	if n, err := ops.Add(x, stranger); err == nil || !strings.HasPrefix(err.Error(), "Add: ") {
		t.Errorf("nodes of two graphs: %v, error %v", n, err)
	}
	scalar := gorgonia.NewScalar(g, backend.PlanDtype, gorgonia.WithName("plan"))
	if n, err := ops.Permute(x, scalar); !errors.Is(err, backend.ErrShape) {
		t.Errorf("a plan that is a scalar: %v, error %v", n, err)
	}
	if err := gorgonia.Let(x, matrix(3, 4)); err == nil {
		t.Error("an input takes a value of another shape")
	}
}
