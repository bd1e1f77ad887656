package layers

import (
	"fmt"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Pack is the layer with its weights in the order of memory that the best backend of their device reads fastest (ops.Pack). The
// outputs are those of the layer as it was, up to the order of sums. Packing reads and copies every weight once and pays for
// itself where many tokens pass at a time; for one token at a time the weights are best left where they are.
func (l *MoE) Pack() (*MoE, error) {
	m := *l
	if err := pack(&m.Router, &m.W13, &m.W2); err != nil {
		return nil, fmt.Errorf("moe %q: %w", l.Name, err)
	}
	return &m, nil
}

// Pack is the layer with its weights packed, as that of MoE is.
func (l *Attention) Pack() (*Attention, error) {
	m := *l
	if err := pack(&m.Q, &m.K, &m.V, &m.O); err != nil {
		return nil, fmt.Errorf("attention %q: %w", l.Name, err)
	}
	return &m, nil
}

// Pack is the layer with its weight packed, as that of MoE is.
func (l Linear) Pack() (Linear, error) {
	if err := pack(&l.Weight); err != nil {
		return Linear{}, fmt.Errorf("linear %q: %w", l.Name, err)
	}
	return l, nil
}

// Pack is the block with the weights of its attention and its experts packed, as those of MoE are.
func (l *DecoderBlock) Pack() (_ *DecoderBlock, err error) {
	if err := l.complete(); err != nil {
		return nil, err
	}
	m := *l
	if m.Attention, err = l.Attention.Pack(); err != nil {
		return nil, err
	}
	if m.MoE, err = l.MoE.Pack(); err != nil {
		return nil, err
	}
	return &m, nil
}

// pack replaces each value by its packed form; nil values stay nil.
func pack(values ...*backend.Value) error {
	for _, v := range values {
		if *v == nil {
			continue
		}
		packed, err := ops.Pack(*v)
		if err != nil {
			return err
		}
		*v = packed
	}
	return nil
}
