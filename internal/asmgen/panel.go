package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// copyPanel writes the kernel that fills a panel with columns of rows that lie far from each other in memory. Hardware does not see
// such rows coming, so it prefetches them.
func (g *gen) copyPanel() {
	g.function("copyPanel", "func(to, from *uint32, ld, steps int)",
		fmt.Sprintf("copyPanel%s sets to[32k+j] = from[k,j] for j below 32 and k below steps; rows of from are ld bytes apart.", g.suffix))
	to, from, ld, steps := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.loop("loop", steps, 1, func() {
		const ahead = 8 // rows
		g.PREFETCHT0(mem{Base: from, Index: ld, Scale: ahead})
		g.PREFETCHT0(mem{Base: from, Index: ld, Scale: ahead, Disp: 64})
		for j := range panelBytes / g.bytes() {
			g.VMOVUPS(mem{Base: from, Disp: j * g.bytes()}, g.vecs[j])
		}
		for j := range panelBytes / g.bytes() {
			g.VMOVUPS(g.vecs[j], mem{Base: to, Disp: j * g.bytes()})
		}
		g.ADDQ(ld, from)
		g.ADDQ(operand.I32(panelBytes), to)
	})
	g.end()
}
