package main

import "fmt"

// neonShapes are the tiles: 24 vectors of sums at most, next to a vector of a for each row and two of b.
//
// In the loop of the largest, 6 rows by 16 columns, four steps of tileF32 are 96 fused multiply-adds by element, 8 loads of two
// vectors of b, 6 loads of a vector of a, 4 prefetches and 7 instructions on integers: for each multiply-add 0.26 other
// instructions, of which 0.15 are loads. The expected bound is the multiply-adds: 24 cycles on a core that issues four a cycle
// (32 operations a cycle; it loads 22 vectors and issues 121 instructions meanwhile), 48 on a core that issues two.
// tileWidened adds 24 instructions on vectors, a shift and two that clear, to 96 multiply-adds: at best 80% of that. This is a
// count, not a measurement: no hardware was at hand.
var neonShapes = []shape{{1, 8}, {2, 8}, {3, 8}, {4, 4}, {5, 4}, {6, 4}}

// Registers of a tile, of its loop and of its stores. The rows of a, or of c, are at R0 to R5, their vectors in V0 to V5.
const (
	neonB, neonSteps, neonNext, neonAhead general = 6, 7, 8, 9
	neonLd, neonCols, neonAdd             general = 6, 7, 8
	neonB0, neonB1, neonSums              vector  = 6, 7, 8

	neonMask     vector = 5             // the last row's, if there are six
	neonMaskRows        = int(neonMask) // rows of a tile that has a mask, at most
)

func neonSum(s shape, row, j int) vector { return neonSums + vector(row*s.across+j) }

// tile writes the kernel of a mode: a compare for each number of rows and, for each, its loop and its stores.
func (g *neon) tile(m mode) {
	g.function(m.name, "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int)",
		m.name+"NEON computes c (rows, cols) = a·b, or adds to c if add is not 0.",
		m.doc,
		"cols is at most what the kernel has, 32 columns for one to three rows, 16 for more; rows is in [1,6].",
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the tile's size.",
		"Rows of a and c are lda and ldc bytes apart.",
		"At every step the cache line at next is prefetched, which then moves by ahead bytes. It is the only place, so apart is of no account.")
	g.choose("rows", len(neonShapes), func(rows int) {
		s := neonShapes[rows-1]
		g.tileLoop(m, s)
		g.tileStore(s)
	})
}

// choose writes code for each value of a parameter from 1 to most and a jump to the one that it has.
func (g *neon) choose(parameter string, most int, body func(n int)) {
	const value general = 0
	g.load(parameter, value)
	for n := 1; n <= most; n++ {
		g.do("CMP", n, value)
		g.do("BEQ", fmt.Sprintf("%s%d", parameter, n))
	}
	g.do("RET")
	for n := 1; n <= most; n++ {
		g.Label(fmt.Sprintf("%s%d", parameter, n))
		body(n)
		g.do("RET")
	}
}

// tileBegin loads what a tile's loop needs into registers.
func (g *neon) tileBegin(m mode, s shape) {
	g.load("a", 0)
	g.load("lda", neonB)
	g.rows(0, s.rows, neonB)
	g.load("b", neonB)
	g.load("steps", neonSteps)
	g.load("next", neonNext)
	g.load("ahead", neonAhead)
	for v := range s.rows * s.across {
		g.zero(neonSums + vector(v))
	}
	if m.pairs && s.rows <= neonMaskRows {
		g.upperMask(neonMask)
	}
}

func (g *neon) tileLoop(m mode, s shape) {
	g.tileBegin(m, s)
	g.tileLoops(m, s, neonSteps, panelBytes, func(int) {
		g.do("PRFM", at(neonNext, 0), "PLDL2KEEP")
		g.do("ADD", neonAhead, neonNext, neonNext)
	})
}

