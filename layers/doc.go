// Package layers builds the parts of a Mixture-of-Experts decoder in a Gorgonia graph: the MoE layer itself and what stands
// around it, attention, norm, rotary positions, linear maps and embeddings. A layer holds its weights as values and adds
// its ops to the graph of the node it is given. Layers are not changed by use: any number of graphs and goroutines may
// share one. What To, Pack and QuantizeWeights give is a layer of its own, which shares what it leaves as it is. Importing the package
// registers the CPU backend.
//
// What an op computes, in which dtypes and how exactly, is said in package ops; outputs have the dtype of x where no other is named.
// Errors are those of the ops, name the layer where there are several of a kind, and wrap the sentinels of package backend.
package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu" // layers on the host always have a backend
)

// Input adds v to the graph as an input node of that name. Gorgonia takes two inputs of one name, type and shape for the
// same node, so names must be distinct within a graph; the same value under the same name is the same node, another value is
// an error (backend.ErrValue). A TapeMachine writes its engine into every *tensor.Dense among the inputs; the node therefore
// gets a header of its own over v's memory, so that many graphs can share it.
func Input(g *gorgonia.ExprGraph, name string, v backend.Value) (*gorgonia.Node, error) {
	if g == nil {
		return nil, fmt.Errorf("input %q has no graph: %w", name, backend.ErrValue)
	}
	if err := backend.CheckValue(v); err != nil {
		return nil, fmt.Errorf("input %q %w", name, err)
	}
	own := v
	if d, ok := v.(*tensor.Dense); ok {
		own = d.ShallowClone()
	}
	n := gorgonia.NewUniqueNode(gorgonia.In(g), gorgonia.WithType(gorgonia.TypeOf(v)), gorgonia.WithName(name),
		gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(own))
	if held := n.Value(); held != own && !sameMemory(held, v) {
		return nil, fmt.Errorf("input %q: the graph has another input of that name: %w", name, backend.ErrValue)
	}
	return n, nil
}

// sameMemory reports whether a and b, of one type and shape, are one value.
func sameMemory(a, b backend.Value) bool {
	if a == b {
		return true
	}
	x, ok := a.(*tensor.Dense)
	y, same := b.(*tensor.Dense)
	return ok && same && (backend.Elements(x.Shape()) == 0 || x.Uintptr() == y.Uintptr())
}

// weight adds the weight v to the graph of x, a node that it is used with.
func weight(x *gorgonia.Node, name string, v backend.Value) (*gorgonia.Node, error) {
	if x == nil {
		return nil, fmt.Errorf("%q is applied to no node: %w", name, backend.ErrValue)
	}
	return Input(x.Graph(), name, v)
}

// rank is the number of dimensions of a weight, −1 if there is none.
func rank(v backend.Value) int {
	if backend.CheckValue(v) != nil {
		return -1
	}
	return len(v.Shape())
}

// move replaces each value by its copy on d; nil values stay nil.
func move(kind, name string, d backend.Device, values ...*backend.Value) error {
	if d == nil {
		return fmt.Errorf("%s %q: to: the device is nil: %w", kind, name, backend.ErrParameter)
	}
	return replace(kind, name, func(v backend.Value) (backend.Value, error) {
		if err := backend.CheckValue(v); err != nil {
			return nil, fmt.Errorf("to: a weight %w", err)
		}
		return backend.To(d, v)
	}, values...)
}

// replace sets each value to what f makes of it; nil values stay nil. An error names the layer, of a kind and with a name.
func replace(kind, name string, f func(v backend.Value) (backend.Value, error), values ...*backend.Value) error {
	for _, v := range values {
		if *v == nil {
			continue
		}
		made, err := f(*v)
		if err != nil {
			return fmt.Errorf("%s %q: %w", kind, name, err)
		}
		*v = made
	}
	return nil
}
