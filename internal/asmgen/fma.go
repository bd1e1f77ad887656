package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fmaSums is the sums of the loop that shows what a CPU can do at most: more than its units times their latency.
const fmaSums = 12

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

// fma writes the same loop.
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
