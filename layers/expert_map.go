package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// expertMap is the node of the layer's expert map, nil if every expert is here.
func (l *MoE) expertMap(g *gorgonia.ExprGraph) (*gorgonia.Node, error) {
	here, global := l.W2.Shape()[0], l.Router.Shape()[0]
	if l.ExpertMap == nil {
		if here != global {
			return nil, fmt.Errorf("moe %q: the router knows %d experts and the layer has %d, but no expert map: %w",
				l.Name, global, here, backend.ErrShape)
		}
		return nil, nil
	}
	if len(l.ExpertMap) != global {
		return nil, fmt.Errorf("moe %q: the expert map has %d entries, the router %d experts: %w", l.Name, len(l.ExpertMap), global, backend.ErrShape)
	}
	return Input(g, l.Name+".expert_map", tensor.New(tensor.WithShape(global), tensor.WithBacking(l.ExpertMap)))
}
