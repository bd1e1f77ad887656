// Package decoder is the Mixtral model as a Gorgonia graph: weights from a checkpoint, layers of
// github.com/gorgonia/moe/layers, and sessions that run a prompt and then token after token.
package decoder

import (
	"fmt"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Model is a Mixtral decoder. It is not changed by use: any number of sessions may share one.
type Model struct {
	Config    checkpoint.Config
	Embedding layers.Embedding       // ids (T) to x (T,H)
	Blocks    []*layers.DecoderBlock // x (T,H) to x (T,H)
	Norm      layers.RMSNorm         // before the head
	Head      layers.Linear          // x (T,H) to logits (T,V)
}

// Load makes a model of a checkpoint's tensors, which it uses where they lie: src must stay open as long as the model is
// used. Every tensor that the config asks for is checked first.
func Load(c *checkpoint.Config, src checkpoint.Source) (*Model, error) {
	layout, err := c.Check(src)
	if err != nil {
		return nil, err
	}
	l := loader{src: src, c: c, layout: layout}
	m := &Model{Config: *c}
	m.Embedding = layers.Embedding{Name: checkpoint.EmbedTokens, Table: l.weight(checkpoint.EmbedTokens)}
	for i := range c.NumLayers {
		m.Blocks = append(m.Blocks, l.block(i))
	}
	m.Norm = l.norm(checkpoint.FinalNorm)
	// A tied head reads the embedding's table; as an input of its own it keeps its own name.
	m.Head = layers.Linear{Name: checkpoint.LMHead, Weight: m.Embedding.Table}
	if !c.TieEmbeddings {
		m.Head.Weight = l.weight(checkpoint.LMHead)
	}
	if l.err != nil {
		return nil, l.err
	}
	return m, nil
}

// To is the model with its weights on d.
func (m *Model) To(d backend.Device) (_ *Model, err error) {
	moved := *m
	if moved.Embedding, err = m.Embedding.To(d); err != nil {
		return nil, err
	}
	moved.Blocks = make([]*layers.DecoderBlock, len(m.Blocks))
	for i, b := range m.Blocks {
		if moved.Blocks[i], err = b.To(d); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	if moved.Norm, err = m.Norm.To(d); err != nil {
		return nil, err
	}
	if m.Config.TieEmbeddings {
		moved.Head.Weight = moved.Embedding.Table
		return &moved, nil
	}
	moved.Head, err = m.Head.To(d)
	return &moved, err
}

// Pack is the model with its products' weights in the order of memory that the best backend of their device reads fastest, for a
// copy of each (ops.Pack).
func (m *Model) Pack() (_ *Model, err error) {
	packed := *m
	packed.Blocks = make([]*layers.DecoderBlock, len(m.Blocks))
	for i, b := range m.Blocks {
		if packed.Blocks[i], err = b.Pack(); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	packed.Head, err = m.Head.Pack()
	return &packed, err
}

// loader reads weights one after the other and keeps the first error.
type loader struct {
	src    checkpoint.Source
	c      *checkpoint.Config
	layout checkpoint.Layout
	err    error
}

func (l *loader) tensor(name string) checkpoint.Tensor {
	t, err := l.src.Tensor(name)
	if err != nil && l.err == nil {
		l.err = err
	}
	return t
}

func (l *loader) weight(name string) backend.Value { return l.dense(l.tensor(name)) }

func (l *loader) dense(t checkpoint.Tensor) backend.Value {
	if l.err != nil {
		return nil
	}
	w, err := weight(t)
	if err != nil {
		l.err = err
		return nil
	}
	return w
}

func (l *loader) norm(name string) layers.RMSNorm {
	return layers.RMSNorm{Name: name, Eps: l.c.NormEps, Weight: l.weight(name)}
}

func (l *loader) block(i int) *layers.DecoderBlock {
	in := func(name string) string { return checkpoint.InLayer(i, name) }
	return &layers.DecoderBlock{
		AttentionNorm: l.norm(in(checkpoint.InputNorm)),
		Attention: &layers.Attention{
			AttentionConfig: layers.AttentionConfig{
				Name: in("self_attn"), HeadDim: l.c.HeadDim, RotaryBase: l.c.RopeTheta, Window: l.c.SlidingWindow,
			},
			Q: l.weight(in(checkpoint.QProj)), K: l.weight(in(checkpoint.KProj)),
			V: l.weight(in(checkpoint.VProj)), O: l.weight(in(checkpoint.OProj)),
		},
		MoENorm: l.norm(in(checkpoint.PostAttentionNorm)),
		MoE:     l.moe(i),
	}
}

func (l *loader) moe(i int) *layers.MoE {
	experts := make([]layers.Expert, l.c.NumExperts)
	gate := checkpoint.Gate
	if l.layout == checkpoint.Stacked {
		gate = checkpoint.StackedGate
		up, down := l.tensor(checkpoint.InLayer(i, checkpoint.StackedGateUp)), l.tensor(checkpoint.InLayer(i, checkpoint.StackedDown))
		for e := range experts {
			if l.err != nil {
				return nil
			}
			w13, f := part(up, e), l.c.IntermediateSize
			experts[e] = layers.Expert{W1: l.dense(rows(w13, 0, f)), W3: l.dense(rows(w13, f, 2*f)), W2: l.dense(part(down, e))}
		}
	} else {
		for e := range experts {
			w := func(matrix string) backend.Value {
				return l.weight(checkpoint.InLayer(i, checkpoint.Expert(e, matrix)))
			}
			experts[e] = layers.Expert{W1: w("w1"), W3: w("w3"), W2: w("w2")}
		}
	}
	router := l.weight(checkpoint.InLayer(i, gate))
	if l.err != nil {
		return nil
	}
	moe, err := layers.NewMoE(layers.MoEConfig{Name: checkpoint.InLayer(i, "moe"), TopK: l.c.TopK, Gates: ops.SoftmaxTopK}, router, experts)
	if err != nil {
		l.err = err
	}
	return moe
}
