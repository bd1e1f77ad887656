package ops

import (
	"errors"
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Experts is the whole way of the data through the experts as one node. It is defined as
//
//	rows = Permute(x, plan)
//	h    = SwiGLU(GroupedMatMul(rows, w13, plan))
//	y    = Unpermute(GroupedMatMul(h, w2, plan), gates, plan)
//
// x is (T,H), gates (T,K) float32, w13 (E,2F,H), w2 (E,H,F), y (T,H) of x's dtype (float32 for quantized x). A backend that
// has the fused stage runs it and rounds fewer intermediates; for any other the op runs the stages above, one by one. The two
// agree within the sum of the stages' rounding errors, the bound that package conformance computes for each element.
func Experts(x, gates, plan, w13, w2 *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(experts{}, x, gates, plan, w13, w2)
}

// EvalExperts is Experts on values, without a graph.
func EvalExperts(x, gates backend.Value, plan *backend.Plan, w13, w2 backend.Value) (backend.Value, error) {
	return eval(experts{}, x, gates, plan, w13, w2)
}

type experts struct{}

func (experts) name() string { return "Experts" }
func (experts) spec() string { return "" }

func (experts) infer(in []operand) (operand, error) {
	x, gates, pl, w13, w2 := in[0], in[1], in[2], in[3], in[4]
	if err := wantRank("experts", "x (T,H)", x, 2); err != nil {
		return operand{}, err
	}
	if err := checkGates("experts", gates, pl); err != nil {
		return operand{}, err
	}
	t, h := x.shape[0], x.shape[1]
	if err := wantShape("experts", "gates", gates, t, gates.shape[1]); err != nil {
		return operand{}, err
	}
	if err := wantRank("experts", "w2 (E,H,F)", w2, 3); err != nil {
		return operand{}, err
	}
	e, f := w2.shape[0], w2.shape[2]
	if err := wantShape("experts", "w2 (E,H,F)", w2, e, h, f); err != nil {
		return operand{}, err
	}
	if err := wantShape("experts", "w13 (E,2F,H)", w13, e, 2*f, h); err != nil {
		return operand{}, err
	}
	if p, err := planOf("experts", pl); err != nil {
		return operand{}, err
	} else if p != nil && p.Experts != e {
		return operand{}, fmt.Errorf("experts: w2 has %d experts, the plan %d: %w", e, p.Experts, backend.ErrShape)
	}
	dt, err := productDtype("experts", x, w13, tensor.Dtype{})
	if err != nil {
		return operand{}, err
	}
	if _, err := productDtype("experts", operand{dtype: dt}, w2, tensor.Dtype{}); err != nil {
		return operand{}, err
	}
	return operand{dtype: dt, shape: tensor.Shape{t, h}}, nil
}

func (experts) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	x, gates, p, w13, w2 := in[0], in[1], in[2].(*backend.Plan), in[3], in[4]
	err := backend.Dispatch(dev, "experts", func(b backend.Experts) error { return b.Experts(out, x, gates, p, w13, w2) })
	if !errors.Is(err, backend.ErrUnsupported) {
		return err
	}
	if err := runExperts(dev, out, x, gates, p, w13, w2); err != nil {
		return fmt.Errorf("experts: %w", err)
	}
	return nil
}

// runExperts is the composition that defines the op.
func runExperts(dev backend.Device, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
	rows, err := runStage(permute{}, nil, []backend.Value{x, p})
	if err != nil {
		return err
	}
	gateUp, err := runStage(groupedMatMul{}, nil, []backend.Value{rows, w13, p})
	if err != nil {
		return err
	}
	h, err := runStage(swiGLU{}, nil, []backend.Value{gateUp})
	if err != nil {
		return err
	}
	if rows, err = runStage(groupedMatMul{}, nil, []backend.Value{h, w2, p}); err != nil {
		return err
	}
	return runUnpermute(dev, y, rows, gates, p)
}
