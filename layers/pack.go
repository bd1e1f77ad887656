package layers

import "github.com/gorgonia/moe/ops"

// Pack is the layer with its weights in the order of memory that the best backend of their device reads fastest (ops.Pack). The
// outputs are those of the layer as it was, up to the order of sums. Packing reads and copies every weight once and pays for
// itself where many tokens pass at a time; for one token at a time the weights are best left where they are.
func (l *MoE) Pack() (*MoE, error) {
	m := *l
	if err := replace("moe", l.Name, ops.Pack, &m.Router, &m.W13, &m.W2); err != nil {
		return nil, err
	}
	return &m, nil
}

// Pack is the layer with its weights packed, as that of MoE is.
func (l *Attention) Pack() (*Attention, error) {
	m := *l
	if err := replace("attention", l.Name, ops.Pack, &m.Q, &m.K, &m.V, &m.O); err != nil {
		return nil, err
	}
	return &m, nil
}

// Pack is the layer with its weight packed, as that of MoE is.
func (l Linear) Pack() (Linear, error) {
	if err := replace("linear", l.Name, ops.Pack, &l.Weight); err != nil {
		return Linear{}, err
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
