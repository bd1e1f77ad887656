package main

import "fmt"

// neonBLASShapes are the tiles of Sgemm, 1 to 6 rows of 16 columns. Their loops are those of the other tiles, with as many
// multiply-adds and loads, but fewer prefetches: four steps of 6 rows are 96 fused multiply-adds by element, 8 loads of two vectors of
// b, 6 loads of a vector of a, 2 prefetches and 4 instructions on integers, so 0.21 others for each multiply-add. 8 rows of 12 columns
// whose elements of a lie side by side would be 10 loads of two vectors instead of the 14 loads, and no other gain: multiply-adds
// bound both. This is a count, not a measurement: no hardware was at hand.
var neonBLASShapes = []shape{{1, 4}, {2, 4}, {3, 4}, {4, 4}, {5, 4}, {6, 4}}

// neonBLASPanel is the bytes of a step of a panel of Sgemm.
const neonBLASPanel = 64

// Registers of a tile's loop beside those of the other tiles: what is behind a, and the steps of a slot.
const neonBehind, neonSlot general = 10, 11

// tileBLAS writes the tile of Sgemm, whose panels are as wide as a tile.
func (g *neon) tileBLAS() {
	m := mode{aStep: 4}
	g.function("tileBLAS", "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, ahead, slot int)",
		"tileBLASNEON computes c (rows, cols) = a·b, or adds to c if add is not 0, for rows in [1,6] and cols in [1,16].",
		"a is (rows, steps), its rows lda bytes apart, b is (steps, 16). Rows of c are ldc bytes apart.",
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the tile's size.",
		"As much of what lies behind a is prefetched as a has. Before every slot steps, slot being positive,",
		"the 64 bytes at next are prefetched, which then moves by ahead bytes.")
	g.choose("rows", len(neonBLASShapes), func(rows int) {
		s := neonBLASShapes[rows-1]
		g.blasLoop(m, s)
		g.tileStore(s)
	})
}

func (g *neon) blasLoop(m mode, s shape) {
	g.tileBegin(m, s)
	g.load("lda", neonSlot)
	g.do("ADD", neonSlot, general(s.rows-1), neonBehind)
	label := fmt.Sprintf("slot%d", s.rows)
	g.Label(label)
	g.prefetchLines(neonNext)
	g.do("ADD", neonAhead, neonNext, neonNext)
	g.load("slot", neonSlot)
	g.do("CMP", neonSlot, neonSteps)
	g.do("CSEL", "LT", neonSteps, neonSlot, neonSlot)
	g.do("SUB", neonSlot, neonSteps, neonSteps)
	g.tileLoops(m, s, neonSlot, neonBLASPanel, func(i int) {
		if i == unroll-1 {
			bytes := unroll * 4 * s.rows
			for line := 0; line < bytes; line += 64 {
				g.do("PRFM", at(neonBehind, line), "PLDL2KEEP")
			}
			g.do("ADD", bytes, neonBehind, neonBehind)
		}
	})
	g.do("CBNZ", neonSteps, label)
}

// prefetchLines prefetches the cache lines of a step of a panel's columns, wherever in a line these begin.
func (g *neon) prefetchLines(from general) {
	g.do("PRFM", at(from, 0), "PLDL2KEEP")
	g.encoded(prefetchUnscaled(from, neonBLASPanel-4))
}

// copyPanel writes the kernel that fills a panel of Sgemm with columns of rows that lie far from each other in memory.
func (g *neon) copyPanel() {
	const (
		to, from, ld, steps, next general = 0, 1, 2, 3, 4

		ahead = 3 // log₂ of rows
	)
	g.function("copyPanel", "func(to, from *uint32, ld, steps int)",
		"copyPanelNEON sets to[16k+j] = from[k,j] for j below 16 and k below steps; rows of from are ld bytes apart.")
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.do("ADD", fmt.Sprintf("%v<<%d", ld, ahead), from, next)
	g.loop("loop", steps, 1, func() {
		g.prefetchLines(next)
		g.do("FLDPQ", at(from, 0), pair(0, 1))
		g.do("FLDPQ", at(from, 32), pair(2, 3))
		g.do("FSTPQ.P", pair(0, 1), at(to, 32))
		g.do("FSTPQ.P", pair(2, 3), at(to, 32))
		g.do("ADD", ld, from, from)
		g.do("ADD", ld, next, next)
	})
	g.do("RET")
}

// axpy writes the kernel that adds multiples of rows to a vector.
//
// Sixteen elements of eight rows are 32 fused multiply-adds by element and 20 loads and stores of two vectors: 16 of them loads of a. The
// expected bound is the memory, or in a cache the loads. This is a count, not a measurement: no hardware was at hand.
func (g *neon) axpy() {
	g.function("axpyF32", "func(y, a *float32, lda int, x *float32, n, rows int)",
		fmt.Sprintf("axpyF32NEON adds Σ x[i]·a[i,j] to y[j] for j below n, a multiple of 4, and rows i of a, 1 or %d, in ascending order.", axpyRows),
		"Rows of a are lda bytes apart.")
	const rows general = 0
	g.load("rows", rows)
	g.do("CMP", axpyRows, rows)
	g.do("BEQ", fmt.Sprintf("rows%d", axpyRows))
	for _, rows := range []int{1, axpyRows} {
		g.Label(fmt.Sprintf("rows%d", rows))
		g.axpyLoop(rows)
		g.do("RET")
	}
}

func (g *neon) axpyLoop(rows int) {
	const (
		a, y, n, x, ld general = 0, 8, 9, 10, 11
		xs, v, sums    vector  = 0, 2, 4 // the elements of x, two vectors of a row, four of y
	)
	g.load("a", a)
	g.load("lda", ld)
	g.rows(a, rows, ld)
	g.load("y", y)
	g.load("n", n)
	g.load("x", x)
	if rows == 1 {
		g.do("FMOVS", at(x, 0), xs.scalar())
	} else {
		g.do("FLDPQ", at(x, 0), pair(xs, xs+1))
	}
	add := func(i int, sum, v vector) { g.encoded(fmlaLane(sum, v, xs+vector(i/4), i%4)) }
	label := fmt.Sprintf("loop%d", rows)
	g.loop(label, n, 16, func() {
		for p := range vector(2) {
			g.do("FLDPQ.P", at(y, 32), pair(sums+2*p, sums+2*p+1))
		}
		for i := range rows {
			for p := range vector(2) {
				g.do("FLDPQ.P", at(a+general(i), 32), pair(v, v+1))
				add(i, sums+2*p, v)
				add(i, sums+2*p+1, v+1)
			}
		}
		for p := range vector(2) {
			g.do("FSTPQ", pair(sums+2*p, sums+2*p+1), at(y, 32*int(p)-64))
		}
	})
	g.loop(label+"_rest", n, 4, func() {
		g.do("FMOVQ.P", at(y, 16), sums.scalar())
		for i := range rows {
			g.do("FMOVQ.P", at(a+general(i), 16), v.scalar())
			add(i, sums, v)
		}
		g.do("FMOVQ", sums.scalar(), at(y, -16))
	})
}
