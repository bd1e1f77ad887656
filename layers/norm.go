package layers

import (
	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// RMSNorm is y[t] = Weight ⊙ x[t] / √(mean(x[t]²) + Eps).
type RMSNorm struct {
	Name   string        // of its weight's node; distinct within a graph
	Eps    float64       // added to the mean square
	Weight backend.Value // (H)
}

// Fwd normalises x (T,H).
func (l RMSNorm) Fwd(x *gorgonia.Node) (*gorgonia.Node, error) {
	w, err := weight(x, l.Name, l.Weight)
	if err != nil {
		return nil, err
	}
	return ops.RMSNorm(x, w, l.Eps)
}

// To is the layer with its weight on d.
func (l RMSNorm) To(d backend.Device) (RMSNorm, error) {
	if err := move("rmsnorm", l.Name, d, &l.Weight); err != nil {
		return RMSNorm{}, err
	}
	return l, nil
}
