package ops

import (
	"fmt"
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Rotary is the rotary position embedding in the half-split order of the Hugging Face checkpoints. With D = headDim, d = D/2
// and θ_i = positions[t] · base^(−i/d), each head's pair (x_i, x_{i+d}) becomes
//
//	(x_i·cos θ_i − x_{i+d}·sin θ_i,  x_{i+d}·cos θ_i + x_i·sin θ_i),  0 ≤ i < d
//
// x is (T, heads·D) of float32, float64, BFloat16 or Float16, D even, positions (T) int32, any, out like x. The base is positive and
// finite. Angles are those that models are trained with, computed in float32 (float64 for float64).
func Rotary(x, positions *gorgonia.Node, headDim int, base float64) (*gorgonia.Node, error) {
	return apply(rotary{headDim, base}, x, positions)
}

// EvalRotary is Rotary on values, without a graph.
func EvalRotary(x, positions backend.Value, headDim int, base float64) (backend.Value, error) {
	return eval(rotary{headDim, base}, x, positions)
}

type rotary struct {
	headDim int
	base    float64
}

func (rotary) name() string   { return "Rotary" }
func (s rotary) spec() string { return fmt.Sprintf("D=%d base=%g", s.headDim, s.base) }

func (s rotary) infer(in []operand) (operand, error) {
	x, pos := in[0], in[1]
	if s.headDim < 2 || s.headDim%2 != 0 || !(s.base > 0) || math.IsInf(s.base, 1) {
		return operand{}, fmt.Errorf("rotary: head width %d, base %g, want an even width ≥ 2 and a finite base > 0: %w", s.headDim, s.base, backend.ErrParameter)
	}
	if err := wantRank("rotary", "x (T,heads·D)", x, 2); err != nil {
		return operand{}, err
	}
	if x.shape[1]%s.headDim != 0 {
		return operand{}, fmt.Errorf("rotary: x has shape %v, want a width that is a multiple of %d: %w", x.shape, s.headDim, backend.ErrShape)
	}
	if err := wantDtype("rotary", "x", x, floats...); err != nil {
		return operand{}, err
	}
	if err := checkPositions("rotary", pos, x.shape[0]); err != nil {
		return operand{}, err
	}
	return operand{dtype: x.dtype, shape: x.shape}, nil
}

func checkPositions(name string, pos operand, tokens int) error {
	if err := wantShape(name, "positions (T)", pos, tokens); err != nil {
		return err
	}
	return wantDtype(name, "positions", pos, tensor.Int32)
}

func (s rotary) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "rotary", func(b backend.Rotary) error { return b.Rotary(out, in[0], in[1], s.headDim, s.base) })
}
