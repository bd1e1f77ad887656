package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Linear is the product with one matrix, without bias:
//
//	out[t] = x[t] · wᵀ
//
// x is (T,D), w (N,D) in the layout of the checkpoints, out (T,N) of x's dtype; float32, float64, BFloat16 or Float16 (float64
// only with float64). w may be a *tensor.Dense, a backend.BlockQuantized (see QuantizeBlocks) or another backend.Packed (see Pack).
// Sums run in float32 (float64 for float64).
func Linear(x, w *gorgonia.Node) (*gorgonia.Node, error) { return apply(linear{}, x, w) }

// EvalLinear is Linear on values, without a graph.
func EvalLinear(x, w backend.Value) (backend.Value, error) { return eval(linear{}, x, w) }

type linear struct{}

func (linear) name() string { return "Linear" }
func (linear) spec() string { return "" }

func (linear) infer(in []operand) (operand, error) {
	x, w := in[0], in[1]
	if err := wantRank("linear", "x (T,D)", x, 2); err != nil {
		return operand{}, err
	}
	if err := wantRank("linear", "w (N,D)", w, 2); err != nil {
		return operand{}, err
	}
	if err := wantShape("linear", "w", w, w.shape[0], x.shape[1]); err != nil {
		return operand{}, err
	}
	for _, o := range in {
		if err := wantDtype("linear", "an operand", o, floats...); err != nil {
			return operand{}, err
		}
	}
	dt, err := productDtype("linear", x, w, tensor.Dtype{})
	return operand{dtype: dt, shape: tensor.Shape{x.shape[0], w.shape[0]}}, err
}

func (linear) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return withUnpacked(dev, "linear", in[1], func(w backend.Value) error {
		return backend.Dispatch(dev, "linear", func(b backend.Linear) error { return b.Linear(out, in[0], w) })
	})
}
