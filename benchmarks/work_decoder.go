package main

import (
	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
)

// Hyper-parameters of Mixtral.
const (
	rotaryBase = 1e6
	normEps    = 1e-5
)

// decoderWorks are what a decoder needs around its experts.
var decoderWorks = []work{
	{
		name: "linear", what: "the product with one matrix (Q·D,H), an attention's query projection",
		stage: "linear", weights: matrixDtypes, activations: plainDtypes,
		flops: "2·T·H·Q·D",
		bytes: "H·Q·D·m + T·(H + Q·D)·a",
		setup: func(p *problem) func() error {
			return p.op(binary(ops.Linear), p.rows(p.tokens, p.shape.H), p.matrix("q", p.shape.Q*p.shape.D, p.shape.H))
		},
	},
	{
		name: "embedding", what: "T rows of a table (V,H), far from each other",
		stage: "embedding", weights: plainDtypes, activations: plainDtypes,
		bytes: "T·H·(b + a) + 4·T",
		setup: func(p *problem) func() error {
			ids := make([]int32, p.tokens)
			for t := range ids {
				ids[t] = int32(t * 7919 % p.shape.V)
			}
			pick := func(table, ids *node) (*node, error) { return ops.Embedding(p.activations.of, table, ids) }
			return p.op(binary(pick), p.table(), p.ints(ids, len(ids)))
		},
	},
	{
		name: "rotary", what: "rotary positions of the queries (T,Q·D)",
		stage: "rotary", activations: plainDtypes,
		bytes: "2·T·Q·D·a + 4·T",
		setup: func(p *problem) func() error {
			rotary := func(x, at *node) (*node, error) { return ops.Rotary(x, at, p.shape.D, rotaryBase) }
			return p.op(binary(rotary), p.rows(p.tokens, p.shape.Q*p.shape.D), p.positions())
		},
	},
	{
		name: "cacheappend", what: "the tokens' keys and values into an f32 cache",
		stage: "cacheappend", activations: plainDtypes,
		bytes: "2·T·P·D·(a + 4) + 4·T",
		setup: func(p *problem) func() error {
			width := p.shape.P * p.shape.D
			return p.op(func(in gorgonia.Nodes) (*node, error) { return ops.CacheAppend(in[0], in[1], in[2], in[3]) },
				p.cache(), p.rows(p.tokens, width), p.rows(p.tokens, width), p.positions())
		},
	},
	{
		name: "attention", what: "grouped-query attention of the tokens to an f32 cache of C + T positions",
		stage: "attention", activations: plainDtypes,
		flops: "4·Q·D·(T·C + T·(T + 1)/2)",
		bytes: "8·(C + T)·P·D + 2·T·Q·D·a + 4·T",
		setup: func(p *problem) func() error {
			attention := func(query, cache, at *node) (*node, error) {
				return ops.Attention(query, cache, at, ops.AttentionConfig{HeadDim: p.shape.D})
			}
			return p.op(ternary(attention), p.rows(p.tokens, p.shape.Q*p.shape.D), p.cache(), p.positions())
		},
	},
}
