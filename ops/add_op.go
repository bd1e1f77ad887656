package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops/backend"
)

// Add is the elementwise sum of two tensors of one shape and dtype (float32, float64, BFloat16 or Float16), rounded once. Unlike
// gorgonia.Add it runs where its operands are and takes the narrow dtypes.
func Add(a, b *gorgonia.Node) (*gorgonia.Node, error) { return apply(add{}, a, b) }

// EvalAdd is Add on values, without a graph.
func EvalAdd(a, b backend.Value) (backend.Value, error) { return eval(add{}, a, b) }

type add struct{}

func (add) name() string { return "Add" }
func (add) spec() string { return "" }

func (add) infer(in []operand) (operand, error) {
	a, b := in[0], in[1]
	if err := wantDtype("add", "a", a, floats...); err != nil {
		return operand{}, err
	}
	if b.dtype != a.dtype {
		return operand{}, fmt.Errorf("add: %v and %v, want one dtype: %w", a.dtype, b.dtype, backend.ErrDtype)
	}
	if err := wantShape("add", "b", b, a.shape...); err != nil {
		return operand{}, err
	}
	return operand{dtype: a.dtype, shape: a.shape}, nil
}

func (add) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "add", func(x backend.Add) error { return x.Add(out, in[0], in[1]) })
}
