package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Kernels that compute in float64, half as many elements a vector.

// loadDoubles loads half a vector of elements as float64.
func (g *gen) loadDoubles(e element, from mem, to vec) {
	if !e.narrow() {
		g.VCVTPS2PD(from, to)
		return
	}
	g.VPMOVZXWD(from, g.half(to))
	g.VPSLLD(operand.U8(16), g.half(to), g.half(to))
	g.VCVTPS2PD(g.half(to), to)
}

// toFloats rounds two vectors of float64 to one of float32, in the place of the first.
func (g *gen) toFloats(low, high vec) {
	if g.wide() {
		g.VCVTPD2PS(low, low.AsY())
		g.VCVTPD2PS(high, high.AsY())
		g.VINSERTF64X4(operand.U8(1), high.AsY(), low, low)
		return
	}
	g.VCVTPD2PSY(low, low.AsX())
	g.VCVTPD2PSY(high, high.AsX())
	g.VINSERTF128(operand.U8(1), high.AsX(), low, low)
}

// squares writes the sum of squares of a row.
//
// The square of a bfloat16 is exact in float32, except near the ends of its range. So for those, which take half as many instructions,
// squares run in float32, a few at a time, and if what comes out is not well within the range all is done again in float64.
func (g *gen) squares(e element) {
	name, within := "squares"+e.name, "2⁻⁵⁰"
	if e.narrow() {
		within = "2⁻²¹"
	}
	g.function(name, fmt.Sprintf("func(x %s, n int) float64", e.goType),
		fmt.Sprintf("%s%s is Σ x[j]² for j below n, %s, within %s of itself.", name, g.suffix, g.multiple(), within))
	x, n := reg.RAX, reg.RBX
	sums := g.vecs[4:8]
	if e.narrow() {
		g.narrowSquares(x, n, sums)
	}
	for _, sum := range sums {
		g.zero(sum)
	}
	g.load("x", x)
	g.load("n", n)
	g.loop("loop", n, g.stepOf(), func() {
		for j, sum := range sums {
			g.loadDoubles(e, mem{Base: x, Disp: j * g.lanes / 2 * e.size}, g.vecs[j])
			g.VFMADD231PD(g.vecs[j], g.vecs[j], sum)
		}
		g.ADDQ(operand.I32(g.stepOf()*e.size), x)
	})
	g.sumDoubles(sums)
	g.Store(reg.X0, g.ReturnIndex(0))
	g.end()
}

// narrowSquares leaves the kernel with the sum if it can be computed in float32.
func (g *gen) narrowSquares(x, n reg.GPPhysical, sums []vec) {
	const group = 8 // additions to a sum in float32
	count := reg.RCX
	short, upper, v := g.vecs[2:4], g.vecs[8], g.vecs[:2]
	for _, sum := range sums {
		g.zero(sum)
	}
	g.upperMask(upper)
	g.load("x", x)
	g.load("n", n)
	g.Label("groups")
	g.zero(short[0])
	g.zero(short[1])
	g.MOVQ(operand.I32(group), count)
	g.Label("group")
	g.SUBQ(operand.I32(g.stepOf()), n)
	g.JL(operand.LabelRef("group_done"))
	g.loadSplit(element{size: 2}, upper, mem{Base: x}, v[0], v[1])
	g.VFMADD231PS(v[0], v[0], short[0])
	g.VFMADD231PS(v[1], v[1], short[1])
	g.ADDQ(operand.I32(g.stepOf()*2), x)
	g.DECQ(count)
	g.JNE(operand.LabelRef("group"))
	g.Label("group_done")
	for i, s := range short {
		g.VCVTPS2PD(g.half(s), v[0])
		g.VADDPD(v[0], sums[2*i], sums[2*i])
		if g.wide() {
			g.VEXTRACTF64X4(operand.U8(1), s, v[0].AsY())
		} else {
			g.VEXTRACTF128(operand.U8(1), s, v[0].AsX())
		}
		g.VCVTPS2PD(g.half(v[0]), v[0])
		g.VADDPD(v[0], sums[2*i+1], sums[2*i+1])
	}
	g.TESTQ(n, n)
	g.JG(operand.LabelRef("groups"))
	g.sumDoubles(sums)
	for i, limit := range []uint64{math.Float64bits(0x1p-90), math.Float64bits(0x1p127)} {
		g.MOVQ(operand.U64(limit), count)
		g.VMOVQ(count, reg.X1)
		g.VUCOMISD(reg.X1, reg.X0)
		if i == 0 {
			g.JCS(operand.LabelRef("again")) // below, or NaN
		} else {
			g.JCC(operand.LabelRef("again"))
		}
	}
	g.Store(reg.X0, g.ReturnIndex(0))
	g.VZEROUPPER()
	g.RET()
	g.Label("again")
}

