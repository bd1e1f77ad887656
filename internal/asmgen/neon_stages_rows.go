package main

import "fmt"

// Kernels that compute in float64, two elements a vector.

// toDoubles makes four float32 four float64, in two vectors of which the second may be theirs.
func (g *neon) toDoubles(from, low, high vector) {
	g.encoded(fcvtl(low, from, false))
	g.encoded(fcvtl(high, from, true))
}

// toFloats rounds four float64 to float32.
func (g *neon) toFloats(low, high, to vector) {
	g.encoded(fcvtn(to, low, false))
	g.encoded(fcvtn(to, high, true))
}

// squares writes the sum of squares of a row.
func (g *neon) squares(e element) {
	const (
		x, n       general = 0, 1
		sums, v, d vector  = 0, 4, 6
	)
	name := "squares" + e.name
	g.function(name, fmt.Sprintf("func(x %s, n int) float64", e.goType),
		fmt.Sprintf("%sNEON is Σ x[j]² for j below n, a multiple of 8, within 2⁻⁵⁰ of itself.", name))
	r := neonRows{element: e, upper: 16}
	if e.narrow() {
		g.upperMask(r.upper)
	}
	for j := range vector(4) {
		g.zero(sums + j)
	}
	g.load("x", x)
	g.load("n", n)
	g.loop("loop", n, neonStep, func() {
		g.loadPair(r, true, x, v, v+1)
		for i := range vector(2) {
			g.toDoubles(v+i, d, d+1)
			for j := range vector(2) {
				g.do("VFMLA", (d + j).of("D2"), (d + j).of("D2"), (sums + 2*i + j).of("D2"))
			}
		}
	})
	g.encoded(doubles(fadd(sums, sums, sums+1)))
	g.encoded(doubles(fadd(sums+2, sums+2, sums+3)))
	g.encoded(doubles(fadd(sums, sums, sums+2)))
	g.encoded(doubles(faddp(sums, sums, sums)))
	g.result("FMOVD", sums.scalar())
	g.do("RET")
}

// norm writes the scaling of a row.
func (g *neon) norm(e element) {
	const (
		to, x, w, n, row  general = 0, 1, 2, 3, 4
		v, weights, d, dw vector  = 0, 2, 4, 6
		factor, rest      vector  = 8, 16
	)
	name, in := "norm"+e.name, "float64"
	if e.narrow() {
		in = "float32"
	}
	g.function(name, fmt.Sprintf("func(to, x %s, w *float32, factor float64, n, past int)", e.goType),
		fmt.Sprintf("%sNEON computes to[j] = x[j]·factor·w[j] for j below n, a multiple of 8, in %s, rounded to float32 before the type of to.", name, in),
		pastDoc+" What lies behind x is prefetched.")
	r := g.newRows(e, rest)
	g.load("to", to)
	g.load("x", x)
	g.load("w", w)
	g.load("n", n)
	g.do("ADD", e.scaled(n), x, row)
	g.loadFloat("FMOVD", "factor", factor)
	if e.narrow() {
		g.do("FCVTDS", factor.scalar(), factor.scalar())
	}
	g.loop("loop", n, neonStep, func() {
		g.nextRow(e, row)
		g.loadPair(r, false, x, v, v+1)
		g.do("FLDPQ.P", at(w, 32), pair(weights, weights+1))
		for i := range vector(2) {
			if e.narrow() {
				g.encoded(fmulLane(v+i, v+i, factor, 0))
				g.encoded(fmul(v+i, v+i, weights+i))
				continue
			}
			g.toDoubles(weights+i, dw, dw+1)
			g.toDoubles(v+i, d, d+1)
			for j := range vector(2) {
				g.encoded(fmulDouble(d+j, d+j, factor))
				g.encoded(doubles(fmul(d+j, d+j, dw+j)))
			}
			g.toFloats(d, d+1, v+i)
		}
		g.storePair(r, false, v, v+1, to)
	})
	g.do("RET")
}

// nextRow prefetches what lies behind a row while that is computed a step at a time, after a pass over it that was faster than the
// memory: then both are busy.
func (g *neon) nextRow(e element, next general) {
	g.do("PRFM", at(next, 0), "PLDL1KEEP")
	g.do("ADD", neonStep*e.size, next, next)
}

