package main

import (
	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// expertWorks are the products with the experts' weights and what they are the core of.
var expertWorks = []work{
	{
		name: "groupedmatmul-w13", what: "each expert's rows times its w1 and w3: (R,H) to (R,2F)",
		stage: "groupedmatmul", weights: expertDtypes, activations: allDtypes,
		flops: "4·N·H·F",
		bytes: "2·U·F·H·w + N·H·a + 2·R·F·o",
		setup: func(p *problem) func() error {
			return p.op(ternary(ops.GroupedMatMul), p.rows(p.planRows(), p.shape.H), p.w13(), p.plan())
		},
	},
	{
		name: "groupedmatmul-w2", what: "each expert's rows times its w2: (R,F) to (R,H)",
		stage: "groupedmatmul", weights: expertDtypes, activations: allDtypes,
		flops: "2·N·H·F",
		bytes: "U·F·H·w + N·F·a + R·H·o",
		setup: func(p *problem) func() error {
			return p.op(ternary(ops.GroupedMatMul), p.rows(p.planRows(), p.shape.F), p.w2(), p.plan())
		},
	},
	{
		name: "groupedmatmul-ffn", what: "the two above, one after the other: the three products of an expert",
		stage: "groupedmatmul", weights: expertDtypes, activations: allDtypes,
		flops: "6·N·H·F",
		bytes: "3·U·F·H·w + N·(H + F)·a + R·(2·F + H)·o",
		setup: func(p *problem) func() error {
			plan := p.plan()
			return inOrder(
				p.op(ternary(ops.GroupedMatMul), p.rows(p.planRows(), p.shape.H), p.w13(), plan),
				p.op(ternary(ops.GroupedMatMul), p.rows(p.planRows(), p.shape.F), p.w2(), plan))
		},
	},
	{
		name: "experts", what: "the Experts op: permute, w13, SwiGLU, w2, unpermute; fused where the backend can",
		stage: "experts", weights: expertDtypes, activations: allDtypes,
		flops: "6·N·H·F",
		bytes: "3·U·F·H·w + S·H·a + T·H·o + 8·T·K",
		setup: func(p *problem) func() error {
			experts := func(in gorgonia.Nodes) (*node, error) { return ops.Experts(in[0], in[1], in[2], in[3], in[4]) }
			return p.op(experts, p.rows(p.tokens, p.shape.H), p.gates(), p.plan(), p.w13(), p.w2())
		},
	},
	{
		name: "moe", what: "router, TopK, Gates, Plan and Experts, each through its Eval function, without a graph",
		stage: "experts", weights: expertDtypes, activations: plainDtypes,
		flops: "6·N·H·F + 2·T·G·H",
		bytes: "3·U·F·H·w + G·H·b + T·H·(a + o)",
		setup: setupMoE,
	},
}

func setupMoE(p *problem) func() error {
	x, router, w13, w2 := p.routedRows(p.activations, p.tokens), p.router(), p.w13(), p.w2()
	var expertMap backend.Value
	if m := p.expertMap(); m != nil {
		expertMap = p.ints(m, len(m))
	}
	config := p.planConfig()
	return func() error {
		logits, err := ops.EvalLinear(x, router)
		if err != nil {
			return err
		}
		ids, err := ops.EvalTopK(logits, p.shape.K)
		if err != nil {
			return err
		}
		gates, err := ops.EvalGates(logits, ids, ops.SoftmaxTopK)
		if err != nil {
			return err
		}
		plan, err := ops.EvalPlan(ids, expertMap, config)
		if err != nil {
			return err
		}
		_, err = ops.EvalExperts(x, gates, plan, w13, w2)
		return err
	}
}
