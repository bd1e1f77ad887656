package main

import (
	"fmt"

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
func (g *gen) squares(e element) {
	name := "squares" + e.name
	g.function(name, fmt.Sprintf("func(x %s, n int) float64", e.goType),
		fmt.Sprintf("%s%s is Σ x[j]² for j below n, %s, in float64.", name, g.suffix, g.multiple()))
	x, n := reg.RAX, reg.RBX
	sums := g.vecs[4:8]
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
	g.Store(reg.X0, g.ReturnIndex(0))
	g.end()
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
	to, x, w, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	factor, weight := g.vecs[4], g.vecs[5]
	s := store{e: e, temp: g.vecs[6]}
	g.load("to", to)
	g.load("x", x)
	g.load("w", w)
	g.load("n", n)
	address, err := g.Param("factor").Resolve()
	if err != nil {
		panic(err)
	}
	g.VBROADCASTSD(address.Addr, factor)
	if e.narrow() {
		s.r = g.newRounding(g.vecs[7], g.vecs[8], g.vecs[9], g.vecs[10], g.vecs[11])
		g.VMOVUPS(factor, weight)
		g.toFloats(factor, weight)
	}
	g.loop("loop", n, g.stepOf(), func() {
		if e.narrow() {
			for j, v := range g.vecs[:2] {
				g.loadFloats(e, mem{Base: x, Disp: j * g.lanes * e.size}, v)
				g.VMULPS(factor, v, v)
				g.VMULPS(mem{Base: w, Disp: j * g.bytes()}, v, v)
			}
			g.pastOrNot("loop", s, func(s store) { g.pair(s, g.vecs[0], g.vecs[1], mem{Base: to}) })
		} else {
			for j, v := range g.vecs[:4] {
				g.loadDoubles(e, mem{Base: x, Disp: j * g.lanes / 2 * e.size}, v)
				g.VMULPD(factor, v, v)
				g.VCVTPS2PD(mem{Base: w, Disp: j * g.lanes / 2 * 4}, weight)
				g.VMULPD(weight, v, v)
			}
			g.toFloats(g.vecs[0], g.vecs[1])
			g.toFloats(g.vecs[2], g.vecs[3])
			g.pastOrNot("loop", s, func(s store) { g.pair(s, g.vecs[0], g.vecs[2], mem{Base: to}) })
		}
		g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		g.ADDQ(operand.I32(g.stepOf()*e.size), to)
		g.ADDQ(operand.I32(g.stepOf()*4), w)
	})
	g.end()
}

// turn writes the rotation of a head.
func (g *gen) turn(e element) {
	name := "turn" + e.name
	g.function(name, fmt.Sprintf("func(to, x %s, cos, sin *float64, d, n int)", e.goType),
		fmt.Sprintf("%s%s computes to[i] = x[i]·cos[i] − x[d+i]·sin[i] and to[d+i] = x[d+i]·cos[i] + x[i]·sin[i] for i below n, %s,",
			name, g.suffix, g.multiple()),
		"each step rounded to float64, the result to float32 and then to the type of to.")
	to, x, cos, sin, n, d := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
	a, b, c, t := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3]
	low, high := g.vecs[4:6], g.vecs[6:8]
	next := g.vecs[8]
	s := store{e: e, temp: g.vecs[9]}
	if e.narrow() {
		s.r = g.newRounding(g.vecs[10], g.vecs[11], g.vecs[12], g.vecs[13], g.vecs[14])
	}
	g.load("to", to)
	g.load("x", x)
	g.load("cos", cos)
	g.load("sin", sin)
	g.load("d", d)
	g.load("n", n)
	g.loop("loop", n, g.stepOf(), func() {
		for j := range 4 {
			at, angle := j*g.lanes/2*e.size, j*g.lanes/2*8
			lo, hi := low[j/2], high[j/2]
			if j%2 == 1 {
				lo, hi = next, c
			}
			g.loadDoubles(e, mem{Base: x, Disp: at}, a)
			g.loadDoubles(e, mem{Base: x, Index: d, Scale: uint8(e.size), Disp: at}, b)
			g.VMULPD(mem{Base: cos, Disp: angle}, a, lo)
			g.VMULPD(mem{Base: sin, Disp: angle}, b, t)
			g.VSUBPD(t, lo, lo)
			g.VMULPD(mem{Base: cos, Disp: angle}, b, hi)
			g.VMULPD(mem{Base: sin, Disp: angle}, a, t)
			g.VADDPD(t, hi, hi)
			if j%2 == 1 {
				g.toFloats(low[j/2], lo)
				g.toFloats(high[j/2], hi)
			}
		}
		g.pair(s, low[0], low[1], mem{Base: to})
		g.pair(s, high[0], high[1], mem{Base: to, Index: d, Scale: uint8(e.size)})
		g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		g.ADDQ(operand.I32(g.stepOf()*e.size), to)
		g.ADDQ(operand.I32(g.stepOf()*8), cos)
		g.ADDQ(operand.I32(g.stepOf()*8), sin)
	})
	g.end()
}
