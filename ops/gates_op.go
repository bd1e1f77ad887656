package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// How logits become gates.
const (
	// SoftmaxTopK is the softmax over the chosen experts' logits alone. Mixtral's.
	SoftmaxTopK = backend.SoftmaxTopK
	// SoftmaxAll is the softmax over all E experts, read at the chosen ones.
	SoftmaxAll = backend.SoftmaxAll
	// SoftmaxRenormalized is SoftmaxAll divided by its sum over the chosen experts.
	SoftmaxRenormalized = backend.SoftmaxRenormalized
)

// Gates gives the weight of each chosen expert in a token's output. With l = logits[t]:
//
//	SoftmaxTopK, SoftmaxRenormalized:  gates[t,k] = exp(l[ids[t,k]]) / Σ_j exp(l[ids[t,j]])
//	SoftmaxAll:                        gates[t,k] = exp(l[ids[t,k]]) / Σ_e exp(l[e])
//
// logits is (T,E) of float32, float64, BFloat16 or Float16, ids (T,K) int32 as TopK makes them, gates (T,K) float32. A slot
// with id −1 has gate 0 and is none of the chosen; another id outside [0,E) is an error (backend.ErrExpertID). Computed in float32
// at least, relative to the greatest logit, so that nothing overflows. A NaN or +Inf among the logits that a token's softmax sums
// over makes NaN of its gates, and of no other token's; so does it if all of them are −Inf. SoftmaxTopK sums over the chosen logits,
// the other two look at all.
func Gates(logits, ids *gorgonia.Node, mode backend.GateMode) (*gorgonia.Node, error) {
	return apply(gates{mode}, logits, ids)
}

// EvalGates is Gates on values, without a graph.
func EvalGates(logits, ids backend.Value, mode backend.GateMode) (backend.Value, error) {
	return eval(gates{mode}, logits, ids)
}

type gates struct{ mode backend.GateMode }

func (gates) name() string   { return "Gates" }
func (s gates) spec() string { return s.mode.String() }

func (s gates) infer(in []operand) (operand, error) {
	if s.mode < SoftmaxTopK || s.mode > SoftmaxRenormalized {
		return operand{}, fmt.Errorf("gates: mode %d is unknown: %w", int(s.mode), backend.ErrParameter)
	}
	if err := wantRank("gates", "logits (T,E)", in[0], 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("gates", "logits", in[0], floats...); err != nil {
		return operand{}, err
	}
	if err := wantRank("gates", "ids (T,K)", in[1], 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("gates", "ids", in[1], tensor.Int32); err != nil {
		return operand{}, err
	}
	if err := wantShape("gates", "ids", in[1], in[0].shape[0], in[1].shape[1]); err != nil {
		return operand{}, err
	}
	return operand{dtype: tensor.Float32, shape: in[1].shape}, nil
}

func (s gates) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "gates", func(b backend.Gates) error { return b.Gates(out, in[0], in[1], s.mode) })
}
