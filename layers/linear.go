package layers

import (
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Linear is y = x · Weightᵀ, without bias.
type Linear struct {
	Name   string        // of its weight's node; distinct within a graph
	Weight backend.Value // (N,D)
}

// Fwd maps x (T,D) to (T,N).
func (l Linear) Fwd(x *gorgonia.Node) (*gorgonia.Node, error) {
	w, err := weight(x, l.Name, l.Weight)
	if err != nil {
		return nil, err
	}
	return ops.Linear(x, w)
}

// To is the layer with its weight on d.
func (l Linear) To(d backend.Device) (Linear, error) {
	if err := move("linear", l.Name, d, &l.Weight); err != nil {
		return Linear{}, err
	}
	return l, nil
}

// Embedding turns token ids into rows of a table.
type Embedding struct {
	Name  string        // of its table's node; distinct within a graph
	Table backend.Value // (V,H)
	Dtype tensor.Dtype  // of the rows; the zero Dtype: float32
}

// Fwd maps ids (T) int32 to (T,H).
func (l Embedding) Fwd(ids *gorgonia.Node) (*gorgonia.Node, error) {
	table, err := weight(ids, l.Name, l.Table)
	if err != nil {
		return nil, err
	}
	dt := l.Dtype
	if dt.Type == nil {
		dt = tensor.Float32
	}
	return ops.Embedding(dt, table, ids)
}

// To is the layer with its table on d.
func (l Embedding) To(d backend.Device) (Embedding, error) {
	if err := move("embedding", l.Name, d, &l.Table); err != nil {
		return Embedding{}, err
	}
	return l, nil
}
