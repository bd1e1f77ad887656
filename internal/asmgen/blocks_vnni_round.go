package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quarterIndex names the words i/4 for i in [0,16).
const quarterIndex table = "quarterIndex"

// roundBytes writes the kernel that rounds rows of x, four blocks at a time.
func (g *gen) roundBytes() {
	var index [16]uint32
	for i := range index {
		index[i] = uint32(i / 4)
	}
	words(g.Context, string(quarterIndex), index[:])
	g.function("roundBlocks", "func(to *uint32, x *float32, blocks int) bool",
		"roundBlocks"+g.suffix+" rounds blocks of 32 elements of x to n·s: n whole numbers, s = max|x|/32639. Four blocks become 384 bytes,",
		"each of which holds a quarter of every 64: the upper bytes of n = 256·h + l, of elements 0 to 15 and then of 16 to 31; the lower",
		"ones, signed, likewise; −8 times the sum of all n, of int32, four times; s, of float32, four times. What has no block is 0. It",
		"tells whether the max|x| of all blocks are 0 or from 2⁻⁸⁰ to 2¹⁰⁰. If not, what it writes is of no use.")
	to, x, n := reg.RAX, reg.RBX, reg.RCX
	magnitude, greatest, upper, quarters, zero := g.vecs[24], g.vecs[25], g.vecs[26], g.vecs[27], g.vecs[28]
	largest, least, one := g.vecs[29], g.vecs[30], g.vecs[31]
	exists := []reg.OpmaskPhysical{1: reg.K1, 2: reg.K2, 3: reg.K3}
	g.constant(0x7fffffff, magnitude)
	g.constant(math.Float32bits(bytesMost), greatest)
	g.constant(128, upper)
	g.constant(1, one)
	g.VMOVDQU32(quarterIndex.line(0), quarters)
	g.zero(zero)
	g.zero(largest)
	g.ones(least)
	g.load("to", to)
	g.load("x", x)
	g.load("blocks", n)
	// in is the vector for half h of block b, first of float32 and then of n.
	in := func(b, h int) vec { return g.vecs[2*b+h] }
	// quartered joins the elements of four vectors, first those of a quarter and then quarters: to is four results, four times.
	quartered := func(of []vec, join func(a, b, to vec)) vec {
		a, b, t := g.vecs[12], g.vecs[13], g.vecs[14]
		for i, pair := range []vec{a, b} {
			g.VPUNPCKLDQ(of[2*i+1], of[2*i], t)
			g.VPUNPCKHDQ(of[2*i+1], of[2*i], pair)
			join(t, pair, pair)
		}
		g.VPUNPCKLQDQ(b, a, t)
		g.VPUNPCKHQDQ(b, a, a)
		join(t, a, a)
		for _, order := range []uint64{0x4e, 0xb1} {
			g.VSHUFI64X2(operand.U8(order), a, a, t)
			join(t, a, a)
		}
		return a
	}
	largestOf := func(a, b, to vec) { g.VPMAXUD(a, b, to) }
	sumOf := func(a, b, to vec) { g.VPADDD(a, b, to) }
	four := func(some bool) {
		most := g.vecs[8:12]
		for b := range bytesTogether {
			for h := range 2 {
				from := mem{Base: x, Disp: 4*blockElements*b + 64*h}
				if some && b > 0 {
					g.VMOVUPS_Z(from, exists[b], in(b, h))
				} else {
					g.VMOVUPS(from, in(b, h))
				}
			}
			// Bits without a sign are in the order of their numbers, an infinity and a NaN above all others.
			g.VPANDD(magnitude, in(b, 0), most[b])
			g.VPANDD(magnitude, in(b, 1), g.vecs[15])
			largestOf(g.vecs[15], most[b], most[b])
		}
		all, t, inverse := quartered(most, largestOf), g.vecs[13], g.vecs[15]
		g.VPMAXUD(all, largest, largest)
		g.VPSUBD(one, all, t) // which makes 0 the greatest
		g.VPMINUD(t, least, least)
		g.VDIVPS(greatest, all, t)
		g.VPERMPS(t, quarters, t)
		g.VMOVUPS(t, mem{Base: to, Disp: bytesScales})
		g.VPTESTMD(all, all, reg.K4)
		g.VDIVPS_Z(all, greatest, reg.K4, inverse) // 1/s, or 0
		sums := g.vecs[8:12]
		for b := range bytesTogether {
			g.VPSHUFD(operand.U8(0x55*b), inverse, t)
			for h := range 2 {
				v := in(b, h)
				g.VMULPS(t, v, v)
				g.VCVTPS2DQ(v, v)
				g.VPMOVDB(v, mem{Base: to, Disp: 128 + 64*h + 16*b})
			}
			g.VPADDD(in(b, 0), in(b, 1), sums[b])
			for h := range 2 {
				v := in(b, h)
				g.VPADDD(upper, v, v)
				g.VPSRAD(operand.U8(8), v, v)
				g.VPMOVDB(v, mem{Base: to, Disp: 64*h + 16*b})
			}
		}
		sum := quartered(sums, sumOf)
		g.VPSLLD(operand.U8(3), sum, sum)
		g.VPSUBD(sum, zero, sum)
		g.VPERMD(sum, quarters, sum)
		g.VMOVDQU32(sum, mem{Base: to, Disp: bytesEights})
	}
	g.loop("loop", n, bytesTogether, func() {
		four(false)
		g.ADDQ(operand.I32(4*blockElements*bytesTogether), x)
		g.ADDQ(operand.I32(bytesGroup), to)
	})
	g.TESTQ(n, n)
	g.JE(operand.LabelRef("done"))
	for b := 1; b < bytesTogether; b++ {
		g.XORL(reg.R9L, reg.R9L)
		g.CMPQ(n, operand.I32(b+1))
		g.SETGE(reg.R9B)
		g.NEGL(reg.R9L)
		g.KMOVW(reg.R9L, exists[b])
	}
	four(true)
	g.Label("done")
	t := g.vecs[0]
	for _, order := range []uint64{0x4e, 0xb1} {
		g.VPSHUFD(operand.U8(order), largest, t)
		g.VPMAXUD(t, largest, largest)
		g.VPSHUFD(operand.U8(order), least, t)
		g.VPMINUD(t, least, least)
	}
	g.VMOVUPS(largest, g.vecs[1])
	g.VMOVUPS(least, g.vecs[2])
	g.VMOVD(g.vecs[1].AsX(), reg.R8L)
	g.VMOVD(g.vecs[2].AsX(), reg.R10L)
	g.VZEROUPPER()
	g.roundedWithin(reg.R8, reg.R10)
}
