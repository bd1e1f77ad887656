package main

import (
	"fmt"
	"strings"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fewShapes are the shapes of the kernels for few rows, whose panels are two vectors wide: as many panels, a power of two, as the
// registers have room for.
var fewShapes = []shape{{1, 8}, {2, 8}, {3, 8}, {4, 4}}

// fewBytes is how far ahead of its loads such a kernel prefetches, all panels together.
const fewBytes = 4096

// Registers of such a kernel beside those of a tile: how far a panel is from the first.
var fewApart = map[int]reg.GPPhysical{1: reg.RDX, 3: reg.RSI}

// few writes the kernel of a mode for few rows. All time goes into reading w then. One place at a time is too few for the hardware's
// prefetching, so it reads several panels at once, and prefetches besides.
func (g *gen) few(m mode) {
	name := strings.Replace(m.name, "tile", "few", 1)
	g.function(name, "func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)",
		name+g.suffix+" computes c (rows, cols) = a·b, or adds to c if add is not 0, for up to 3 rows and 128 columns or 4 rows and 64 columns.",
		m.doc,
		"b is parts of panels of 32 columns each, apart bytes one from the next; c has their columns one after the other.",
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the rows.",
		"Rows of a and c are lda and ldc bytes apart. What lies behind the parts is prefetched.")
	g.byRows(fewShapes, func(s shape) {
		g.fewLoop(m, s)
		g.tilePasses(s, "all", wholeVectors(g))
	})
}

func (g *gen) fewLoop(m mode, s shape) {
	g.load("a", tileA)
	g.load("b", tileB)
	g.load("steps", tileSteps)
	g.load("apart", fewApart[1])
	g.LEAQ(mem{Base: fewApart[1], Index: fewApart[1], Scale: 2}, fewApart[3])
	g.rowMultiples(s)
	for r := range s.rows {
		for j := range s.across {
			g.zero(s.sum(g, r, j))
		}
	}
	upper := g.vecs[s.rows+2]
	if m.pairs {
		g.upperMask(upper)
	}
	g.loop(fmt.Sprintf("loop%d", s.rows), tileSteps, 1, func() {
		panels := s.across / 2
		for p := range panels {
			g.PREFETCHT0(fewPanel(p, fewBytes/panels))
			g.PREFETCHT0(fewPanel(p, fewBytes/panels+64))
		}
		if m.pairs {
			g.fewProducts(m, s, 0, g.lowerHalves)
			g.fewProducts(m, s, 4, func(from mem, to vec) { g.and(from, upper, to) })
		} else {
			g.fewProducts(m, s, 0, func(from mem, to vec) { g.VMOVUPS(from, to) })
		}
		g.ADDQ(operand.I32(panelBytes), tileB)
		g.ADDQ(operand.I32(m.aStep), tileA)
	})
}

// fewPanel is the address of the bytes from one on of a step of panel p, in [0,4).
func fewPanel(p, offset int) mem {
	switch p {
	case 0:
		return mem{Base: tileB, Disp: offset}
	case 2:
		return mem{Base: tileB, Index: fewApart[1], Scale: 2, Disp: offset}
	}
	return mem{Base: tileB, Index: fewApart[p], Scale: 1, Disp: offset}
}

// fewProducts adds the products of the 32-bit elements of a at an offset with the vectors of all panels, loaded as load does.
func (g *gen) fewProducts(m mode, s shape, offset int, load func(from mem, to vec)) {
	elements, b := g.vecs[:s.rows], g.vecs[s.rows:s.rows+2]
	for r, element := range elements {
		g.VBROADCASTSS(m.aRow(s, r, offset), element)
	}
	for j := range s.across {
		load(fewPanel(j/2, j%2*g.bytes()), b[j%2])
		for r, element := range elements {
			g.product(m, element, b[j%2], s.sum(g, r, j))
		}
	}
}
