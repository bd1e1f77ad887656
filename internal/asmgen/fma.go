package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fmaSums is the sums of the loop of multiply-adds: more than its units times their latency.
const fmaSums = 12

// peak writes the loops that show what a CPU can do at most.
func (g *gen) peak() {
	g.fma()
	g.read()
}

// peak writes that of them which there is.
func (g *neon) peak() { g.fma() }

// fma writes a loop of fused multiply-adds on registers.
func (g *gen) fma() {
	g.function("fma", "func(rounds int)",
		fmt.Sprintf("fma%s does %d fused multiply-adds of vectors of %d float32 a round, each to a sum of its own. rounds is positive.", g.suffix, fmaSums, g.lanes))
	rounds, a, b := reg.RAX, g.vecs[fmaSums], g.vecs[fmaSums+1]
	g.load("rounds", rounds)
	for _, v := range g.vecs[:fmaSums+2] {
		g.zero(v) // no denormals, which may be slow
	}
	g.Label("loop")
	for _, sum := range g.vecs[:fmaSums] {
		g.VFMADD231PS(a, b, sum)
	}
	g.SUBQ(operand.I32(1), rounds)
	g.JG(operand.LabelRef("loop"))
	g.end()
}

// readStreams is the places of memory that the loop reads at once: a CPU that reads one only has too few lines on their way.
const readStreams = 4

// read writes a loop that reads memory.
func (g *gen) read() {
	const line = 64
	g.function("read", "func(from *byte, stride, rounds int)",
		fmt.Sprintf("read%s reads %d bytes a round from each of %d places that are stride bytes apart, which go up. rounds is positive.",
			g.suffix, line, readStreams))
	from, stride, stride3, rounds := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	g.load("from", from)
	g.load("stride", stride)
	g.load("rounds", rounds)
	g.LEAQ(mem{Base: stride, Index: stride, Scale: 2}, stride3)
	streams := [readStreams]mem{
		{Base: from}, {Base: from, Index: stride, Scale: 1}, {Base: from, Index: stride, Scale: 2}, {Base: from, Index: stride3, Scale: 1},
	}
	for i := range streams {
		g.zero(g.vecs[i])
	}
	g.Label("loop")
	for i, at := range streams {
		g.PREFETCHT0(mem{Base: at.Base, Index: at.Index, Scale: at.Scale, Disp: 1024})
		for at.Disp = 0; at.Disp < line; at.Disp += g.bytes() {
			g.or(at, g.vecs[i], g.vecs[i])
		}
	}
	g.ADDQ(operand.I32(line), from)
	g.SUBQ(operand.I32(1), rounds)
	g.JG(operand.LabelRef("loop"))
	g.end()
}

// fma writes the same loop of multiply-adds.
func (g *neon) fma() {
	const rounds general = 0
	g.function("fma", "func(rounds int)",
		fmt.Sprintf("fmaNEON does %d fused multiply-adds of vectors of 4 float32 a round, each to a sum of its own. rounds is positive.", fmaSums))
	g.load("rounds", rounds)
	for v := range vector(fmaSums + 2) {
		g.zero(v)
	}
	g.Label("loop")
	for sum := range vector(fmaSums) {
		g.do("VFMLA", vector(fmaSums).of("S4"), vector(fmaSums+1).of("S4"), sum.of("S4"))
	}
	g.do("SUB", 1, rounds)
	g.do("CBNZ", rounds, "loop")
	g.do("RET")
}
