package main

import (
	"fmt"
	"math"
)

// Dots of blocks of four bits in whole numbers: what blocks_rounded.go says, one block at a time. It takes the same rounded blocks, of
// which each half of 16 bytes is one block's.
//
// The 16 bytes of a block of w become four vectors of eight numbers of 16 bits in 6 instructions, met by 8 multiply-adds to a sum that
// begins with −8 times the n: below 2²³ in each of its four parts, exact in int32 and in float32. So a block of four rows of w takes 18
// instructions a row with one row of x and 29 with two, beside 7 or 14 of x and some 11 of scales, prefetches and the loop: 90 and 141 in
// all, 23 and 18 for a row of x and one of w. Products in float32 take 211 with one row of x and 283 with three, 53 and 24 for two such
// rows. Rows of w that become float32 first take fewer from 8 rows on, but blocks are read straight for up to 12. This is a count, not
// a measurement: no hardware was at hand. As the eights are taken from each part alone, they are those of four places here.

// roundBlocks writes the kernel that rounds rows of x.
func (g *neon) roundBlocks() {
	const (
		to, x, n, largest, least, most, number general = 0, 1, 2, 3, 4, 5, 6

		v, greatest, t, none         vector = 0, 8, 9, 10 // eight of x, its largest magnitude
		magnitude, limit             vector = 16, 17
		even, odd, packed, sum, zero vector = 20, 21, 22, 23, 24
	)
	g.function("roundBlocks", "func(to *uint32, x *float32, blocks int) bool",
		"roundBlocksNEON rounds blocks of 32 elements of x to n·s: n whole numbers of 16 bits, s = max|x|/32767. Two blocks become",
		"192 bytes, each of which holds half of every 32: the n of int16, in the order of dotQ4RoundedNEON; −8 times the sum of the n of",
		"four places, of int32; s, of float32. It tells whether the max|x| of all blocks are 0 or from 2⁻⁸⁰ to 2¹⁰⁰. If not, what it writes",
		"is of no use.")
	g.constant(math.MaxInt32, number, magnitude)
	g.constant(int(math.Float32bits(roundedMost)), number, limit)
	g.zero(zero)
	g.do("MOVD", 0, largest)
	g.do("MOVD", math.MaxUint32, least)
	g.load("to", to)
	g.load("x", x)
	g.load("blocks", n)
	round := func(half int) { // the next block
		// Bits without a sign are in the order of their numbers, an infinity and a NaN above all others.
		for j := vector(0); j < 8; j += 2 {
			g.do("FLDPQ.P", at(x, 32), pair(v+j, v+j+1))
		}
		g.do("VAND", magnitude.of("B16"), v.of("B16"), greatest.of("B16"))
		for j := vector(1); j < 8; j++ {
			g.do("VAND", magnitude.of("B16"), (v + j).of("B16"), t.of("B16"))
			g.encoded(smax(greatest, greatest, t))
		}
		g.encoded(smaxv(greatest, greatest))
		g.do("FMOVS", greatest.scalar(), most)
		g.do("CMPW", largest, most)
		g.do("CSEL", "HI", most, largest, largest)
		g.do("SUBW", 1, most, most) // which makes 0 the greatest
		g.do("CMPW", least, most)
		g.do("CSEL", "LO", most, least, least)

		g.do("VDUP", greatest.of("S[0]"), greatest.of("S4"))
		g.encoded(fdiv(t, greatest, limit))
		g.do("FMOVQ", t.scalar(), at(to, roundedScales+16*half))
		g.encoded(fdiv(t, limit, greatest))
		g.do("VCMEQ", zero.of("S4"), greatest.of("S4"), none.of("S4"))
		g.encoded(bicVector(t, t, none)) // 1/s, or 0
		for j := v; j < v+8; j++ {
			g.encoded(fmul(j, j, t))
			g.encoded(fcvtns(j, j))
		}
		for i, part := range []struct {
			first vector
			take  string
		}{{v, "VUZP1"}, {v + 4, "VUZP1"}, {v, "VUZP2"}, {v + 4, "VUZP2"}} {
			g.do(part.take, (part.first + 1).of("S4"), part.first.of("S4"), even.of("S4"))
			g.do(part.take, (part.first + 3).of("S4"), (part.first + 2).of("S4"), odd.of("S4"))
			g.do("VUZP1", odd.of("H8"), even.of("H8"), packed.of("H8"))
			g.do("FMOVQ", packed.scalar(), at(to, 32*i+16*half))
			g.encoded(pairSums(sum, packed, i > 0))
		}
		g.do("VSHL", 3, sum.of("S4"), sum.of("S4"))
		g.do("VSUB", sum.of("S4"), zero.of("S4"), sum.of("S4"))
		g.do("FMOVQ", sum.scalar(), at(to, roundedEights+16*half))
	}
	g.loop("loop", n, 2, func() {
		round(0)
		round(1)
		g.do("ADD", roundedBytes, to, to)
	})
	g.do("CBZ", n, "done")
	round(0)
	for offset := 16; offset < roundedBytes; offset += 32 {
		g.do("FMOVQ", zero.scalar(), at(to, offset))
	}
	g.Label("done")
	g.do("MOVD", int(mostBlock), number)
	g.do("CMPW", number, largest)
	g.do("CSET", "LS", most)
	g.do("MOVD", int(leastBlock-1), number)
	g.do("CMPW", number, least)
	g.do("CSET", "HS", number)
	g.do("AND", number, most, most)
	g.result("MOVB", most)
	g.do("RET")
}

