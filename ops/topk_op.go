package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TopK chooses each token's k experts:
//
//	ids[t] = the k experts with the largest logits[t,e], largest first
//
// logits is (T,E) of float32, float64, BFloat16 or Float16, ids (T,k) int32, 1 ≤ k ≤ E. Of equal logits the lower expert id
// comes first; a NaN counts as less than −Inf, so ids are distinct and in range whatever the logits hold. Deterministic.
func TopK(logits *gorgonia.Node, k int) (*gorgonia.Node, error) { return apply(topK{k}, logits) }

// EvalTopK is TopK on a value, without a graph.
func EvalTopK(logits backend.Value, k int) (backend.Value, error) { return eval(topK{k}, logits) }

type topK struct{ k int }

func (topK) name() string   { return "TopK" }
func (s topK) spec() string { return fmt.Sprintf("K=%d", s.k) }

func (s topK) infer(in []operand) (operand, error) {
	if err := wantRank("topk", "logits (T,E)", in[0], 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("topk", "logits", in[0], floats...); err != nil {
		return operand{}, err
	}
	if e := in[0].shape[1]; s.k < 1 || s.k > e {
		return operand{}, fmt.Errorf("topk: k = %d, want 1 ≤ k ≤ E = %d: %w", s.k, e, backend.ErrParameter)
	}
	return operand{dtype: tensor.Int32, shape: tensor.Shape{in[0].shape[0], s.k}}, nil
}

func (topK) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "topk", func(b backend.TopK) error { return b.TopK(out, in[0]) })
}
