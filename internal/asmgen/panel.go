package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// copyPanel writes the kernel that fills a panel of Sgemm with columns of rows that lie far from each other in memory. Hardware does not see
// such rows coming, so it prefetches them.
func (g *gen) copyPanel() {
	cols := g.blasShapes()[0].across * g.lanes
	panel := 4 * cols
	g.function("copyPanel", "func(to, from *uint32, ld, steps int)",
		fmt.Sprintf("copyPanel%s sets to[%dk+j] = from[k,j] for j below %d and k below steps; rows of from are ld bytes apart.", g.suffix, cols, cols))
	to, from, ld, steps := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.loop("loop", steps, 1, func() {
		const ahead = 8 // rows
		for _, at := range panelLines(panel) {
			g.PREFETCHT0(mem{Base: from, Index: ld, Scale: ahead, Disp: at})
		}
		for j := range panel / g.bytes() {
			g.VMOVUPS(mem{Base: from, Disp: j * g.bytes()}, g.vecs[j])
		}
		for j := range panel / g.bytes() {
			g.VMOVUPS(g.vecs[j], mem{Base: to, Disp: j * g.bytes()})
		}
		g.ADDQ(ld, from)
		g.ADDQ(operand.I32(panel), to)
	})
	g.end()
}

// panelLines are offsets that reach all cache lines of a panel's columns in a row, wherever in a line these begin.
func panelLines(bytes int) []int { return []int{0, 64, bytes - 4} }
