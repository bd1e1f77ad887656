package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// What a kernel for few rows with narrow vectors takes.
const (
	parkedRows  = 8 // at most
	parkedSteps = 8 // of a panel, which are sixteen cache lines, before those of the next
)

// parkedPanels is the number of panels at a time: as many as fewPanels of package cpu says.
var parkedPanels = struct{ fewer, rows, more int }{3, 4, 2}

// Registers of such a kernel.
var (
	parkedA, parkedB, parkedLeft   = reg.RAX, reg.RBX, reg.RCX // steps are left
	parkedApart, parkedAcross      = reg.RDX, reg.R13          // a panel and all panels
	parkedSums, parkedLda          = reg.RSI, reg.RDI
	parkedRow, parkedRowsLeft      = reg.R8, reg.R9
	parkedPanel, parkedPanelsCount = reg.R10, reg.R12
)

// fewParked writes the kernel of a mode for few rows where registers have no room for the sums of several panels. It takes some steps of
// a panel and then as many of the next, so that the hardware sees several streams, and parks sums on the stack meanwhile. All rows
// meet those steps, two at a time. Nothing is prefetched: that was slower, whatever the distance.
func (g *gen) fewParked(m mode) {
	name := "few" + m.name[len("tile"):]
	p := parkedPanels
	g.Function(name + g.suffix)
	g.Doc(
		fmt.Sprintf("%s%s computes c (rows, cols) = a·b, or adds to c if add is not 0, for up to %d rows and %d columns or %d rows and %d columns.",
			name, g.suffix, p.rows-1, p.fewer*panelBytes/4, parkedRows, p.more*panelBytes/4),
		m.doc,
		"b is parts of panels of 32 columns each, apart bytes one from the next; c has their columns one after the other.",
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the rows.",
		"Rows of a and c are lda and ldc bytes apart. Nothing is prefetched.")
	g.Pragma("noescape")
	g.SignatureExpr("func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)")
	sums := g.AllocLocal(panelBytes * max(p.fewer*(p.rows-1), p.more*parkedRows))

	g.load("rows", parkedRowsLeft)
	g.MOVQ(operand.U32(p.fewer), parkedPanelsCount)
	g.CMPQ(parkedRowsLeft, operand.I32(p.rows))
	g.JLT(operand.LabelRef("clear"))
	g.MOVQ(operand.U32(p.more), parkedPanelsCount)
	g.Label("clear")
	g.IMULQ(parkedPanelsCount, parkedRowsLeft)
	g.LEAQ(sums, parkedSums)
	g.zero(g.vecs[0])
	g.Label("clear_row")
	for j := range panelBytes / g.bytes() {
		g.VMOVUPS(g.vecs[0], mem{Base: parkedSums, Disp: j * g.bytes()})
	}
	g.ADDQ(operand.I32(panelBytes), parkedSums)
	g.DECQ(parkedRowsLeft)
	g.JNE(operand.LabelRef("clear_row"))

	g.load("a", parkedA)
	g.load("lda", parkedLda)
	g.load("b", parkedB)
	g.load("steps", parkedLeft)
	g.load("apart", parkedApart)
	g.MOVQ(parkedApart, parkedAcross)
	g.IMULQ(parkedPanelsCount, parkedAcross)
	if m.pairs {
		g.upperMask(parkedUpper(g))
	}
	for _, n := range []int{parkedSteps, 1} {
		g.loop(fmt.Sprintf("steps%d", n), parkedLeft, n, func() { g.parkedBlock(m, n, sums) })
	}
	g.parkedStore(sums)
}

// parkedUpper is the register of the mask of upper halves.
func parkedUpper(g *gen) vec { return g.vecs[3] }

