package ops

import (
	"fmt"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Permute copies each token's row to the places that the plan gives it, expert by expert:
//
//	rows[r] = x[RowSlot[r] / K],  0 for a padding row
//
// x is (T,…) of any fixed-size dtype, rows (R,…) of the same. A backend.Quantized with blocks one row high moves codes and
// scales together; so does permuting the codes (T,H) and the scales (T,⌈H/128⌉) one after the other with the same plan.
// Rows are copied bit for bit. A plan that names a slot outside [−1,T·K) is an error (backend.ErrIndex).
func Permute(x, plan *gorgonia.Node) (*gorgonia.Node, error) { return apply(permute{}, x, plan) }

// EvalPermute is Permute on values, without a graph.
func EvalPermute(x backend.Value, plan *backend.Plan) (backend.Value, error) {
	return eval(permute{}, x, plan)
}

type permute struct{}

func (permute) name() string { return "Permute" }
func (permute) spec() string { return "" }

func (permute) infer(in []operand) (operand, error) {
	x := in[0]
	if len(x.shape) < 1 {
		return operand{}, fmt.Errorf("permute: x is a scalar, want (T,…): %w", backend.ErrShape)
	}
	p, err := planOf("permute", in[1])
	if err != nil {
		return operand{}, err
	}
	if p != nil && p.Tokens != x.shape[0] {
		return operand{}, fmt.Errorf("permute: x has %d rows, the plan %d tokens: %w", x.shape[0], p.Tokens, backend.ErrShape)
	}
	if q, ok := x.value.(*backend.Quantized); ok && q.BlockRows != 1 {
		return operand{}, fmt.Errorf("permute: x has scales for blocks of %d rows, want 1: %w", q.BlockRows, backend.ErrValue)
	}
	shape := slices.Clone(x.shape)
	shape[0] = in[1].shape[0]
	return operand{dtype: x.dtype, shape: shape}, nil
}

func (permute) make(dev backend.Device, out operand, in []backend.Value, reuse backend.Value) (backend.Value, error) {
	x, ok := in[0].(*backend.Quantized)
	if !ok {
		return newTensor(dev, out, reuse)
	}
	return newQuantized(dev, out.shape, 1, x.BlockCols, reuse)
}

func (permute) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	p := in[1].(*backend.Plan)
	return backend.Dispatch(dev, "permute", func(b backend.Permute) error { return b.Permute(out, in[0], p) })
}

// newTensor is reuse if it fits, a new tensor otherwise.
func newTensor(dev backend.Device, out operand, reuse backend.Value) (backend.Value, error) {
	if reuse != nil && fits(reuse, out, dev) {
		return reuse, nil
	}
	return dev.New(out.dtype, out.shape)
}

// newQuantized is reuse if it fits, a new value otherwise.
func newQuantized(dev backend.Device, shape tensor.Shape, blockRows, blockCols int, reuse backend.Value) (backend.Value, error) {
	scales, err := backend.ScaleShape(shape, blockRows, blockCols)
	if err != nil {
		return nil, err
	}
	if q, ok := reuse.(*backend.Quantized); ok && q.BlockRows == blockRows && q.BlockCols == blockCols &&
		fits(q.Codes, operand{dtype: backend.Float8E4M3, shape: shape}, dev) && fits(q.Scales, operand{dtype: tensor.Float32, shape: scales}, dev) {
		return q, nil
	}
	return backend.NewQuantized(dev, shape, blockRows, blockCols)
}
