package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Dots of blocks of four bits in whole numbers. A block of 32 elements of x is rounded to x_k ≈ s·n_k with n_k of 16 bits, once for
// all rows of w. With q_k the four bits of an element of w, d·(q_k − 8), the sum over a block is d·s·Σ n_k·(q_k − 8).
//
// The 16 bytes of a block of w are 8 words of four q. Two neighbouring blocks fill a vector, in which each of the four is taken from
// all words by a shift and a mask and multiplied with the n that belong there. So two rounded blocks lie together, in 192 bytes; the
// first halves of these vectors are one block's and the others the next one's, whose are zero if there is none:
//
//	  0  n_0, n_2, … n_14      of int16, met by bits 0 to 3 of the words
//	 32  n_16, n_18, … n_30    by bits 4 to 7
//	 64  n_1, n_3, … n_15      by bits 8 to 11
//	 96  n_17, n_19, … n_31    by bits 12 to 15
//	128  −8 times the sums of the eight n above, of int32, which takes away the eights
//	160  s, of float32
//
// The sum over a block stays in four parts. Each is below 2²¹, so exact in int32 and in float32. Two blocks are 19 instructions on
// vectors and their share of 11 for d·s of four rows; products in float32 are some 24 for each block.
const (
	roundedBytes  = 192 // of two blocks
	roundedEights = 128
	roundedScales = 160

	roundedMost = 32767 // the greatest n

	// Between 2⁻⁸⁰ and 2¹⁰⁰ has to be the largest |x_k| of a block, if it is not 0: then d·s and its product with a sum are normal
	// numbers whatever a finite d is.
	leastBlock = uint32(127-80) << 23
	mostBlock  = uint32(127+100) << 23
)

// roundBlocks writes the kernel that rounds rows of x.
func (g *gen) roundBlocks() {
	g.function("roundBlocks", "func(to *uint32, x *float32, blocks int) bool",
		"roundBlocks"+g.suffix+" rounds blocks of 32 elements of x to n·s: n whole numbers of 16 bits, s = max|x|/32767. Two blocks become",
		"192 bytes, each of which holds half of every 32: the n of int16, in the order of dotQ4Rounded"+g.suffix+"; −8 times the sum of the n of",
		"four places, of int32; s, of float32. It tells whether the max|x| of all blocks are 0 or from 2⁻⁸⁰ to 2¹⁰⁰. If not, what it writes",
		"is of no use.")
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
	g.CMPL(largest.As32(), operand.U32(mostBlock))
	g.SETLS(reg.AL)
	g.CMPL(least.As32(), operand.U32(leastBlock-1))
	g.SETCC(reg.BL)
	g.ANDB(reg.BL, reg.AL)
	g.Store(reg.AL, g.ReturnIndex(0))
	g.RET()
}

// roundedDots writes the kernel of dots of four rows of blocks of four bits with one rounded row of x or two.
func (g *gen) roundedDots() {
	g.function("dotQ4Rounded", "func(out *float32, x *uint32, ldx int, w *byte, ldw, blocks, rows int)",
		"dotQ4Rounded"+g.suffix+" is dotQ4"+g.suffix+" for rows of x as roundBlocks"+g.suffix+" leaves them.",
		prefetchDoc)
	g.load("rows", reg.RCX)
	g.CMPQ(reg.RCX, operand.I32(2))
	g.JE(operand.LabelRef("rows2"))
	for rows := 1; rows <= 2; rows++ {
		if rows == 2 {
			g.Label("rows2")
		}
		g.roundedDotLoop(rows)
		g.dotSums(rows)
		g.end()
	}
}

func (g *gen) roundedDotLoop(rows int) {
	x, ldx, w, ldw, w3, n := reg.RAX, reg.RBX, reg.RDX, reg.RSI, reg.RDI, reg.R8
	words, q, t, mask := g.vecs[0], g.vecs[1], g.vecs[4], g.vecs[5]
	sum, scale := g.vecs[2:4], g.vecs[6:8]
	g.ones(mask)
	g.VPSRLW(operand.U8(12), mask, mask)
	g.load("x", x)
	g.load("ldx", ldx)
	g.load("w", w)
	g.load("ldw", ldw)
	g.LEAQ(mem{Base: ldw, Index: ldw, Scale: 2}, w3)
	g.load("blocks", n)
	for i := range rows {
		for j := range dotRows {
			g.zero(g.dotSum(i, j))
		}
	}
	// part is what two blocks of row i of x have at a place: in a register if there is but one row.
	part := func(i, at int) operand.Op {
		if rows == 1 {
			return []vec{g.vecs[3], g.vecs[7], g.vecs[8], g.vecs[9], g.vecs[10], g.vecs[11]}[at/32]
		}
		return rowAt(x, ldx, ldx, i).Offset(at)
	}
	blocks := func(some int) {
		if rows == 1 {
			for at := 0; at < roundedBytes; at += 32 {
				g.VMOVUPS(mem{Base: x, Disp: at}, part(0, at))
			}
		}
		halves := g.vecs[0].AsX()
		g.VPXOR(halves, halves, halves)
		for b := range some {
			for j := range dotRows {
				g.VPINSRW(operand.U8(4*b+j), rowAt(w, ldw, w3, j).Offset(18*b), halves, halves)
			}
		}
		g.VCVTPH2PS(halves, t)
		for i := range rows {
			g.VMULPS(part(i, roundedScales), t, scale[i])
		}
		for j := range dotRows {
			at := rowAt(w, ldw, w3, j)
			g.PREFETCHT1(at.Offset(blockAhead))
			g.VMOVDQU(at.Offset(2), words.AsX())
			if some == 2 {
				g.VBROADCASTI128(at.Offset(2+18), q)
				g.VPBLENDD(operand.U8(0xf0), q, words, words)
			}
			for k := range 4 {
				bits := words
				if k > 0 {
					g.VPSRLW(operand.U8(4*k), words, q)
					bits = q
				}
				if k < 3 {
					g.VPAND(mask, bits, q)
				}
				for i := range rows {
					if k == 0 {
						g.VPMADDWD(part(i, 0), q, sum[i])
						g.VPADDD(part(i, roundedEights), sum[i], sum[i])
						continue
					}
					g.VPMADDWD(part(i, 32*k), q, t)
					g.VPADDD(t, sum[i], sum[i])
				}
			}
			for i := range rows {
				g.VCVTDQ2PS(sum[i], sum[i])
				g.VPSHUFD(operand.U8(0x55*j), scale[i], t)
				g.VFMADD231PS(t, sum[i], g.dotSum(i, j))
			}
		}
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, 2, func() {
		blocks(2)
		g.ADDQ(operand.I32(2*18), w)
		g.ADDQ(operand.I32(roundedBytes), x)
	})
	g.TESTQ(n, n)
	g.JE(operand.LabelRef(fmt.Sprintf("done%d", rows)))
	blocks(1)
	g.Label(fmt.Sprintf("done%d", rows))
}
