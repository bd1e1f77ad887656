package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// constant sets all elements of a vector to the 32 bits of x.
func (g *gen) constant(x uint32, to vec) {
	g.MOVL(operand.U32(x), reg.R9L)
	g.VMOVD(reg.R9L, to.AsX())
	g.VPBROADCASTD(to.AsX(), to)
}

// largest writes the search for the greatest finite magnitudes.
func (g *gen) largest(e element) {
	name := "largest" + e.name
	g.function(name, fmt.Sprintf("func(most *float32, x %s, block, blocks int)", e.goType),
		fmt.Sprintf("%s%s raises most[i] to the greatest magnitude of the finite numbers of block i of x, of block elements, %s.",
			name, g.suffix, g.multiple()))
	out, x, n, blocks := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	most, magnitude, finite, beyond := g.vecs[0], g.vecs[2], g.vecs[3], g.vecs[4]
	halves := e.narrow() && !g.wide() // bfloat16 as they are, for which AVX-512F has no instructions
	if halves {
		g.constant(0x7fff7fff, magnitude)
		g.constant(0x7f7f7f7f, finite)
	} else {
		g.constant(0x7fffffff, magnitude)
		g.constant(0x7f7fffff, finite)
	}
	g.load("most", out)
	g.load("x", x)
	g.load("blocks", blocks)
	g.loop("blocks", blocks, 1, func() {
		g.zero(most)
		g.load("block", n)
		g.loop("elements", n, g.stepOf(), func() {
			// Bits without a sign are in the order of their numbers.
			if halves {
				v := g.vecs[5]
				g.and(mem{Base: x}, magnitude, v)
				g.VPCMPGTW(finite, v, beyond)
				g.VPANDN(v, beyond, v)
				g.VPMAXSW(v, most, most)
			} else {
				for j := range 2 {
					g.raise(e, mem{Base: x, Disp: j * g.lanes * e.size}, g.vecs[5+j], magnitude, finite, beyond, most)
				}
			}
			g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		})
		if halves {
			g.VPSLLD(operand.U8(16), most, g.vecs[1])
			g.VPMAXSD(g.vecs[1], most, most)
		}
		if g.wide() {
			g.VEXTRACTI64X4(operand.U8(1), reg.Z0, reg.Y1)
			g.VPMAXSD(reg.Y1, reg.Y0, reg.Y0)
		}
		g.VEXTRACTI128(operand.U8(1), reg.Y0, reg.X1)
		g.VPMAXSD(reg.X1, reg.X0, reg.X0)
		for _, order := range []uint64{0x4e, 0xb1} {
			g.VPSHUFD(operand.U8(order), reg.X0, reg.X1)
			g.VPMAXSD(reg.X1, reg.X0, reg.X0)
		}
		if halves {
			g.VPSRLD(operand.U8(16), reg.X0, reg.X0)
			g.VPSLLD(operand.U8(16), reg.X0, reg.X0)
		}
		g.VMOVD(mem{Base: out}, reg.X1)
		g.VPMAXSD(reg.X1, reg.X0, reg.X0)
		g.VMOVD(reg.X0, mem{Base: out})
		g.ADDQ(operand.I32(4), out)
	})
	g.end()
}

// raise raises most to the finite magnitudes of a vector of elements.
func (g *gen) raise(e element, from mem, v, magnitude, finite, beyond, most vec) {
	g.loadFloats(e, from, v)
	g.and(v, magnitude, v)
	if g.wide() {
		const lessOrEqual = 2
		g.VPCMPD(operand.U8(lessOrEqual), finite, v, reg.K1)
		g.VPMAXSD(v, most, reg.K1, most)
		return
	}
	g.VPCMPGTD(finite, v, beyond)
	g.VPANDN(v, beyond, v)
	g.VPMAXSD(v, most, most)
}

// Constants of the conversion to FP8.
const (
	codeMagnitude = iota
	codeInfinity
	codeGreatest
	codeNormal // the least normal value
	codePlaces // what makes the last place of a code the last place of a sum
	codeExcess // what the exponent gives too much, in both halves
	codeSign
	codeOrder // of the 32-bit elements of packed codes
)

const (
	codeShift = 23 - 3  // from the mantissa of a float32 to that of a code
	codeLeast = 127 - 6 // the exponent of the least normal value
)

