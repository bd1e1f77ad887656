package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// widen writes the conversion from bfloat16 to float32.
func (g *gen) widen() {
	g.function("widen", "func(to *float32, from *uint16, n int)",
		fmt.Sprintf("widen%s converts n elements of bfloat16, a multiple of %d, to float32.", g.suffix, g.lanes))
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.loop("loop", n, g.lanes, func() {
		g.VPMOVZXWD(mem{Base: from}, g.vecs[0])
		g.VPSLLD(operand.U8(16), g.vecs[0], g.vecs[0])
		g.VMOVUPS(g.vecs[0], mem{Base: to})
		g.ADDQ(operand.I32(2*g.lanes), from)
		g.ADDQ(operand.I32(4*g.lanes), to)
	})
	g.end()
}

// narrow writes the conversion from float32 to bfloat16: to the nearest, ties to even; a NaN keeps its sign and upper bits and
// becomes quiet.
func (g *gen) narrow() {
	g.function("narrow", "func(to *uint16, from *float32, n int)",
		fmt.Sprintf("narrow%s rounds n elements of float32, a multiple of %d, to the nearest bfloat16, ties to even.", g.suffix, g.lanes))
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	x, rounded := g.vecs[0], g.vecs[4]
	r := g.newRounding(g.vecs[1], g.vecs[2], g.vecs[3], g.vecs[5], g.vecs[6])
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.loop("loop", n, g.lanes, func() {
		g.VMOVUPS(mem{Base: from}, x)
		g.round(r, x, rounded)
		if g.wide() {
			g.VPMOVDW(rounded, mem{Base: to})
		} else {
			g.VPACKUSDW(rounded, rounded, rounded)
			g.VPERMQ(operand.U8(0x08), rounded, rounded)
			g.VMOVDQU(reg.X4, mem{Base: to})
		}
		g.ADDQ(operand.I32(4*g.lanes), from)
		g.ADDQ(operand.I32(2*g.lanes), to)
	})
	g.end()
}
