package main

import (
	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
)

// routingWorks choose experts and plan the rows.
var routingWorks = []work{
	{
		name: "topk", what: "the K largest of G logits of each token",
		stage: "topk", activations: plainDtypes,
		bytes: "T·G·a + 4·T·K",
		setup: func(p *problem) func() error {
			return p.op(unary(func(logits *node) (*node, error) { return ops.TopK(logits, p.shape.K) }), p.rows(p.tokens, p.shape.G))
		},
	},
	{
		name: "gates", what: "softmax over the chosen logits",
		stage: "gates", activations: plainDtypes,
		bytes: "T·K·(a + 8)",
		setup: func(p *problem) func() error {
			gates := func(logits, ids *node) (*node, error) { return ops.Gates(logits, ids, ops.SoftmaxTopK) }
			return p.op(binary(gates), p.rows(p.tokens, p.shape.G), p.idsValue())
		},
	},
	{
		name: "plan", what: "where every routed row goes, and back",
		stage: "plan", activations: allDtypes,
		bytes: "8·T·K + 8·R + 8·E + 4 + 4·M",
		setup: func(p *problem) func() error {
			m := p.expertMap()
			if m == nil {
				return p.op(unary(func(ids *node) (*node, error) { return ops.Plan(ids, nil, p.planConfig()) }), p.idsValue())
			}
			plan := func(ids, expertMap *gorgonia.Node) (*node, error) { return ops.Plan(ids, expertMap, p.planConfig()) }
			return p.op(binary(plan), p.idsValue(), p.ints(m, len(m)))
		},
	},
}
