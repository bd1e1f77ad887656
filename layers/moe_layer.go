package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Fusion says how the experts appear in the graph.
type Fusion int

const (
	// FusionAuto leaves the choice to the layer: today one Experts node, which runs the fused kernel where there is one.
	FusionAuto Fusion = iota
	// FusionNone builds Permute, GroupedMatMul, SwiGLU, GroupedMatMul and Unpermute as nodes of their own.
	FusionNone
	// FusionWhole builds one Experts node.
	FusionWhole
)

// MoEConfig are the hyper-parameters of a MoE layer.
type MoEConfig struct {
	Name   string           // prefix of its nodes' names, "layers.3.moe"; distinct within a graph
	TopK   int              // K, the experts of a token
	Gates  backend.GateMode // how logits become gates; the zero value is Mixtral's
	Align  int              // A, the alignment of an expert's rows; 0 means 1
	Fusion Fusion           // one node or five; the zero value leaves it to the layer
	// ExpertMap[e] is the number here of the router's expert e, −1 if it is elsewhere; nil: all are here. It is not copied.
	ExpertMap []int32
}

// Expert is the weights of one expert in the layout of the checkpoints: y = W2 · (silu(W1·x) ⊙ (W3·x)).
type Expert struct {
	W1, W3 backend.Value // (F,H)
	W2     backend.Value // (H,F)
}

// MoE is a Mixture-of-Experts feed-forward layer:
//
//	y[t] = Σ_k gates[t,k] · W2_e · (silu(W1_e·x[t]) ⊙ (W3_e·x[t])),  e = ids[t,k]
type MoE struct {
	MoEConfig
	Router backend.Value // Wg (E global,H)
	W13    backend.Value // (E,2F,H): W1 above W3
	W2     backend.Value // (E,H,F)
}

// NewMoE makes a layer of a router Wg (E,H) and its experts. The experts' tensors are used where they are, not copied.
func NewMoE(c MoEConfig, router backend.Value, experts []Expert) (*MoE, error) {
	w13, w2 := make([][]backend.Value, len(experts)), make([][]backend.Value, len(experts))
	for e, x := range experts {
		if x.W1 == nil || x.W2 == nil || x.W3 == nil {
			return nil, fmt.Errorf("moe %q: expert %d lacks a weight: %w", c.Name, e, backend.ErrValue)
		}
		w13[e], w2[e] = []backend.Value{x.W1, x.W3}, []backend.Value{x.W2}
	}
	up, err := backend.StackExperts(w13)
	if err != nil {
		return nil, fmt.Errorf("moe %q: w1, w3: %w", c.Name, err)
	}
	down, err := backend.StackExperts(w2)
	if err != nil {
		return nil, fmt.Errorf("moe %q: w2: %w", c.Name, err)
	}
	return &MoE{MoEConfig: c, Router: router, W13: up, W2: down}, nil
}

// To is the layer with its weights on d.
func (l *MoE) To(d backend.Device) (*MoE, error) {
	m := *l
	if err := move("moe", l.Name, d, &m.Router, &m.W13, &m.W2); err != nil {
		return nil, err
	}
	return &m, nil
}

// Routing is where a MoE layer sent its tokens.
type Routing struct {
	Logits *gorgonia.Node // (T,E global)
	IDs    *gorgonia.Node // (T,K)
	Gates  *gorgonia.Node // (T,K)
	Plan   *gorgonia.Node // (R)
}

// Fwd is the layer applied to x (T,H): y (T,H).
func (l *MoE) Fwd(x *gorgonia.Node) (*gorgonia.Node, error) {
	routing, err := l.Route(x)
	if err != nil {
		return nil, err
	}
	return l.FwdRouted(x, routing)
}

// Route chooses the experts of each token of x (T,H) and plans their rows.
func (l *MoE) Route(x *gorgonia.Node) (r Routing, err error) {
	router, err := weight(x, l.Name+".router", l.Router)
	if err != nil {
		return r, err
	}
	if rank(l.W2) != 3 || rank(l.Router) != 2 {
		return r, fmt.Errorf("moe %q: want a router (E,H) and W2 (E,H,F): %w", l.Name, backend.ErrShape)
	}
	if r.Logits, err = ops.Linear(x, router); err != nil {
		return r, fmt.Errorf("moe %q: router: %w", l.Name, err)
	}
	if r.IDs, err = ops.TopK(r.Logits, l.TopK); err != nil {
		return r, fmt.Errorf("moe %q: %w", l.Name, err)
	}
	if r.Gates, err = ops.Gates(r.Logits, r.IDs, l.Gates); err != nil {
		return r, fmt.Errorf("moe %q: %w", l.Name, err)
	}
	expertMap, err := l.expertMap(x.Graph())
	if err != nil {
		return r, err
	}
	r.Plan, err = ops.Plan(r.IDs, expertMap, ops.PlanConfig{Experts: l.W2.Shape()[0], Align: l.Align})
	return r, err
}

// FwdRouted sends x (T,H) through the experts that the routing names.
func (l *MoE) FwdRouted(x *gorgonia.Node, r Routing) (*gorgonia.Node, error) {
	if l.Fusion < FusionAuto || l.Fusion > FusionWhole {
		return nil, fmt.Errorf("moe %q: fusion %d is unknown: %w", l.Name, l.Fusion, backend.ErrParameter)
	}
	w13, err := weight(x, l.Name+".w13", l.W13)
	if err != nil {
		return nil, err
	}
	w2, err := weight(x, l.Name+".w2", l.W2)
	if err != nil {
		return nil, err
	}
	if l.Fusion != FusionNone {
		return ops.Experts(x, r.Gates, r.Plan, w13, w2)
	}
	rows, err := ops.Permute(x, r.Plan)
	if err != nil {
		return nil, err
	}
	gateUp, err := ops.GroupedMatMul(rows, w13, r.Plan)
	if err != nil {
		return nil, err
	}
	h, err := ops.SwiGLU(gateUp)
	if err != nil {
		return nil, err
	}
	down, err := ops.GroupedMatMul(h, w2, r.Plan)
	if err != nil {
		return nil, err
	}
	return ops.Unpermute(down, r.Gates, r.Plan)
}
