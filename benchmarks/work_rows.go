package main

import (
	"github.com/gorgonia/moe/ops"
)

// rowWorks move rows or work on each row by itself.
var rowWorks = []work{
	{
		name: "permute", what: "copies of the tokens' rows, expert by expert; FP8 with its scales",
		stage: "permute", copies: true, activations: allDtypes,
		bytes: "S·H·a + R·H·a + 4·R",
		setup: func(p *problem) func() error {
			return p.op(binary(ops.Permute), p.rows(p.tokens, p.shape.H), p.plan())
		},
	},
	{
		name: "unpermute", what: "the experts' rows back at their tokens, summed with the gates",
		stage: "unpermute", copies: true, activations: plainDtypes,
		flops: "2·N·H",
		bytes: "N·H·a + T·H·a + 8·T·K",
		setup: func(p *problem) func() error {
			return p.op(ternary(ops.Unpermute), p.rows(p.planRows(), p.shape.H), p.gates(), p.plan())
		},
	},
	{
		name: "swiglu", what: "silu of the gate's half times the other half of the plan's rows",
		stage: "swiglu", activations: plainDtypes,
		bytes: "3·R·F·a",
		setup: func(p *problem) func() error {
			return p.op(unary(ops.SwiGLU), p.rows(p.planRows(), 2*p.shape.F))
		},
	},
	{
		name: "quantize", what: "block-scaled FP8 of the tokens' rows",
		stage: "quantize", activations: plainDtypes,
		bytes: "T·H·a + T·H + 4·T·⌈H/128⌉",
		setup: func(p *problem) func() error {
			return p.op(unary(ops.Quantize), p.rows(p.tokens, p.shape.H))
		},
	},
	{
		name: "quantize-weight", what: "block-scaled FP8 of one expert's matrix (H,F), of the dtype of activations",
		stage: "quantize", activations: plainDtypes,
		bytes: "H·F·(a + 1) + 4·⌈H/128⌉·⌈F/128⌉",
		setup: func(p *problem) func() error {
			return p.op(unary(ops.QuantizeWeight), p.rows(p.shape.H, p.shape.F))
		},
	},
	{
		name: "rmsnorm", what: "root-mean-square norm of the tokens' rows",
		stage: "rmsnorm", activations: plainDtypes,
		bytes: "2·T·H·a + 4·H",
		setup: func(p *problem) func() error {
			norm := func(x, w *node) (*node, error) { return ops.RMSNorm(x, w, normEps) }
			return p.op(binary(norm), p.rows(p.tokens, p.shape.H), p.ones())
		},
	},
	{
		name: "add", what: "sum of two matrices (T,H)",
		stage: "add", activations: plainDtypes,
		bytes: "3·T·H·a",
		setup: func(p *problem) func() error {
			return p.op(binary(ops.Add), p.rows(p.tokens, p.shape.H), p.rows(p.tokens, p.shape.H))
		},
	},
}
