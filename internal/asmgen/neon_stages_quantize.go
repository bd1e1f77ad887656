package main

import (
	"fmt"
	"math"
)

// largest writes the search for the greatest finite magnitudes. Bits without a sign are in the order of their numbers; those of
// bfloat16 stay as they are.
func (g *neon) largest(e element) {
	const (
		out, x, n, blocks, found, before general = 0, 1, 2, 3, 4, 5
		most, v, mask, magnitude, finite vector  = 0, 2, 4, 6, 7
	)
	name := "largest" + e.name
	g.function(name, fmt.Sprintf("func(most *float32, x %s, block, blocks int)", e.goType),
		fmt.Sprintf("%sNEON raises most[i] to the greatest magnitude of the finite numbers of block i of x, of block elements, a multiple of 8.", name))
	vectors := vector(2)
	size := func(e encoded) encoded { return e }
	if e.narrow() {
		vectors, size = 1, shorts
		g.constant(0x7fff7fff, found, magnitude)
		g.constant(0x7f7f7f7f, found, finite)
	} else {
		g.constant(math.MaxInt32, found, magnitude)
		g.constant(int(math.Float32bits(math.MaxFloat32)), found, finite)
	}
	g.load("most", out)
	g.load("x", x)
	g.load("blocks", blocks)
	g.loop("blocks", blocks, 1, func() {
		g.zero(most)
		g.load("block", n)
		g.loop("elements", n, neonStep, func() {
			if e.narrow() {
				g.do("FMOVQ.P", at(x, 16), v.scalar())
			} else {
				g.do("FLDPQ.P", at(x, 32), pair(v, v+1))
			}
			for i := range vectors {
				g.do("VAND", magnitude.of("B16"), (v + i).of("B16"), (v + i).of("B16"))
				g.encoded(size(cmge(mask+i, finite, v+i)))
				g.do("VAND", (mask + i).of("B16"), (v + i).of("B16"), (v + i).of("B16"))
				g.encoded(size(smax(most, most, v+i)))
			}
		})
		g.encoded(size(smaxv(most, most)))
		g.do("FMOVS", most.scalar(), found)
		if e.narrow() {
			g.do("LSL", 16, found, found)
		}
		g.do("MOVWU", at(out, 0), before)
		g.do("CMPW", before, found)
		g.do("CSEL", "GT", found, before, found)
		g.do("MOVW.P", found, at(out, 4))
	})
	g.do("RET")
}

// codes writes the conversion to FP8, as backend.ToF8E4M3 does it, with the steps of the other levels. What the exponent gives too
// much and the signs meet the codes as bytes.
func (g *neon) codes(e element) {
	const (
		to, x, n, scales, blocks, row, number general = 0, 1, 2, 3, 4, 5, 6

		code, m, exponent, sum, scale vector = 0, 4, 8, 9, 10
		signs                         vector = 11 // and the three after
		greatest, infinity, normal    vector = 16, 17, 18
		places, excess, sign          vector = 19, 20, 21
	)
	name := "codes" + e.name
	g.function(name, fmt.Sprintf("func(to *uint8, x %s, scales *float32, block, blocks int)", e.goType),
		fmt.Sprintf("%sNEON computes the E4M3 nearest to x[j]/scales[i] for the elements j of each block i of x, of block elements, a multiple of 8.", name),
		"Ties go to even, what is too large to the greatest code, NaN to the NaN of its sign. What lies behind x is prefetched.")
	for _, c := range []struct {
		bits uint32
		to   vector
	}{
		{math.Float32bits(448), greatest}, {0x7f800000, infinity}, {codeLeast << 23, normal}, {codeShift << 23, places},
		{(8*codeLeast - 1) & 0xff * 0x01010101, excess}, {0x80808080, sign},
	} {
		g.constant(int(c.bits), number, c.to)
	}
	g.load("to", to)
	g.load("x", x)
	g.load("scales", scales)
	g.load("blocks", blocks)
	g.load("block", row)
	g.do("MUL", blocks, row, row)
	g.do("ADD", e.scaled(row), x, row)
	g.loop("blocks", blocks, 1, func() {
		g.do("VLD1R.P", at(scales, 4), "["+scale.of("S4")+"]")
		g.load("block", n)
		for _, vectors := range []vector{4, 2} {
			g.loop(fmt.Sprintf("elements%d", vectors), n, 4*int(vectors), func() {
				for v := vector(0); v < vectors; v += 2 {
					g.nextRow(e, row)
					g.loadPair(neonRows{element: e}, false, x, code+v, code+v+1)
				}
				for v := range vectors {
					code, m := code+v, m+v
					g.encoded(fdiv(code, code, scale))
					g.encoded(fabs(m, code))
					g.encoded(fminnm(m, m, greatest)) // which NaN becomes, too
					g.do("VAND", infinity.of("B16"), m.of("B16"), exponent.of("B16"))
					g.encoded(smax(exponent, exponent, normal))
					g.do("VADD", places.of("S4"), exponent.of("S4"), sum.of("S4"))
					g.encoded(fadd(m, m, sum))
					g.do("VSUB", sum.of("S4"), m.of("S4"), m.of("S4"))
					g.do("VUSHR", codeShift, exponent.of("S4"), exponent.of("S4"))
					g.do("VADD", exponent.of("S4"), m.of("S4"), m.of("S4"))
					g.encoded(fcmeq(exponent, code, code)) // −1 for a number; the code of NaN is one more
					g.do("VADD", exponent.of("S4"), m.of("S4"), m.of("S4"))
				}
				last := vectors - 2 // of the pairs
				for v := vector(0); v <= last; v += 2 {
					g.do("VUZP2", (code + v + 1).of("H8"), (code + v).of("H8"), (signs + v).of("H8"))
					g.do("VUZP1", (m + v + 1).of("H8"), (m + v).of("H8"), (m + v).of("H8"))
				}
				g.do("VUZP2", (signs + last).of("B16"), signs.of("B16"), signs.of("B16"))
				g.do("VUZP1", (m + last).of("B16"), m.of("B16"), m.of("B16"))
				g.do("VSUB", excess.of("B16"), m.of("B16"), m.of("B16"))
				g.do("VBIT", sign.of("B16"), signs.of("B16"), m.of("B16"))
				if vectors == 4 {
					g.do("FMOVQ.P", m.scalar(), at(to, 16))
				} else {
					g.do("FMOVD.P", m.scalar(), at(to, 8))
				}
			})
		}
	})
	g.do("RET")
}
