package main

import "fmt"

// upperMask makes a mask of the upper halves of 32-bit elements, which are bfloat16 in the place of their float32.
func (g *neon) upperMask(to vector) {
	g.do("VMOVI", 255, to.of("B16"))
	g.do("VSHL", 16, to.of("S4"), to.of("S4"))
}

// widen writes the conversion from bfloat16 to float32.
func (g *neon) widen() {
	const (
		to, from, n general = 0, 1, 2
		x           vector  = 0
	)
	g.function("widen", "func(to *float32, from *uint16, n int)",
		"widenNEON converts n elements of bfloat16, a multiple of 4, to float32.")
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.loop("loop", n, 4, func() {
		g.do("FMOVD.P", at(from, 8), x.scalar())
		g.encoded(shll(x, x, false))
		g.do("FMOVQ.P", x.scalar(), at(to, 16))
	})
	g.do("RET")
}

// roundings makes the constants of rounding to bfloat16: 1, just below half a unit, and the quiet bit.
func (g *neon) roundings(r neonRows) {
	const number general = 17
	g.constant(1, number, r.one)
	g.constant(1<<15-1, number, r.below)
	g.constant(1<<22, number, r.quiet)
}

// round makes the bfloat16 nearest to each float32, ties to even, in the upper half of its 32 bits, the lower one being undefined; a
// NaN keeps its sign and upper bits and becomes quiet.
func (g *neon) round(r neonRows, x vector) {
	rounded, isNumber := r.t0, r.t1
	g.do("VUSHR", 16, x.of("S4"), rounded.of("S4"))
	g.do("VAND", r.one.of("B16"), rounded.of("B16"), rounded.of("B16"))
	g.do("VADD", r.below.of("S4"), rounded.of("S4"), rounded.of("S4"))
	g.do("VADD", x.of("S4"), rounded.of("S4"), rounded.of("S4"))
	g.encoded(fcmeq(isNumber, x, x))
	g.do("VORR", r.quiet.of("B16"), x.of("B16"), x.of("B16"))
	g.do("VBIT", isNumber.of("B16"), rounded.of("B16"), x.of("B16"))
}

// narrow writes the conversion from float32 to bfloat16.
func (g *neon) narrow() {
	const (
		to, from, n general = 0, 1, 2
		x           vector  = 0
	)
	g.function("narrow", "func(to *uint16, from *float32, n int)",
		"narrowNEON rounds n elements of float32, a multiple of 4, to the nearest bfloat16, ties to even.")
	r := neonRows{one: 1, below: 2, quiet: 3, t0: 4, t1: 5}
	g.roundings(r)
	g.load("to", to)
	g.load("from", from)
	g.load("n", n)
	g.loop("loop", n, 4, func() {
		g.do("FMOVQ.P", at(from, 16), x.scalar())
		g.round(r, x)
		g.do("VUZP2", x.of("H8"), x.of("H8"), x.of("H8"))
		g.do("FMOVD.P", x.scalar(), at(to, 8))
	})
	g.do("RET")
}

// widenPanel writes the conversion of a panel of pairs of bfloat16 to one of float32.
func (g *neon) widenPanel() {
	const (
		to, from, steps general = 0, 1, 2
		mask            vector  = 4
	)
	g.function("widenPanel", "func(to, from *uint32, steps int)",
		"widenPanelNEON converts a panel (steps, 32, 2) of bfloat16 to one of float32, (2·steps, 32).")
	g.upperMask(mask)
	g.load("to", to)
	g.load("from", from)
	g.load("steps", steps)
	g.loop("loop", steps, 1, func() {
		for offset := 0; offset < panelBytes; offset += 32 {
			g.do("FLDPQ", at(from, offset), pair(0, 1))
			for v := range vector(2) {
				g.do("VSHL", 16, v.of("S4"), (v + 2).of("S4"))
				g.do("VAND", mask.of("B16"), v.of("B16"), v.of("B16"))
			}
			g.do("FSTPQ", pair(2, 3), at(to, offset))
			g.do("FSTPQ", pair(0, 1), at(to, panelBytes+offset))
		}
		g.do("ADD", panelBytes, from, from)
		g.do("ADD", 2*panelBytes, to, to)
	})
	g.do("RET")
}

// transpose writes a kernel that turns rows of 32-bit elements into columns of a panel of some columns, a square of registers at a time.
func (g *neon) transpose(name string, cols int) {
	const to, from, ld, steps general = 4, 0, 5, 6
	g.function(name, "func(to, from *uint32, ld, steps int)",
		fmt.Sprintf("%sNEON sets to[%dk+i] = from[i,k] for 4 rows i, ld bytes apart, and k below steps, a multiple of 4.", name, cols))
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.rows(from, 4, ld)
	// interleave gives the lower halves of a and b, element by element, and the upper ones.
	interleave := func(elements string, a, b, low, high vector) {
		g.do("VZIP1", b.of(elements), a.of(elements), low.of(elements))
		g.do("VZIP2", b.of(elements), a.of(elements), high.of(elements))
	}
	g.loop("loop", steps, 4, func() {
		for i := range 4 {
			g.do("FMOVQ.P", at(from+general(i), 16), vector(i).scalar())
		}
		interleave("S4", 0, 1, 4, 5)
		interleave("S4", 2, 3, 6, 7)
		interleave("D2", 4, 6, 0, 1)
		interleave("D2", 5, 7, 2, 3)
		for i := range 4 {
			g.do("FMOVQ.P", vector(i).scalar(), at(to, 4*cols))
		}
	})
	g.do("RET")
}
