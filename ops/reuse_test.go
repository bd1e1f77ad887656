package ops_test

import (
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// preallocDo runs the op of n with a value that its register already holds.
func preallocDo(t *testing.T, n *gorgonia.Node, reuse gorgonia.Value, in ...gorgonia.Value) gorgonia.Value {
	t.Helper()
	return must[gorgonia.Value](t)(n.Op().(gorgonia.UsePreallocDoer).UsePreallocDo(reuse, in...))
}

func TestRegisterIsReusedOnlyWhereItFits(t *testing.T) {
	g := gorgonia.NewGraph()
	x := matrix(3, 4)
	n := must[*gorgonia.Node](t)(ops.SwiGLU(node(g, "x", x)))
	fit := matrix(3, 2)
	if got := preallocDo(t, n, fit, x); got != gorgonia.Value(fit) {
		t.Error("a register that fits is not reused")
	}
	whole := matrix(3, 4)
	view := must[tensor.View](t)(whole.Slice(nil, tensor.S(0, 2)))
	column := must[tensor.View](t)(x.Slice(nil, tensor.S(1, 3)))
	fortran := tensor.New(tensor.WithShape(3, 2), tensor.AsFortran(make([]float32, 6)))
	inside := tensor.New(tensor.WithShape(3, 2), tensor.WithBacking(x.Data().([]float32)[4:10]))
	for name, reuse := range map[string]gorgonia.Value{
		"another shape":         matrix(2, 3),
		"another dtype":         tensor.New(tensor.WithShape(3, 2), tensor.Of(tensor.Float64)),
		"a strided view":        view.(*tensor.Dense),
		"a view of the input":   column.(*tensor.Dense),
		"column-major order":    fortran,
		"overlapping the input": inside,
		"a plan":                must[*backend.Plan](t)(ops.EvalPlan(ids(3, 1, 0, 0, 0), nil, ops.PlanConfig{Experts: 1})),
	} {
		before := append([]float32(nil), x.Data().([]float32)...)
		got := preallocDo(t, n, reuse, x)
		if got == reuse {
			t.Errorf("%s: the register is reused", name)
		}
		for i, v := range x.Data().([]float32) {
			if v != before[i] {
				t.Fatalf("%s: the input has changed", name)
			}
		}
		for i, v := range f32s(t, got) {
			if w := f32s(t, preallocDo(t, n, nil, x))[i]; v != w {
				t.Errorf("%s: out[%d] = %v, want %v", name, i, v, w)
			}
		}
	}
}

func TestPlanIsReusedForItsSizesOnly(t *testing.T) {
	g := gorgonia.NewGraph()
	i := ids(2, 1, 1, 0)
	n := must[*gorgonia.Node](t)(ops.Plan(node(g, "ids", i), nil, ops.PlanConfig{Experts: 2}))
	p := must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 0, 0), nil, ops.PlanConfig{Experts: 2}))
	if got := preallocDo(t, n, p, i); got != gorgonia.Value(p) {
		t.Error("a plan of the same sizes is not reused")
	}
	if rows := must[[]int32](t)(backend.Slice[int32](p.RowSlot)); rows[0] != 1 || rows[1] != 0 {
		t.Errorf("the reused plan's rows are %v, want [1 0]", rows)
	}
	other := must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 0, 0), nil, ops.PlanConfig{Experts: 1}))
	if got := preallocDo(t, n, other, i); got == gorgonia.Value(other) {
		t.Error("a plan of other sizes is reused")
	}
}

func TestQuantizedIsReused(t *testing.T) {
	g := gorgonia.NewGraph()
	x := matrix(2, 130)
	n := must[*gorgonia.Node](t)(ops.Quantize(node(g, "x", x)))
	q := must[*backend.Quantized](t)(ops.EvalQuantize(matrix(2, 130)))
	if got := preallocDo(t, n, q, x); got != gorgonia.Value(q) {
		t.Error("a quantized value of the same shape is not reused")
	}
}

func TestNonContiguousInputsAreReadRightly(t *testing.T) {
	whole := matrix(4, 6)
	view := must[tensor.View](t)(whole.Slice(tensor.S(1, 3), tensor.S(1, 5))).(*tensor.Dense)
	turned := tensor.New(tensor.WithShape(4, 2), tensor.WithBacking([]float32{7, 13, 8, 14, 9, 15, 10, 16}))
	if err := turned.T(); err != nil {
		t.Fatal(err)
	}
	fortran := tensor.New(tensor.WithShape(2, 4), tensor.AsFortran([]float32{7, 13, 8, 14, 9, 15, 10, 16}))
	plan := must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 1, 0), nil, ops.PlanConfig{Experts: 2}))
	for name, x := range map[string]*tensor.Dense{"view": view, "transposed": turned, "column-major": fortran} {
		rows := f32s(t, must[backend.Value](t)(ops.EvalPermute(x, plan)))
		for i := range 2 {
			for j := range 4 {
				want := must[any](t)(x.At(1-i, j)).(float32) // the plan swaps the two rows
				if rows[i*4+j] != want {
					t.Errorf("%s: rows[%d,%d] = %v, want %v", name, i, j, rows[i*4+j], want)
				}
			}
		}
	}
}