// turn writes the rotation of a head.
func (g *neon) turn(e element) {
	const (
		to, x, cos, sin, n, d, toHigh, xHigh general = 0, 1, 2, 3, 4, 5, 6, 7
		low, high, rest                      vector  = 0, 2, 16 // pairs
		a, b, c, s, lo, hi                   vector  = 4, 6, 8, 10, 12, 14
	)
	name := "turn" + e.name
	g.function(name, fmt.Sprintf("func(to, x %s, cos, sin *float64, d, n, past int)", e.goType),
		fmt.Sprintf("%sNEON computes to[i] = x[i]·cos[i] − x[d+i]·sin[i] and to[d+i] = x[d+i]·cos[i] + x[i]·sin[i] for i below n, a multiple of 8,", name),
		"rounded to float64, then to float32 and then to the type of to. cos and sin are float32 numbers, so that products are exact.",
		pastDoc)
	r := g.newRows(e, rest)
	g.load("to", to)
	g.load("x", x)
	g.load("cos", cos)
	g.load("sin", sin)
	g.load("n", n)
	g.load("d", d)
	g.do("ADD", e.scaled(d), to, toHigh)
	g.do("ADD", e.scaled(d), x, xHigh)
	g.loop("loop", n, neonStep, func() {
		g.loadPair(r, false, x, low, low+1)
		g.loadPair(r, false, xHigh, high, high+1)
		for i := range vector(2) {
			g.toDoubles(low+i, a, a+1)
			g.toDoubles(high+i, b, b+1)
			g.do("FLDPQ.P", at(cos, 32), pair(c, c+1))
			g.do("FLDPQ.P", at(sin, 32), pair(s, s+1))
			for j := range vector(2) {
				g.encoded(doubles(fmul(lo+j, a+j, c+j)))
				g.encoded(doubles(fmul(hi+j, b+j, c+j)))
				g.do("VFMLS", (s + j).of("D2"), (b + j).of("D2"), (lo + j).of("D2"))
				g.do("VFMLA", (s + j).of("D2"), (a + j).of("D2"), (hi + j).of("D2"))
			}
			g.toFloats(lo, lo+1, low+i)
			g.toFloats(hi, hi+1, high+i)
		}
		g.storePair(r, false, low, low+1, to)
		g.storePair(r, false, high, high+1, toHigh)
	})
	g.do("RET")
}

// angles writes the cosines and sines. All constants stay in registers.
func (g *neon) angles() {
	const (
		cos, sin, frequency, n, table       general = 0, 1, 2, 3, 4
		position, x, t, k, z, s, c, p, mask vector  = 0, 1, 2, 3, 4, 5, 6, 7, 8
		numbers                             vector  = 9 // as many as the table has
	)
	g.function("angles", "func(cos, sin, frequency *float64, position float64, n int)",
		"anglesNEON computes the cosine and the sine of position·frequency[i] for i below n, a multiple of 2, as narrowSincos does, where no",
		"product is beyond mostAngle. Products, cosines and sines are rounded to float32.")
	number := func(i int) vector { return numbers + vector(i) }
	g.address("angleNumbersNEON", table)
	for i := range angleBits() {
		g.do("VLD1R.P", at(table, 8), "["+number(i).of("D2")+"]")
	}
	g.load("cos", cos)
	g.load("sin", sin)
	g.load("frequency", frequency)
	g.load("n", n)
	g.loadFloat("FMOVD", "position", position)
	round := func(v vector) { // to float32
		g.encoded(fcvtn(v, v, false))
		g.encoded(fcvtl(v, v, false))
	}
	mul := func(to, a, b vector) { g.encoded(doubles(fmul(to, a, b))) }
	add := func(to, a, b vector) { g.encoded(doubles(fadd(to, a, b))) }
	sub := func(to, a, b vector) { g.encoded(doubles(fsub(to, a, b))) }
	g.loop("loop", n, 2, func() {
		g.do("FMOVQ.P", at(frequency, 16), x.scalar())
		g.encoded(fmulDouble(x, x, position))
		round(x)
		mul(t, x, number(angleQuarters))
		add(t, t, number(angleAnchor))
		sub(k, t, number(angleAnchor))
		for i := range 3 {
			mul(p, k, number(angleHalfPi+i))
			sub(x, x, p)
		}
		mul(z, x, x)
		mul(s, z, number(angleSine))
		mul(c, z, number(angleSine+powers))
		for i := 1; i < powers; i++ {
			add(s, s, number(angleSine+i))
			add(c, c, number(angleSine+powers+i))
			if i < powers-1 {
				mul(s, s, z)
				mul(c, c, z)
			}
		}
		mul(p, x, z)
		mul(s, s, p)
		add(s, s, x)
		mul(p, z, number(angleHalf))
		sub(p, number(angleOne), p)
		mul(z, z, z)
		mul(c, c, z)
		add(c, c, p)
		round(s)
		round(c)
		// Bit 0 of the quarter swaps sine and cosine and changes the sign of the cosine, bit 1 those of both.
		g.do("VSHL", 63, t.of("D2"), mask.of("D2"))
		g.do("VSHL", 62, t.of("D2"), t.of("D2"))
		g.do("VAND", number(angleSign).of("B16"), t.of("B16"), t.of("B16"))
		g.encoded(sshrLong(k, mask, 63))
		g.copy(s, p)
		g.do("VBIT", k.of("B16"), c.of("B16"), p.of("B16"))
		g.do("VBIT", k.of("B16"), s.of("B16"), c.of("B16"))
		g.do("VEOR", t.of("B16"), p.of("B16"), p.of("B16"))
		g.do("VEOR", t.of("B16"), mask.of("B16"), mask.of("B16"))
		g.do("VEOR", mask.of("B16"), c.of("B16"), c.of("B16"))
		g.do("FMOVQ.P", p.scalar(), at(sin, 16))
		g.do("FMOVQ.P", c.scalar(), at(cos, 16))
	})
	g.do("RET")
}
