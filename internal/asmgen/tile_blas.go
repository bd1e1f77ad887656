package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// blasShapes are the tiles of Sgemm: 1 to 14 rows of 32 columns with 32 registers; 1 to 4 rows of 24 columns with 16, which needs 19
// instructions for 12 multiply-adds where 6 rows of 16 columns need 20.
func (g *gen) blasShapes() []shape {
	most := shape{4, 3}
	if g.wide() {
		most = shape{14, 2}
	}
	var list []shape
	for rows := 1; rows <= most.rows; rows++ {
		list = append(list, shape{rows, most.across})
	}
	return list
}

// tileBLAS writes the tile of Sgemm, whose panels are as wide as a tile. It has two streams to prefetch: the next tile's part of a,
// which lies behind this one's, and a part of b, of which a line or two in each of many rows come now and then.
func (g *gen) tileBLAS() {
	m := mode{aStep: 4, beside: true}
	shapes := g.blasShapes()
	most := shapes[len(shapes)-1]
	cols := most.across * g.lanes
	g.function("tileBLAS", "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, ahead, slot int)",
		fmt.Sprintf("tileBLAS%s computes c (rows, cols) = a·b, or adds to c if add is not 0, for rows in [1,%d] and cols in [1,%d].", g.suffix, most.rows, cols),
		fmt.Sprintf("a is (steps, rows), its lda of no account, b is (steps, %d). Rows of c are ldc bytes apart.", cols),
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the tile's size.",
		"As much of what lies behind a is prefetched as a has. Before every slot steps, slot being positive,",
		fmt.Sprintf("the %d bytes at next are prefetched, which then moves by ahead bytes.", 4*cols))
	g.byRows(shapes, func(s shape) {
		g.blasLoop(m, s)
		g.tileStore(s)
	})
}

// Registers of blasLoop beside those of tileLoop: what is behind a, and the steps of a slot.
var blasBehind, blasSlot = reg.R14, reg.R15

func (g *gen) blasLoop(m mode, s shape) {
	g.tileBegin(m, s)
	g.IMUL3Q(operand.I32(4*s.rows), tileSteps, blasBehind)
	g.ADDQ(tileA, blasBehind)
	label := fmt.Sprintf("slot%d", s.rows)
	g.Label(label)
	panel := s.across * g.bytes()
	for _, at := range panelLines(panel) {
		g.PREFETCHT1(mem{Base: tileNext, Disp: at})
	}
	g.ADDQ(tileAhead, tileNext)
	g.load("slot", blasSlot)
	g.CMPQ(tileSteps, blasSlot)
	g.CMOVQLT(tileSteps, blasSlot)
	g.SUBQ(blasSlot, tileSteps)
	g.loop(fmt.Sprintf("loop%d", s.rows), blasSlot, unroll, func() { g.blasSteps(m, s, unroll) })
	g.loop(fmt.Sprintf("loop%d_rest", s.rows), blasSlot, 1, func() { g.blasSteps(m, s, 1) })
	g.TESTQ(tileSteps, tileSteps)
	g.JG(operand.LabelRef(label))
}

// blasSteps is n steps one after the other.
func (g *gen) blasSteps(m mode, s shape, n int) {
	panel := s.across * g.bytes()
	for i := range n {
		if i == unroll-1 {
			bytes := unroll * 4 * s.rows
			for at := 0; at < bytes; at += 64 {
				g.PREFETCHT1(mem{Base: blasBehind, Disp: at})
			}
			g.ADDQ(operand.I32(bytes), blasBehind)
		}
		for j := range s.across {
			g.VMOVUPS(mem{Base: tileB, Disp: i*panel + j*g.bytes()}, g.vecs[j])
		}
		g.tileProducts(m, s, i*m.aStep)
	}
	g.ADDQ(operand.I32(n*panel), tileB)
	g.ADDQ(operand.I32(n*s.rows*m.aStep), tileA)
}
