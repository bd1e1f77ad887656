package main

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
)

// modelWorks are graphs on a TapeMachine.
var modelWorks = []work{
	{
		name: "layer", what: "the MoE layer in a graph on a TapeMachine, from router to sum, with one Experts node",
		stage: "experts", layered: true, weights: expertDtypes, activations: plainDtypes,
		flops: "6·N·H·F + 2·T·G·H",
		bytes: "3·U·F·H·w + G·H·b + T·H·(a + o)",
		setup: func(p *problem) func() error { return setupLayer(p, layers.FusionWhole) },
	},
	{
		name: "layer-unfused", what: "the same with a node for every stage",
		stage: "experts", layered: true, weights: expertDtypes, activations: plainDtypes,
		flops: "6·N·H·F + 2·T·G·H",
		bytes: "3·U·F·H·w + G·H·b + T·H·(a + o)",
		setup: func(p *problem) func() error { return setupLayer(p, layers.FusionNone) },
	},
	{
		name: "model", what: "a decoder of -layers layers that share their weights, from token ids to the last token's logits",
		stage: "experts", layered: true, weights: expertDtypes, activations: plainDtypes,
		flops: "L·(6·N·H·F + 2·T·G·H + 4·T·H·(Q + P)·D + 4·Q·D·(T·C + T·(T + 1)/2)) + 2·V·H",
		bytes: "L·(3·U·F·H·w + G·H·b + 2·(Q + P)·D·H·m + 8·(C + T)·P·D) + T·H·b + V·H·m",
		setup: func(p *problem) func() error {
			m, err := newModel(p)
			if err != nil {
				p.fail(err)
				return nil
			}
			return m.run
		},
	},
}

// onTape runs a graph on a TapeMachine again and again.
func onTape(g *gorgonia.ExprGraph) func() error {
	m := gorgonia.NewTapeMachine(g)
	return func() error {
		m.Reset()
		return m.RunAll()
	}
}

func (p *problem) moe(name string, fusion layers.Fusion) *layers.MoE {
	return &layers.MoE{
		MoEConfig: layers.MoEConfig{
			Name: name, TopK: p.shape.K, Gates: ops.SoftmaxTopK, Align: p.align, Fusion: fusion, ExpertMap: p.expertMap(),
		},
		Router: p.router(), W13: p.w13(), W2: p.w2(),
	}
}

func setupLayer(p *problem, fusion layers.Fusion) func() error {
	layer, x := p.moe("moe", fusion), p.routedRows(p.activations, p.tokens)
	if p.err != nil {
		return nil
	}
	g := gorgonia.NewGraph()
	in, err := layers.Input(g, "x", x)
	if err != nil {
		p.fail(err)
		return nil
	}
	if _, err := layer.Fwd(in); err != nil {
		p.fail(err)
		return nil
	}
	return onTape(g)
}

// model is a decoder of random weights in a graph.
type model struct {
	run     func() error
	routing []layers.Routing // of each layer
}

// newModel builds the decoder over the problem's tokens. Token t is row t of the embedding's table, which is made for the
// routing: every layer sends the tokens where the routing says.
func newModel(p *problem) (*model, error) {
	s := &p.shape
	if p.tokens > s.V {
		return nil, fmt.Errorf("model: %d tokens, all distinct, of a vocabulary of %d", p.tokens, s.V)
	}
	ids := make([]int32, p.tokens)
	for t := range ids {
		ids[t] = int32(t)
	}
	table := p.routedRows(p.weights.beside(), s.V)
	head := p.matrix("head", s.V, s.H)
	tokens, positions, last := p.ints(ids, len(ids)), p.positions(), p.ints([]int32{int32(p.tokens - 1)}, 1)
	if p.err != nil {
		return nil, p.err
	}
	g := gorgonia.NewGraph()
	tokensNode, err := layers.Input(g, "tokens", tokens)
	if err != nil {
		return nil, err
	}
	at, err := layers.Input(g, "positions", positions)
	if err != nil {
		return nil, err
	}
	x, err := layers.Embedding{Name: "table", Table: table, Dtype: p.activations.of}.Fwd(tokensNode)
	if err != nil {
		return nil, err
	}
	m := &model{}
	for i := range p.layers {
		var r layers.Routing
		if x, r, err = p.decoderLayer(i, x, at); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
		m.routing = append(m.routing, r)
	}
	lastNode, err := layers.Input(g, "last", last)
	if err != nil {
		return nil, err
	}
	if x, err = ops.Embedding(p.activations.of, x, lastNode); err != nil {
		return nil, err
	}
	if x, err = p.norm("norm").Fwd(x); err != nil {
		return nil, err
	}
	if _, err = (layers.Linear{Name: "head", Weight: head}).Fwd(x); err != nil {
		return nil, err
	}
	m.run = onTape(g)
	return m, nil
}

// decoderLayer adds layer i to the graph of x, with a cache of its own.
func (p *problem) decoderLayer(i int, x, positions *gorgonia.Node) (*gorgonia.Node, layers.Routing, error) {
	s, name := &p.shape, fmt.Sprintf("layers.%d.", i)
	block := layers.DecoderBlock{
		AttentionNorm: p.norm(name + "attention_norm"),
		Attention: &layers.Attention{
			AttentionConfig: layers.AttentionConfig{Name: name + "attention", HeadDim: s.D, RotaryBase: rotaryBase},
			Q:               p.matrix("q", s.Q*s.D, s.H), K: p.matrix("k", s.P*s.D, s.H),
			V: p.matrix("v", s.P*s.D, s.H), O: p.matrix("o", s.H, s.Q*s.D),
		},
		MoENorm: p.norm(name + "moe_norm"),
		MoE:     p.moe(name+"moe", layers.FusionAuto),
	}
	cache := p.cache()
	if p.err != nil {
		return nil, layers.Routing{}, p.err
	}
	cacheNode, err := layers.Input(x.Graph(), name+"cache", cache)
	if err != nil {
		return nil, layers.Routing{}, err
	}
	return block.Fwd(x, positions, cacheNode)
}

func (p *problem) norm(name string) layers.RMSNorm {
	return layers.RMSNorm{Name: name, Eps: normEps, Weight: p.ones()}
}