// tileLoops goes over as many steps as a counter says, those of a vector of a at a time and then one, each panel bytes of b, and
// writes a prefetch for each of those that are written together.
func (g *neon) tileLoops(m mode, s shape, counter general, panel int, prefetch func(i int)) {
	label := fmt.Sprintf("loop%d", s.rows)
	steps := func(n int, load string) func() {
		return func() {
			for r := range s.rows {
				g.do(load+".P", at(general(r), n*m.aStep), vector(r).scalar())
			}
			for i := range n {
				prefetch(i)
				g.tileStep(m, s, i, panel)
			}
			g.do("ADD", n*panel, neonB, neonB)
		}
	}
	single := "FMOVS"
	if m.pairs {
		single = "FMOVD"
	}
	whole := 16 / m.aStep // steps of a vector of a
	g.loop(label, counter, whole, steps(whole, "FMOVQ"))
	g.loop(label+"_rest", counter, 1, steps(1, single))
}

// tileStep is step i of those whose elements of a are in registers.
func (g *neon) tileStep(m mode, s shape, i, panel int) {
	for j := 0; j < s.across; j += 2 {
		b := at(neonB, i*panel+16*j)
		g.do("FLDPQ", b, pair(neonB0, neonB1))
		if !m.pairs {
			g.tileProducts(s, j, i)
			continue
		}
		g.do("VSHL", 16, neonB0.of("S4"), neonB0.of("S4"))
		g.do("VSHL", 16, neonB1.of("S4"), neonB1.of("S4"))
		g.tileProducts(s, j, 2*i)
		g.do("FLDPQ", b, pair(neonB0, neonB1))
		for _, v := range []vector{neonB0, neonB1} {
			if s.rows <= neonMaskRows {
				g.do("VAND", neonMask.of("B16"), v.of("B16"), v.of("B16"))
			} else {
				g.encoded(bic(v, 0))
				g.encoded(bic(v, 1))
			}
		}
		g.tileProducts(s, j, 2*i+1)
	}
}

// tileProducts adds the products of an element of each row of a with the two vectors of b.
func (g *neon) tileProducts(s shape, j, lane int) {
	for r := range s.rows {
		g.encoded(fmlaLane(neonSum(s, r, j), neonB0, vector(r), lane))
		g.encoded(fmlaLane(neonSum(s, r, j+1), neonB1, vector(r), lane))
	}
}

// tileStore stores the sums, or adds them to c, the columns below cols only: four at a time, then one.
func (g *neon) tileStore(s shape) {
	label := func(name string, j int) string { return fmt.Sprintf("%s%d_%d", name, s.rows, j) }
	g.load("c", 0)
	g.load("ldc", neonLd)
	g.rows(0, s.rows, neonLd)
	g.load("cols", neonCols)
	g.load("add", neonAdd)
	for j := range s.across {
		g.do("CMP", 4, neonCols)
		g.do("BLT", label("single", j))
		g.do("CBZ", neonAdd, label("store", j))
		for r := range s.rows {
			g.do("FMOVQ", at(general(r), 0), vector(r).scalar())
			g.encoded(fadd(neonSum(s, r, j), neonSum(s, r, j), vector(r)))
		}
		g.Label(label("store", j))
		for r := range s.rows {
			g.do("FMOVQ.P", neonSum(s, r, j).scalar(), at(general(r), 16))
		}
		g.do("SUB", 4, neonCols, neonCols)
	}
	g.do("RET")
	for j := range s.across {
		g.Label(label("single", j))
		for r := range s.rows {
			g.do("VMOV", neonSum(s, r, j).of("B16"), vector(r).of("B16"))
		}
		if j < s.across-1 {
			g.do("B", label("single", s.across))
		}
	}
	g.tileSingles(s, label("single", s.across))
}

// tileSingles stores the columns that are left, fewer than four, whose sums are in V0 to V5.
func (g *neon) tileSingles(s shape, label string) {
	const c = neonSums
	g.Label(label)
	g.loop(label+"_loop", neonCols, 1, func() {
		g.do("CBZ", neonAdd, label+"_store")
		for r := range vector(s.rows) {
			g.do("FMOVS", at(general(r), 0), c.scalar())
			g.do("FADDS", c.scalar(), r.scalar(), c.scalar())
			g.do("VMOV", c.of("S[0]"), r.of("S[0]"))
		}
		g.Label(label + "_store")
		for r := range vector(s.rows) {
			g.do("FMOVS.P", r.scalar(), at(general(r), 4))
			g.do("VEXT", 4, r.of("B16"), r.of("B16"), r.of("B16"))
		}
	})
}