// roundedDots writes the kernel of dots of four rows of blocks of four bits with one rounded row of x or two.
func (g *neon) roundedDots() {
	g.function("dotQ4Rounded", roundedSignature, groupsDoc("dotQ4", "NEON", "NEON", "one or two")...)
	g.choose("rows", 2, g.roundedDotLoop)
}

func (g *neon) roundedDotLoop(rows int) {
	const (
		x, w, n, ld                general = 0, 4, 8, 9
		out, ldo, step, groups, to general = 10, 11, 12, 13, 14

		xs, eights, scale, words vector = 0, 8, 10, 12 // four, one and one of each row of x
		mask, d, sums            vector = 13, 14, 16
		whole                    vector = 24
	)
	q := []vector{28, 29, 30, 31}
	sum := func(i, j int) vector { return sums + vector(dotRows*i+j) }
	g.do("VMOVI", 15, mask.of("B16"))
	g.do("VUSHR", 8, mask.of("H8"), mask.of("H8"))
	g.load("out", out)
	g.load("ldo", ldo)
	g.load("step", step)
	g.load("groups", groups)
	g.load("w", w)
	g.load("ldw", ld)
	g.rows(w, dotRows, ld)
	g.load("ldx", ld)
	group := fmt.Sprintf("group%d", rows)
	g.Label(group)
	g.load("x", x)
	g.rows(x, rows, ld)
	g.load("blocks", n)
	for i := range rows {
		for j := range dotRows {
			g.zero(sum(i, j))
		}
	}
	block := func(half int) {
		for j := range general(dotRows) {
			g.do("PRFM", at(w+j, blockAhead), "PLDL2KEEP")
			g.do("VLD1.P", at(w+j, 2), d.of(fmt.Sprintf("H[%d]", j)))
		}
		g.encoded(fcvtlHalves(d, d, false))
		for i := range rows {
			row, r := x+general(i), vector(i)
			for k := range 4 {
				g.do("FMOVQ", at(row, 32*k+16*half), (xs + 4*r + vector(k)).scalar())
			}
			g.do("FMOVQ", at(row, roundedEights+16*half), (eights + r).scalar())
			g.do("FMOVQ", at(row, roundedScales+16*half), (scale + r).scalar())
			g.encoded(fmul(scale+r, scale+r, d))
		}
		for j := range dotRows {
			g.do("FMOVQ.P", at(w+general(j), 16), words.scalar())
			g.do("VAND", mask.of("B16"), words.of("B16"), q[0].of("B16"))
			for k := 1; k < 4; k++ {
				g.do("VUSHR", 4*k, words.of("H8"), q[k].of("H8"))
				if k < 3 {
					g.do("VAND", mask.of("B16"), q[k].of("B16"), q[k].of("B16"))
				}
			}
			for i := range rows {
				r := vector(i)
				g.copy(eights+r, whole+r)
				for k := range 4 {
					for _, upper := range []bool{false, true} {
						g.encoded(smlal(whole+r, xs+4*r+vector(k), q[k], upper))
					}
				}
				g.encoded(scvtf(whole+r, whole+r))
				g.encoded(fmlaLane(sum(i, j), whole+r, scale+r, j))
			}
		}
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, 2, func() {
		block(0)
		block(1)
		for i := range general(rows) {
			g.do("ADD", roundedBytes, x+i, x+i)
		}
	})
	g.do("CBZ", n, fmt.Sprintf("done%d", rows))
	block(0)
	g.Label(fmt.Sprintf("done%d", rows))
	g.do("MOVD", out, x)
	for i := range rows {
		g.fourSums(func(j int) vector { return sum(i, j) })
		g.do("MOVD", x, to)
		for j := range dotRows {
			g.do("VST1", sum(i, 0).of(fmt.Sprintf("S[%d]", j)), at(to, 0))
			g.do("ADD", step, to, to)
		}
		g.do("ADD", ldo, x, x)
	}
	g.do("ADD", 4, out, out)
	g.do("SUBS", 1, groups, groups)
	g.do("BNE", group)
}
