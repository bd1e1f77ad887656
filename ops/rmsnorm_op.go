package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops/backend"
)

// RMSNorm scales each row to unit mean square:
//
//	out[t,j] = w[j] · x[t,j] / √(Σ_i x[t,i]²/H + eps)
//
// x is (T,H), w (H), out (T,H) of x's dtype; float32, float64, BFloat16 or Float16. Computed in float32 (float64 for float64).
func RMSNorm(x, w *gorgonia.Node, eps float64) (*gorgonia.Node, error) {
	return apply(rmsNorm{eps}, x, w)
}

// EvalRMSNorm is RMSNorm on values, without a graph.
func EvalRMSNorm(x, w backend.Value, eps float64) (backend.Value, error) {
	return eval(rmsNorm{eps}, x, w)
}

type rmsNorm struct{ eps float64 }

func (rmsNorm) name() string   { return "RMSNorm" }
func (s rmsNorm) spec() string { return fmt.Sprintf("eps=%g", s.eps) }

func (s rmsNorm) infer(in []operand) (operand, error) {
	x, w := in[0], in[1]
	if !(s.eps >= 0) {
		return operand{}, fmt.Errorf("rmsnorm: eps = %g, want ≥ 0: %w", s.eps, backend.ErrParameter)
	}
	if err := wantRank("rmsnorm", "x (T,H)", x, 2); err != nil {
		return operand{}, err
	}
	if err := wantShape("rmsnorm", "w (H)", w, x.shape[1]); err != nil {
		return operand{}, err
	}
	if err := wantDtype("rmsnorm", "x", x, floats...); err != nil {
		return operand{}, err
	}
	if err := wantDtype("rmsnorm", "w", w, floats...); err != nil {
		return operand{}, err
	}
	return operand{dtype: x.dtype, shape: x.shape}, nil
}

func (s rmsNorm) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "rmsnorm", func(b backend.RMSNorm) error { return b.RMSNorm(out, in[0], in[1], s.eps) })
}
