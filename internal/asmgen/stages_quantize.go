package main

import (
	"fmt"

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
	g.constant(0x7fffffff, magnitude)
	g.constant(0x7f7fffff, finite)
	g.load("most", out)
	g.load("x", x)
	g.load("blocks", blocks)
	g.loop("blocks", blocks, 1, func() {
		g.VMOVD(mem{Base: out}, most.AsX())
		g.load("block", n)
		g.loop("elements", n, g.stepOf(), func() {
			for j := range 2 {
				v := g.vecs[5+j]
				g.loadFloats(e, mem{Base: x, Disp: j * g.lanes * e.size}, v)
				g.and(v, magnitude, v)
				// Bits without a sign are in the order of their numbers.
				if g.wide() {
					const lessOrEqual = 2
					g.VPCMPD(operand.U8(lessOrEqual), finite, v, reg.K1)
					g.VPMAXSD(v, most, reg.K1, most)
					continue
				}
				g.VPCMPGTD(finite, v, beyond)
				g.VPANDN(v, beyond, v)
				g.VPMAXSD(v, most, most)
			}
			g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		})
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
		g.VMOVD(reg.X0, mem{Base: out})
		g.ADDQ(operand.I32(4), out)
	})
	g.end()
}

// codes writes the conversion to FP8, as backend.ToF8E4M3 does it.
func (g *gen) codes(e element) {
	const (
		shift  = 20                  // from the mantissa of a float32 to that of a code
		rebias = uint32(127-7) << 23 // between the biases of the exponents
		least  = uint32(127-6) << 23 // the least normal value
		most   = 0x7e<<shift + rebias
		anchor = uint32(127+14) << 23 // 2¹⁴, whose last place is that of the least code
	)
	name := "codes" + e.name
	g.function(name, fmt.Sprintf("func(to *uint8, x %s, scales *float32, block, blocks int)", e.goType),
		fmt.Sprintf("%s%s computes the E4M3 nearest to x[j]/scales[i] for the elements j of each block i of x, of block elements, %s.",
			name, g.suffix, g.multiple()),
		"Ties go to even, what is too large to the greatest code, NaN to the NaN of its sign.")
	to, x, n, scales, blocks := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	v, bits, small, t := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3]
	magnitude, infinity, greatest, unrounded := g.vecs[4], g.vecs[5], g.vecs[6], g.vecs[7]
	one, normal, base, nan, sign, scale := g.vecs[8], g.vecs[9], g.vecs[10], g.vecs[11], g.vecs[12], g.vecs[13]
	g.constant(0x7fffffff, magnitude)
	g.constant(0x7f800000, infinity)
	g.constant(most, greatest)
	g.constant(rebias-(1<<(shift-1)-1), unrounded)
	g.constant(1, one)
	g.constant(least-1, normal)
	g.constant(anchor, base)
	g.constant(0x7f, nan)
	g.constant(0x80, sign)
	g.load("to", to)
	g.load("x", x)
	g.load("scales", scales)
	g.load("blocks", blocks)
	vector := func() {
		g.loadFloats(e, mem{Base: x}, v)
		g.VDIVPS(scale, v, v)
		g.and(v, magnitude, bits)
		g.VADDPS(base, bits, small)
		g.VPSUBD(base, small, small)
		if g.wide() {
			const greater = 6
			g.VPCMPD(operand.U8(greater), infinity, bits, reg.K1)
			g.VPCMPD(operand.U8(greater), normal, bits, reg.K2)
		} else {
			g.VPCMPGTD(infinity, bits, g.vecs[14])
			g.VPCMPGTD(normal, bits, g.vecs[15])
		}
		g.VPMINSD(greatest, bits, bits)
		g.VPSRLD(operand.U8(shift), bits, t)
		g.and(t, one, t)
		g.VPADDD(t, bits, bits)
		g.VPSUBD(unrounded, bits, bits)
		g.VPSRLD(operand.U8(shift), bits, bits)
		if g.wide() {
			g.VPBLENDMD(bits, small, reg.K2, bits)
			g.VPBLENDMD(nan, bits, reg.K1, bits)
		} else {
			g.VBLENDVPS(g.vecs[15], bits, small, bits)
			g.VBLENDVPS(g.vecs[14], nan, bits, bits)
		}
		g.VPSRLD(operand.U8(24), v, v)
		g.and(v, sign, v)
		g.or(v, bits, bits)
		if g.wide() {
			g.VPMOVDB(bits, mem{Base: to})
		} else {
			g.VEXTRACTI128(operand.U8(1), bits, t.AsX())
			g.VPACKUSDW(t.AsX(), bits.AsX(), bits.AsX())
			g.VPACKUSWB(bits.AsX(), bits.AsX(), bits.AsX())
			g.VMOVQ(bits.AsX(), mem{Base: to})
		}
		g.ADDQ(operand.I32(g.lanes*e.size), x)
		g.ADDQ(operand.I32(g.lanes), to)
	}
	g.loop("blocks", blocks, 1, func() {
		g.VBROADCASTSS(mem{Base: scales}, scale)
		g.ADDQ(operand.I32(4), scales)
		g.load("block", n)
		g.loop("elements", n, g.lanes, vector)
	})
	g.end()
}
