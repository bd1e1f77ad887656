package ops

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Embedding picks rows of a table:
//
//	out[t] = table[ids[t]]
//
// table is (V,H) of float32, float64, BFloat16 or Float16, ids (T) int32, out (T,H) of dtype dt, one of the same. It serves for
// any choice of rows, the last of a prompt for example. An id outside [0,V) is an error (backend.ErrIndex).
func Embedding(dt tensor.Dtype, table, ids *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(embedding{dt}, table, ids)
}

// EvalEmbedding is Embedding on values, without a graph.
func EvalEmbedding(dt tensor.Dtype, table, ids backend.Value) (backend.Value, error) {
	return eval(embedding{dt}, table, ids)
}

type embedding struct{ out tensor.Dtype }

func (embedding) name() string { return "Embedding" }
func (s embedding) spec() string {
	if s.out.Type == nil {
		return "no dtype"
	}
	return s.out.Name()
}

func (s embedding) infer(in []operand) (operand, error) {
	table, ids := in[0], in[1]
	if err := wantDtype("embedding", "output", operand{dtype: s.out}, floats...); err != nil {
		return operand{}, err
	}
	if err := wantRank("embedding", "table (V,H)", table, 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("embedding", "table", table, floats...); err != nil {
		return operand{}, err
	}
	if err := wantRank("embedding", "ids (T)", ids, 1); err != nil {
		return operand{}, err
	}
	if err := wantDtype("embedding", "ids", ids, tensor.Int32); err != nil {
		return operand{}, err
	}
	return operand{dtype: s.out, shape: tensor.Shape{ids.shape[0], table.shape[1]}}, nil
}

func (embedding) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "embedding", func(b backend.Embedding) error { return b.Embedding(out, in[0], in[1]) })
}
