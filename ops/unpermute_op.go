package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Unpermute brings the experts' rows back to their tokens and adds them up, weighted:
//
//	y[t] = Σ_k gates[t,k] · rows[SlotRow[t,k]]
//
// rows is (R,H) of float32, float64, BFloat16 or Float16, gates (T,K) float32, y (T,H) of the rows' dtype. The sum runs over
// ascending k in float32 (float64 for float64). A slot that is not here adds nothing, not even 0·NaN;
// a gate of 0 times a NaN is NaN. A plan that names a row outside [−1,R) is an error (backend.ErrIndex).
func Unpermute(rows, gates, plan *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(unpermute{}, rows, gates, plan)
}

// EvalUnpermute is Unpermute on values, without a graph.
func EvalUnpermute(rows, gates backend.Value, plan *backend.Plan) (backend.Value, error) {
	return eval(unpermute{}, rows, gates, plan)
}

type unpermute struct{}

func (unpermute) name() string { return "Unpermute" }
func (unpermute) spec() string { return "" }

func (unpermute) infer(in []operand) (operand, error) {
	rows, gates := in[0], in[1]
	if err := wantRank("unpermute", "rows (R,H)", rows, 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("unpermute", "rows", rows, floats...); err != nil {
		return operand{}, err
	}
	if err := checkGates("unpermute", gates, in[2]); err != nil {
		return operand{}, err
	}
	if err := wantShape("unpermute", "rows", rows, in[2].shape[0], rows.shape[1]); err != nil {
		return operand{}, err
	}
	return operand{dtype: rows.dtype, shape: tensor.Shape{gates.shape[0], rows.shape[1]}}, nil
}

// checkGates checks that gates is a (T,K) float32 matrix that fits the plan.
func checkGates(name string, gates, plan operand) error {
	if err := wantRank(name, "gates (T,K)", gates, 2); err != nil {
		return err
	}
	if err := wantDtype(name, "gates", gates, tensor.Float32); err != nil {
		return err
	}
	p, err := planOf(name, plan)
	if err != nil {
		return err
	}
	if p != nil && (gates.shape[0] != p.Tokens || gates.shape[1] != p.Slots) {
		return fmt.Errorf("%s: gates have shape %v, the plan T=%d K=%d: %w", name, gates.shape, p.Tokens, p.Slots, backend.ErrShape)
	}
	return nil
}

func (unpermute) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return runUnpermute(dev, out, in[0], in[1], in[2].(*backend.Plan))
}

func runUnpermute(dev backend.Device, y, rows, gates backend.Value, p *backend.Plan) error {
	return backend.Dispatch(dev, "unpermute", func(b backend.Unpermute) error { return b.Unpermute(y, rows, gates, p) })
}
