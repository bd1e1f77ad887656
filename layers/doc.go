// Package layers builds the parts of a Mixture-of-Experts decoder in a Gorgonia graph: the MoE layer itself and what stands
// around it, attention, norm, rotary positions, linear maps and embeddings. A layer holds its weights as values and adds
// its ops to the graph of the node it is given. Layers are not changed by use: any number of graphs and goroutines may
// share one. Importing the package registers the CPU backend.
package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu" // layers on the host always have a backend
)

// Input adds v to the graph as an input node of that name. Gorgonia takes two inputs of one name, type and shape for the
// same node, so names must be distinct within a graph. A TapeMachine writes its engine into every *tensor.Dense among the
// inputs; the node therefore gets a header of its own over v's memory, so that many graphs can share it.
func Input(g *gorgonia.ExprGraph, name string, v backend.Value) (*gorgonia.Node, error) {
	if v == nil {
		return nil, fmt.Errorf("input %q has no value: %w", name, backend.ErrValue)
	}
	if d, ok := v.(*tensor.Dense); ok {
		v = d.ShallowClone()
	}
	return gorgonia.NewUniqueNode(gorgonia.In(g), gorgonia.WithType(gorgonia.TypeOf(v)), gorgonia.WithName(name),
		gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v)), nil
}

// move replaces each value by its copy on d; nil values stay nil.
func move(d backend.Device, values ...*backend.Value) error {
	for _, v := range values {
		if *v == nil {
			continue
		}
		moved, err := backend.To(d, *v)
		if err != nil {
			return err
		}
		*v = moved
	}
	return nil
}