// sumDoubles adds up all elements of four vectors, into X0.
func (g *gen) sumDoubles(sums []vec) {
	g.VADDPD(sums[1], sums[0], sums[0])
	g.VADDPD(sums[3], sums[2], sums[2])
	g.VADDPD(sums[2], sums[0], g.vecs[0])
	if g.wide() {
		g.VEXTRACTF64X4(operand.U8(1), reg.Z0, reg.Y1)
		g.VADDPD(reg.Y1, reg.Y0, reg.Y0)
	}
	g.VEXTRACTF128(operand.U8(1), reg.Y0, reg.X1)
	g.VADDPD(reg.X1, reg.X0, reg.X0)
	g.VHADDPD(reg.X0, reg.X0, reg.X0)
}

// norm writes the scaling of a row.
func (g *gen) norm(e element) {
	name, in := "norm"+e.name, "float64"
	if e.narrow() {
		in = "float32"
	}
	g.function(name, fmt.Sprintf("func(to, x %s, w *float32, factor float64, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[j] = x[j]·factor·w[j] for j below n, %s, in %s, rounded to float32 before the type of to.",
			name, g.suffix, g.multiple(), in),
		fmt.Sprintf("If past is not 0, to must be a multiple of %d, and is written past the caches; a fence must follow.", g.bytes()))
	to, x, w, n, row := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	factor, weight := g.vecs[4], g.vecs[5]
	s := store{e, g.vecs[6:9]}
	g.load("to", to)
	g.load("x", x)
	g.load("w", w)
	g.load("n", n)
	g.load("past", past)
	g.LEAQ(mem{Base: x, Index: n, Scale: uint8(e.size)}, row)
	g.broadcastDouble("factor", factor)
	if e.narrow() {
		g.VMOVUPS(factor, weight)
		g.toFloats(factor, weight)
	}
	g.loop("loop", n, g.stepOf(), func() {
		g.nextRow(e, row)
		if e.narrow() {
			for j, v := range g.vecs[:2] {
				g.loadFloats(e, mem{Base: x, Disp: j * g.lanes * e.size}, v)
				g.VMULPS(factor, v, v)
				g.VMULPS(mem{Base: w, Disp: j * g.bytes()}, v, v)
			}
			g.put(g.pair(s, g.vecs[0], g.vecs[1], false, mem{Base: to}))
		} else {
			for j, v := range g.vecs[:4] {
				g.loadDoubles(e, mem{Base: x, Disp: j * g.lanes / 2 * e.size}, v)
				g.VMULPD(factor, v, v)
				g.VCVTPS2PD(mem{Base: w, Disp: j * g.lanes / 2 * 4}, weight)
				g.VMULPD(weight, v, v)
			}
			g.toFloats(g.vecs[0], g.vecs[1])
			g.toFloats(g.vecs[2], g.vecs[3])
			g.put(g.pair(s, g.vecs[0], g.vecs[2], false, mem{Base: to}))
		}
		g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		g.ADDQ(operand.I32(g.stepOf()*e.size), to)
		g.ADDQ(operand.I32(g.stepOf()*4), w)
	})
	g.end()
}

// nextRow prefetches what lies behind a row while that is computed a step at a time, after a pass over it that was faster than the
// memory: then both are busy.
func (g *gen) nextRow(e element, next reg.GPPhysical) {
	for line := 0; line < g.stepOf()*e.size; line += 64 {
		g.PREFETCHT0(mem{Base: next, Disp: line})
	}
	g.ADDQ(operand.I32(g.stepOf()*e.size), next)
}

// broadcastDouble fills a vector with the parameter name.
func (g *gen) broadcastDouble(name string, to vec) {
	address, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSD(address.Addr, to)
}
