package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// amxPanels is the number of panels that the kernel for few rows reads at once.
const amxPanels = 2

// fewDotAMX writes fewDot for AMX, for as many rows as a tile has: their number is of no account as long as all time goes into reading b.
func (g *gen) fewDotAMX() {
	g.function("fewDot", "func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)",
		fmt.Sprintf("fewDotAMX computes c (rows, %d) = a·b, or adds to c if add is not 0, for rows in [1,%d].",
			amxPanels*panelBytes/4, amxRows),
		dotBF16.doc,
		fmt.Sprintf("b is parts of %d panels of 32 columns each, apart bytes one from the next; c has their columns side by side.", amxPanels),
		"Sums are those of tileDotAMX. Rows of a and c are lda and ldc bytes apart. What lies behind the parts is prefetched.",
		"The process must have leave to use tiles.")
	const (
		sums             = tileRegister(2 * amxPanels)
		tileOfA, tileOfB = sums, sums + 1
	)
	config := g.amxConfig()
	a, lda, c, ldc, ldb, blocks, rest, scratch := reg.RAX, reg.RCX, reg.R10, reg.R12, reg.RSI, reg.RDI, reg.R13, reg.RDX
	b := [amxPanels]reg.GPPhysical{reg.RBX, reg.R8}
	g.load("rows", scratch)
	for t := range sums + 1 {
		g.MOVB(scratch.As8(), config.rows(t))
		g.MOVW(operand.U16(amxLine), config.width(t))
	}
	g.MOVW(operand.U16(amxLine), config.width(tileOfB))
	configure := func(steps reg.GPPhysical) {
		g.MOVB(steps.As8(), config.rows(tileOfB))
		g.SHLQ(operand.U8(2), steps)
		g.MOVW(steps.As16(), config.width(tileOfA))
		g.configure()
	}
	g.MOVQ(operand.U32(amxRows), scratch)
	configure(scratch)
	g.load("a", a)
	g.load("lda", lda)
	g.load("b", b[0])
	for p := 1; p < amxPanels; p++ {
		g.MOVQ(b[p-1], b[p])
		g.ADDQ(g.parameter("apart"), b[p])
	}
	g.MOVQ(operand.U32(panelBytes), ldb)
	g.load("c", c)
	g.load("ldc", ldc)
	g.load("steps", blocks)
	g.MOVQ(blocks, rest)
	g.ANDQ(operand.I32(amxRows-1), rest)
	g.SHRQ(operand.U8(4), blocks)
	g.CMPQ(g.parameter("add"), operand.I32(0))
	g.JNE(operand.LabelRef("add"))
	for t := range sums {
		g.clearTile(t)
	}
	g.JMP(operand.LabelRef("begin"))
	g.Label("add")
	for t := range sums {
		g.loadTile(t, c, ldc, amxLine*int(t))
	}
	g.Label("begin")
	const ahead = 2048 // bytes of a panel
	g.loop("blocks", blocks, 1, func() {
		g.loadTile(tileOfA, a, lda, 0)
		for t := range sums {
			panel := b[t/2]
			for line := range amxRows {
				g.PREFETCHT0(mem{Base: panel, Disp: ahead + (line+amxRows*int(t%2))*amxLine})
			}
			g.loadTile(tileOfB, panel, ldb, amxLine*int(t%2))
			g.encoded(fmt.Sprintf("TDPBF16PS T%d, T%d, T%d", tileOfB, tileOfA, t), tileDotPairs(t, tileOfA, tileOfB))
		}
		g.ADDQ(operand.I32(amxLine), a)
		for _, panel := range b {
			g.ADDQ(operand.I32(amxRows*panelBytes), panel)
		}
	})
	for t := range sums {
		g.storeTile(t, c, ldc, amxLine*int(t))
	}
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("done"))
	g.MOVQ(rest, scratch)
	configure(scratch)
	g.MOVQ(operand.U32(1), blocks)
	g.XORQ(rest, rest)
	g.JMP(operand.LabelRef("add"))
	g.Label("done")
	g.release()
}