// parkedBlock takes n steps of every panel.
func (g *gen) parkedBlock(m mode, n int, sums mem) {
	label := func(name string) string { return fmt.Sprintf("%s%d", name, n) }
	g.LEAQ(sums, parkedSums)
	g.MOVQ(parkedPanelsCount, parkedPanel)
	g.Label(label("panel"))
	g.MOVQ(parkedA, parkedRow)
	g.load("rows", parkedRowsLeft)
	g.SUBQ(operand.I32(2), parkedRowsLeft)
	g.JLT(operand.LabelRef(label("one")))
	g.Label(label("two"))
	g.parkedProducts(m, shape{2, panelBytes / g.bytes()}, n)
	g.LEAQ(mem{Base: parkedRow, Index: parkedLda, Scale: 2}, parkedRow)
	g.SUBQ(operand.I32(2), parkedRowsLeft)
	g.JGE(operand.LabelRef(label("two")))
	g.Label(label("one"))
	g.ADDQ(operand.I32(1), parkedRowsLeft)
	g.JLT(operand.LabelRef(label("next")))
	g.parkedProducts(m, shape{1, panelBytes / g.bytes()}, n)
	g.Label(label("next"))
	g.ADDQ(parkedApart, parkedB)
	g.DECQ(parkedPanel)
	g.JNE(operand.LabelRef(label("panel")))
	g.SUBQ(parkedAcross, parkedB)
	g.ADDQ(operand.I32(n*panelBytes), parkedB)
	g.ADDQ(operand.I32(n*m.aStep), parkedA)
}

// parkedProducts adds the products of one or two rows with n steps of a panel to their sums.
func (g *gen) parkedProducts(m mode, s shape, n int) {
	each := func(do func(sum vec, at mem)) {
		for r := range s.rows {
			for j := range s.across {
				do(s.sum(g, r, j), mem{Base: parkedSums, Disp: (r*s.across + j) * g.bytes()})
			}
		}
	}
	products := func(offset, step int, load func(from mem, to vec)) {
		elements := g.vecs[4 : 4+s.rows]
		for r, element := range elements {
			at := mem{Base: parkedRow, Disp: offset}
			if r == 1 {
				at.Index, at.Scale = parkedLda, 1
			}
			g.VBROADCASTSS(at, element)
		}
		for j := range s.across {
			b := g.vecs[j%3]
			load(mem{Base: parkedB, Disp: step*panelBytes + j*g.bytes()}, b)
			for r, element := range elements {
				g.product(m, element, b, s.sum(g, r, j))
			}
		}
	}
	each(func(sum vec, at mem) { g.VMOVUPS(at, sum) })
	for i := range n {
		if !m.pairs {
			products(i*m.aStep, i, func(from mem, to vec) { g.VMOVUPS(from, to) })
			continue
		}
		products(i*m.aStep, i, g.lowerHalves)
		products(i*m.aStep+4, i, func(from mem, to vec) { g.and(from, parkedUpper(g), to) })
	}
	each(func(sum vec, at mem) { g.VMOVUPS(sum, at) })
	g.ADDQ(operand.I32(s.rows*panelBytes), parkedSums)
}

// parkedStore stores the sums, or adds them to c, panel by panel.
func (g *gen) parkedStore(sums mem) {
	c, ldc, add, columns := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	g.LEAQ(sums, parkedSums)
	g.load("c", columns)
	g.load("ldc", ldc)
	g.load("add", add)
	g.Label("columns")
	g.MOVQ(columns, c)
	g.load("rows", parkedRowsLeft)
	g.Label("row")
	all := g.vecs[:panelBytes/g.bytes()]
	for j, v := range all {
		g.VMOVUPS(mem{Base: parkedSums, Disp: j * g.bytes()}, v)
	}
	g.TESTQ(add, add)
	g.JE(operand.LabelRef("store"))
	for j, v := range all {
		g.VADDPS(mem{Base: c, Disp: j * g.bytes()}, v, v)
	}
	g.Label("store")
	for j, v := range all {
		g.VMOVUPS(v, mem{Base: c, Disp: j * g.bytes()})
	}
	g.ADDQ(operand.I32(panelBytes), parkedSums)
	g.ADDQ(ldc, c)
	g.DECQ(parkedRowsLeft)
	g.JNE(operand.LabelRef("row"))
	g.ADDQ(operand.I32(panelBytes), columns)
	g.DECQ(parkedPanelsCount)
	g.JNE(operand.LabelRef("columns"))
	g.end()
}
