package main

// swiglu writes the gated activation, with the steps and roundings of the other levels.
//
// Its constants stay in registers. Four elements take 53 instructions: 39 on vectors, one of them a division, 9 copies, most of a
// coefficient that a multiply-add then adds to, 3 loads and stores and 2 on integers. This is a count, not a measurement: no hardware
// was at hand.
func (g *neon) swiglu() {
	const (
		gate, up, out, n, table             general = 0, 1, 2, 3, 4
		v, a, k, e, scale, negative, den, x vector  = 0, 1, 2, 3, 4, 5, 6, 7
		numbers                             vector  = 8 // as many as the table has
	)
	number := func(i int) vector { return numbers + vector(i) }
	words(g.Context, "swigluNumbersNEON", swigluBits())
	g.function("swiglu", "func(gate, up, out *float32, n int)",
		"swigluNEON computes out[i] = silu(gate[i])·up[i] with silu(v) = v/(1+e^−v) for n elements, a multiple of 4.",
		"It is within 4 units in the last place; where the product is subnormal, or silu of a tiny gate, within 4 of the least subnormal.",
		"silu(+Inf) is +Inf, silu(−Inf) is NaN. out may be gate or up.")
	g.address("swigluNumbersNEON", table)
	for i := range swigluBits() {
		g.do("VLD1R.P", at(table, 4), "["+number(i).of("S4")+"]")
	}
	g.load("gate", gate)
	g.load("up", up)
	g.load("out", out)
	g.load("n", n)
	g.loop("loop", n, 4, func() {
		g.do("FMOVQ.P", at(gate, 16), v.scalar())
		g.encoded(sshr(negative, v, 31))
		// The denominator so far: 0, but NaN for −Inf and NaN.
		g.zero(den)
		g.encoded(fmin(den, den, v))
		g.encoded(fsub(den, den, den))
		// a and v are cut where the result is 0; the maximum of a NaN is NaN.
		g.do("VORR", number(swigluSign).of("B16"), v.of("B16"), a.of("B16"))
		g.encoded(fmax(a, a, number(swigluLeast)))
		g.encoded(fmax(v, v, number(swigluLeast)))
		// k, in its low bits and as a float32, and r in a.
		g.copy(number(swigluAnchor), k)
		g.do("VFMLA", number(swigluLog2E).of("S4"), a.of("S4"), k.of("S4"))
		g.encoded(fsub(e, k, number(swigluAnchor)))
		g.do("VSUB", number(swigluAnchor).of("S4"), k.of("S4"), k.of("S4"))
		g.do("VFMLA", number(swigluLn2).of("S4"), e.of("S4"), a.of("S4"))
		g.do("VFMLA", number(swigluLn2Low).of("S4"), e.of("S4"), a.of("S4"))
		// e^r.
		g.polynomial(e, a, x, number(swigluTaylor), number(swigluTaylor+1), number(swigluTaylor+2), number(swigluTaylor+3),
			number(swigluTaylor+4), number(swigluTaylor+5), number(swigluOne), number(swigluOne))
		// e^a, but for what k has below −120, which is kept for v < 0.
		g.encoded(smax(x, k, number(swigluBound)))
		g.do("VSUB", x.of("S4"), k.of("S4"), a.of("S4"))
		g.do("VAND", negative.of("B16"), a.of("B16"), a.of("B16"))
		g.power(x, number(swigluBias))
		g.encoded(fmul(e, e, x))
		// v·e^a/(1+e^a) or v/(1+e^a).
		g.encoded(fadd(den, den, number(swigluOne)))
		g.encoded(fadd(den, den, e))
		g.do("VBIF", negative.of("B16"), number(swigluOne).of("B16"), e.of("B16"))
		g.encoded(fmul(v, v, e))
		g.encoded(fdiv(v, v, den))
		g.do("FMOVQ.P", at(up, 16), x.scalar())
		g.encoded(fmul(v, v, x))
		// The rest of 2^k in halves.
		g.encoded(sshr(k, a, 1))
		g.do("VSUB", k.of("S4"), a.of("S4"), a.of("S4"))
		for _, half := range []vector{k, a} {
			g.power(half, number(swigluBias))
			g.encoded(fmul(v, v, half))
		}
		g.do("FMOVQ.P", v.scalar(), at(out, 16))
	})
	g.do("RET")
}

// polynomial is to = c[0]·xⁿ + c[1]·xⁿ⁻¹ … + c[n], n being odd, with one rounding for each product. t is for its use.
func (g *neon) polynomial(to, x, t vector, c ...vector) {
	sum := c[0]
	for i, c := range c[1:] {
		next := []vector{t, to}[i%2]
		g.copy(c, next)
		g.do("VFMLA", x.of("S4"), sum.of("S4"), next.of("S4"))
		sum = next
	}
	if sum != to {
		g.copy(sum, to)
	}
}

// power makes 2^k of integers k; bias is that of float32.
func (g *neon) power(k, bias vector) {
	g.do("VADD", bias.of("S4"), k.of("S4"), k.of("S4"))
	g.do("VSHL", 23, k.of("S4"), k.of("S4"))
}

// addScaled writes the sum of a row and another times a number.
func (g *neon) addScaled() {
	const (
		to, x, n  general = 0, 1, 2
		a, v, sum vector  = 0, 1, 3 // pairs from v and sum on
	)
	g.function("addScaled", "func(to, x *float32, a float32, n int)",
		"addScaledNEON adds a·x[i] to to[i] for n elements, a multiple of 4.")
	g.load("to", to)
	g.load("x", x)
	g.load("n", n)
	g.loadFloat("FMOVS", "a", a)
	g.loop("loop", n, 8, func() {
		g.do("FLDPQ.P", at(x, 32), pair(v, v+1))
		g.do("FLDPQ.P", at(to, 32), pair(sum, sum+1))
		for i := range vector(2) {
			g.encoded(fmlaLane(sum+i, v+i, a, 0))
		}
		g.do("FSTPQ", pair(sum, sum+1), at(to, -32))
	})
	g.do("CBZ", n, "done")
	g.do("FMOVQ", at(x, 0), v.scalar())
	g.do("FMOVQ", at(to, 0), sum.scalar())
	g.encoded(fmlaLane(sum, v, a, 0))
	g.do("FMOVQ", sum.scalar(), at(to, 0))
	g.Label("done")
	g.do("RET")
}
