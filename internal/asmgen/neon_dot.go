package main

import "fmt"

// neonDotRows is the rows of x that a dot kernel takes at most. With two vectors of sums for each row of x and of w, one for even
// and one for odd vectors of elements, they leave room for two vectors of each row of x and of one row of w.
//
// Eight elements of one row of x and four of w are 8 fused multiply-adds, each to a sum of its own, and 5 loads, in dotWidened
// with 8 shifts besides. With a latency of four cycles the expected bound is 32 bytes of w a cycle, 16 of bfloat16. Of three
// rows of x they are 24 multiply-adds and 7 loads. This is a count, not a measurement: no hardware was at hand.
const neonDotRows = 3

func neonDotSum(i, j, odd int) vector { return vector(8 + 8*i + 2*j + odd) }

// dots writes the kernel for weights that lie as they are, row by row: dots of four rows of w with up to neonDotRows rows of x.
func (g *neon) dots(narrow bool) {
	name, element, wSize := "dotF32", "*float32", 4
	if narrow {
		name, element, wSize = "dotWidened", "*uint16", 2
	}
	g.function(name, fmt.Sprintf("func(out *float32, x *float32, ldx int, w %s, ldw, n, rows int)", element),
		fmt.Sprintf("%sNEON computes out[4i+j] = Σ x[i,k]·w[j,k] for k below n, a multiple of 4,", name),
		fmt.Sprintf("and four rows j of w and rows i of x, in [1,%d].", neonDotRows),
		"Rows are ldx and ldw bytes apart. w is bfloat16, widened, where it is 16 bits wide.")
	g.choose("rows", neonDotRows, func(rows int) {
		g.dotLoop(rows, wSize)
		g.dotSums(rows)
	})
}

func (g *neon) dotLoop(rows, wSize int) {
	const (
		x, w, n, ld general = 0, 4, 8, 9
		w0, w1, xs  vector  = 0, 1, 2
	)
	g.load("x", x)
	g.load("ldx", ld)
	g.rows(x, rows, ld)
	g.load("w", w)
	g.load("ldw", ld)
	g.rows(w, dotRows, ld)
	g.load("n", n)
	for i := range rows {
		for j := range dotRows {
			g.zero(neonDotSum(i, j, 0))
			g.zero(neonDotSum(i, j, 1))
		}
	}
	products := func(vectors int) {
		for j := range dotRows {
			row := w + general(j)
			switch {
			case wSize == 4 && vectors == 2:
				g.do("FLDPQ.P", at(row, 32), pair(w0, w1))
			case wSize == 4:
				g.do("FMOVQ.P", at(row, 16), w0.scalar())
			case vectors == 2:
				g.do("FMOVQ.P", at(row, 16), w0.scalar())
				g.encoded(shll(w1, w0, true))
				g.encoded(shll(w0, w0, false))
			default:
				g.do("FMOVD.P", at(row, 8), w0.scalar())
				g.encoded(shll(w0, w0, false))
			}
			for i := range rows {
				for odd := range vectors {
					g.do("VFMLA", (w0 + vector(odd)).of("S4"), (xs + vector(2*i+odd)).of("S4"), neonDotSum(i, j, odd).of("S4"))
				}
			}
		}
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, 8, func() {
		for i := range rows {
			g.do("FLDPQ.P", at(x+general(i), 32), pair(xs+vector(2*i), xs+vector(2*i+1)))
		}
		products(2)
	})
	g.do("CBZ", n, fmt.Sprintf("sums%d", rows))
	for i := range rows {
		g.do("FMOVQ", at(x+general(i), 0), (xs + vector(2*i)).scalar())
	}
	products(1)
}

// dotSums adds up the elements of each sum.
func (g *neon) dotSums(rows int) {
	const out general = 0
	g.Label(fmt.Sprintf("sums%d", rows))
	g.load("out", out)
	for i := range rows {
		sum := func(j int) vector { return neonDotSum(i, j, 0) }
		for j := range dotRows {
			g.encoded(fadd(sum(j), sum(j), neonDotSum(i, j, 1)))
		}
		g.fourSums(sum)
		g.do("FMOVQ", sum(0).scalar(), at(out, 16*i))
	}
}
