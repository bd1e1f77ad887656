package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// DecoderBlock is one layer of a Mixture-of-Experts decoder:
//
//	h = x + Attention(AttentionNorm(x))
//	y = h + MoE(MoENorm(h))
type DecoderBlock struct {
	AttentionNorm RMSNorm    // of the attention's input
	Attention     *Attention // over this and the earlier tokens
	MoENorm       RMSNorm    // of the experts' input
	MoE           *MoE       // the experts
}

// Fwd maps the tokens x (T,H) at positions (T) to (T,H), with the keys and values of earlier ones in the cache, and says
// where the MoE layer sent them.
func (l *DecoderBlock) Fwd(x, positions, cache *gorgonia.Node) (y *gorgonia.Node, r Routing, err error) {
	if err := l.complete(); err != nil {
		return nil, r, err
	}
	n, err := l.AttentionNorm.Fwd(x)
	if err != nil {
		return nil, r, err
	}
	if n, err = l.Attention.Fwd(n, positions, cache); err != nil {
		return nil, r, err
	}
	h, err := ops.Add(x, n)
	if err != nil {
		return nil, r, err
	}
	if n, err = l.MoENorm.Fwd(h); err != nil {
		return nil, r, err
	}
	if r, err = l.MoE.Route(n); err != nil {
		return nil, r, err
	}
	if n, err = l.MoE.FwdRouted(n, r); err != nil {
		return nil, r, err
	}
	y, err = ops.Add(h, n)
	return y, r, err
}

// complete is an error if the block lacks a layer.
func (l *DecoderBlock) complete() error {
	if l.Attention == nil || l.MoE == nil {
		return fmt.Errorf("decoder block: it lacks its attention or its experts: %w", backend.ErrValue)
	}
	return nil
}

// To is the block with its weights on d.
func (l *DecoderBlock) To(d backend.Device) (_ *DecoderBlock, err error) {
	if err := l.complete(); err != nil {
		return nil, err
	}
	m := *l
	if m.AttentionNorm, err = l.AttentionNorm.To(d); err != nil {
		return nil, err
	}
	if m.Attention, err = l.Attention.To(d); err != nil {
		return nil, err
	}
	if m.MoENorm, err = l.MoENorm.To(d); err != nil {
		return nil, err
	}
	if m.MoE, err = l.MoE.To(d); err != nil {
		return nil, err
	}
	return &m, nil
}
