package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// SwiGLU is the gated activation of an expert:
//
//	out[r,j] = silu(x[r,j]) · x[r,F+j],  silu(v) = v / (1 + e^−v),  0 ≤ j < F
//
// x is (R,2F), the gate's half first, as GroupedMatMul with W13 = {w1, w3} gives it; out is (R,F) of the same dtype: float32,
// float64, BFloat16 or Float16. Computed in float32 (float64 for float64).
func SwiGLU(x *gorgonia.Node) (*gorgonia.Node, error) { return apply(swiGLU{}, x) }

// EvalSwiGLU is SwiGLU on a value, without a graph.
func EvalSwiGLU(x backend.Value) (backend.Value, error) { return eval(swiGLU{}, x) }

type swiGLU struct{}

func (swiGLU) name() string { return "SwiGLU" }
func (swiGLU) spec() string { return "" }

func (swiGLU) infer(in []operand) (operand, error) {
	x := in[0]
	if err := wantRank("swiglu", "x (R,2F)", x, 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("swiglu", "x", x, floats...); err != nil {
		return operand{}, err
	}
	if x.shape[1]%2 != 0 {
		return operand{}, fmt.Errorf("swiglu: x has shape %v, want an even width 2F: %w", x.shape, backend.ErrShape)
	}
	return operand{dtype: x.dtype, shape: tensor.Shape{x.shape[0], x.shape[1] / 2}}, nil
}

func (swiGLU) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return runSwiGLU(dev, out, in[0])
}

func runSwiGLU(dev backend.Device, out, x backend.Value) error {
	return backend.Dispatch(dev, "swiglu", func(b backend.SwiGLU) error { return b.SwiGLU(out, x) })
}
