package main

import (
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// roundBlocks writes the kernel that rounds rows of x.
func (g *gen) roundBlocks() {
	g.function("roundBlocks", "func(to *uint32, x *float32, blocks int) bool",
		"roundBlocks"+g.suffix+" rounds blocks of 32 elements of x to n·s: n whole numbers of 16 bits, s = max|x|/32767. Two blocks become",
		"192 bytes, each of which holds half of every 32: the n of int16, in the order of dotQ4Rounded"+g.suffix+"; −8 times the sum of all n,",
		"of int32, four times; s, of float32, four times. It tells whether the max|x| of all blocks are 0 or from 2⁻⁸⁰ to 2¹⁰⁰. If not, what",
		"it writes is of no use.")
	to, x, n, largest, least := reg.RAX, reg.RBX, reg.RCX, reg.R8, reg.R10
	magnitude, greatest, eights := g.vecs[12], g.vecs[13], g.vecs[14]
	g.constant(0x7fffffff, magnitude)
	g.constant(math.Float32bits(roundedMost), greatest)
	g.constant(0xfff8fff8, eights)
	g.XORL(largest.As32(), largest.As32())
	g.MOVL(operand.U32(1<<32-1), least.As32())
	g.load("to", to)
	g.load("x", x)
	g.load("blocks", n)
	// round leaves the n of block i from x on, of int32, in four vectors.
	round := func(i int) {
		v, most, t := g.vecs[4*i:][:4], g.vecs[8], g.vecs[9]
		// Bits without a sign are in the order of their numbers, an infinity and a NaN above all others.
		for j := range v {
			g.VMOVUPS(mem{Base: x, Disp: 4*blockElements*i + 32*j}, v[j])
			if j == 0 {
				g.VPAND(v[j], magnitude, most)
				continue
			}
			g.VPAND(v[j], magnitude, t)
			g.VPMAXSD(t, most, most)
		}
		g.VEXTRACTI128(operand.U8(1), most, t.AsX())
		g.VPMAXSD(t.AsX(), most.AsX(), most.AsX())
		for _, order := range []uint64{0x4e, 0xb1} {
			g.VPSHUFD(operand.U8(order), most.AsX(), t.AsX())
			g.VPMAXSD(t.AsX(), most.AsX(), most.AsX())
		}
		g.VMOVD(most.AsX(), reg.R9L)
		g.CMPL(reg.R9L, largest.As32())
		g.CMOVLHI(reg.R9L, largest.As32())
		g.DECL(reg.R9L) // which makes 0 the greatest
		g.CMPL(reg.R9L, least.As32())
		g.CMOVLCS(reg.R9L, least.As32())

		g.VPBROADCASTD(most.AsX(), most)
		g.VDIVPS(greatest, most, t)
		g.VMOVUPS(t.AsX(), mem{Base: to, Disp: roundedScales + 16*i})
		g.VDIVPS(most, greatest, t)
		g.zero(g.vecs[10])
		g.VPCMPEQD(g.vecs[10], most, most)
		g.VPANDN(t, most, most) // 1/s, or 0
		for j := range v {
			g.VMULPS(most, v[j], v[j])
			g.VCVTPS2DQ(v[j], v[j])
		}
	}
	// arrange writes the n of two blocks.
	arrange := func() {
		sum, t := g.vecs[10], g.vecs[11]
		for i, part := range []struct {
			first int // of the elements
			take  uint64
		}{{0, 0x88}, {2, 0x88}, {0, 0xdd}, {2, 0xdd}} {
			for block := range 2 {
				v := g.vecs[4*block+part.first:]
				g.VSHUFPS(operand.U8(part.take), v[1], v[0], g.vecs[8+block])
			}
			g.VPACKSSDW(g.vecs[9], g.vecs[8], t)
			g.VPERMQ(operand.U8(0xd8), t, t)
			g.VPSHUFD(operand.U8(0xd8), t, t)
			g.VMOVUPS(t, mem{Base: to, Disp: 32 * i})
			g.VPMADDWD(eights, t, t)
			if i == 0 {
				g.VMOVUPS(t, sum)
				continue
			}
			g.VPADDD(t, sum, sum)
		}
		for _, order := range []uint64{0x4e, 0xb1} {
			g.VPSHUFD(operand.U8(order), sum, t)
			g.VPADDD(t, sum, sum)
		}
		g.VMOVUPS(sum, mem{Base: to, Disp: roundedEights})
	}
	g.loop("loop", n, 2, func() {
		round(0)
		round(1)
		arrange()
		g.ADDQ(operand.I32(2*4*blockElements), x)
		g.ADDQ(operand.I32(roundedBytes), to)
	})
	g.TESTQ(n, n)
	g.JE(operand.LabelRef("done"))
	round(0)
	for _, v := range g.vecs[4:8] {
		g.zero(v)
	}
	g.VMOVUPS(g.vecs[4].AsX(), mem{Base: to, Disp: roundedScales + 16})
	arrange()
	g.Label("done")
	g.VZEROUPPER()
	g.roundedWithin(largest, least)
}

// roundedWithin returns whether blocks can be rounded, given the bits of the largest max|x| and those of the least one, less one.
func (g *gen) roundedWithin(largest, least reg.GPPhysical) {
	g.CMPL(largest.As32(), operand.U32(mostBlock))
	g.SETLS(reg.AL)
	g.CMPL(least.As32(), operand.U32(leastBlock-1))
	g.SETCC(reg.BL)
	g.ANDB(reg.BL, reg.AL)
	g.Store(reg.AL, g.ReturnIndex(0))
	g.RET()
}
