package layers

import (
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// QuantizeWeights is the layer with its experts' weights in blocks of the format (ops.QuantizeBlocks): about a quarter of the memory
// of float32 in q8_0, a seventh in q4_0, and as much less time where one token at a time waits for the weights. The router stays as it
// is, so that tokens go where they went. The outputs are those of the rounded weights.
func (l *MoE) QuantizeWeights(format backend.BlockFormat) (*MoE, error) {
	m := *l
	if err := quantize("moe", l.Name, format, &m.W13, &m.W2); err != nil {
		return nil, err
	}
	return &m, nil
}

// QuantizeWeights is the layer with its four weights in blocks, as those of MoE are.
func (l *Attention) QuantizeWeights(format backend.BlockFormat) (*Attention, error) {
	m := *l
	if err := quantize("attention", l.Name, format, &m.Q, &m.K, &m.V, &m.O); err != nil {
		return nil, err
	}
	return &m, nil
}

// QuantizeWeights is the layer with its weight in blocks, as those of MoE are.
func (l Linear) QuantizeWeights(format backend.BlockFormat) (Linear, error) {
	if err := quantize("linear", l.Name, format, &l.Weight); err != nil {
		return Linear{}, err
	}
	return l, nil
}

// QuantizeWeights is the block with the weights of its attention and its experts in blocks, as those of MoE are.
func (l *DecoderBlock) QuantizeWeights(format backend.BlockFormat) (_ *DecoderBlock, err error) {
	if err := l.complete(); err != nil {
		return nil, err
	}
	m := *l
	if m.Attention, err = l.Attention.QuantizeWeights(format); err != nil {
		return nil, err
	}
	if m.MoE, err = l.MoE.QuantizeWeights(format); err != nil {
		return nil, err
	}
	return &m, nil
}

// quantize replaces each value by its blocks, as replace does.
func quantize(kind, name string, format backend.BlockFormat, values ...*backend.Value) error {
	return replace(kind, name, func(v backend.Value) (backend.Value, error) { return ops.QuantizeBlocks(v, format) }, values...)
}