func (g *gen) codeTable() {
	define(g, codeConstants, []uint32{0x7fffffff, 0x7f800000, math.Float32bits(448), codeLeast << 23, codeShift << 23, 8 * codeLeast * 0x10001, 0x80})
	for i, x := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		g.AddDatum(64*codeOrder+4*i, operand.U32(x))
	}
}

// codes writes the conversion to FP8, as backend.ToF8E4M3 does it.
//
// A magnitude m up to 448 with the exponent e, that of the least normal code at least, becomes m + 2^(e+20). This rounds m to the last
// place of a code, 2^(e−3), and leaves the number of them in the low bits.
func (g *gen) codes(e element) {
	name := "codes" + e.name
	g.function(name, fmt.Sprintf("func(to *uint8, x %s, scales *float32, block, blocks int)", e.goType),
		fmt.Sprintf("%s%s computes the E4M3 nearest to x[j]/scales[i] for the elements j of each block i of x, of block elements, %s.",
			name, g.suffix, g.multiple()),
		"Ties go to even, what is too large to the greatest code, NaN to the NaN of its sign.")
	to, x, n, scales, blocks, row := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
	m, exponent, sum, nan, scale, order := g.vecs[4], g.vecs[5], g.vecs[6], g.vecs[7], g.vecs[8], g.vecs[9]
	line := codeConstants.line
	code := func(from mem, code vec) { // without the excess, except for zmm
		g.loadFloats(e, from, code)
		g.VDIVPS(scale, code, code)
		g.and(line(codeMagnitude), code, m)
		if g.wide() {
			const greater = 6
			g.VPCMPD(operand.U8(greater), line(codeInfinity), m, reg.K1)
		} else {
			g.VPCMPGTD(line(codeInfinity), m, nan)
		}
		g.VMINPS(line(codeGreatest), m, m) // which NaN becomes, too
		g.and(line(codeInfinity), m, exponent)
		g.VPMAXSD(line(codeNormal), exponent, exponent)
		g.VPADDD(line(codePlaces), exponent, sum)
		g.VADDPS(sum, m, m)
		g.VPSUBD(sum, m, m)
		g.VPSRLD(operand.U8(codeShift), exponent, exponent)
		g.VPADDD(exponent, m, m)
		g.VPSRLD(operand.U8(24), code, code)
		g.and(line(codeSign), code, code)
		g.VPADDD(m, code, code)
		if g.wide() {
			g.ones(nan)
			g.VPSUBD(nan, code, reg.K1, code)
		} else {
			g.VPSUBD(nan, code, code) // −1 for NaN, whose magnitude is one more
		}
	}
	g.load("to", to)
	g.load("x", x)
	g.load("scales", scales)
	g.load("blocks", blocks)
	if !g.wide() {
		g.VMOVUPS(line(codeOrder), order)
	}
	g.load("block", row)
	g.IMULQ(blocks, row)
	g.LEAQ(mem{Base: x, Index: row, Scale: uint8(e.size)}, row)
	g.loop("blocks", blocks, 1, func() {
		g.VBROADCASTSS(mem{Base: scales}, scale)
		g.ADDQ(operand.I32(4), scales)
		g.load("block", n)
		for _, vectors := range []int{4, 2} {
			codes := g.vecs[:vectors]
			g.loop(fmt.Sprintf("elements%d", vectors), n, vectors*g.lanes, func() {
				for range vectors / 2 {
					g.nextRow(e, row)
				}
				for j, c := range codes {
					code(mem{Base: x, Disp: j * g.lanes * e.size}, c)
				}
				if g.wide() {
					for j, c := range codes {
						g.VPSUBD(line(codeExcess), c, c)
						g.VPMOVDB(c, mem{Base: to, Disp: j * g.lanes})
					}
				} else {
					for j := 0; j < vectors; j += 2 {
						g.VPACKUSDW(codes[j+1], codes[j], codes[j])
						g.VPSUBW(line(codeExcess), codes[j], codes[j])
					}
					g.VPACKUSWB(codes[vectors-2], codes[0], codes[0])
					g.VPERMD(codes[0], order, codes[0])
					if vectors == 4 {
						g.VMOVUPS(codes[0], mem{Base: to})
					} else {
						g.VMOVUPS(codes[0].AsX(), mem{Base: to})
					}
				}
				g.ADDQ(operand.I32(vectors*g.lanes*e.size), x)
				g.ADDQ(operand.I32(vectors*g.lanes), to)
			})
		}
	})
	g.end()
}
