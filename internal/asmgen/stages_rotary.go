package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// turn writes the rotation of a head.
func (g *gen) turn(e element) {
	name := "turn" + e.name
	g.function(name, fmt.Sprintf("func(to, x %s, cos, sin *float64, d, n, past int)", e.goType),
		fmt.Sprintf("%s%s computes to[i] = x[i]·cos[i] − x[d+i]·sin[i] and to[d+i] = x[d+i]·cos[i] + x[i]·sin[i] for i below n, %s,",
			name, g.suffix, g.multiple()),
		"rounded to float64, then to float32 and then to the type of to. cos and sin are float32 numbers, so that products are exact.",
		fmt.Sprintf("If past is not 0, to and to + d must be multiples of %d, and are written past the caches; a fence must follow.", g.bytes()))
	to, x, cos, sin, n, d := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
	a, b, c, s := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3]
	low, high := g.vecs[4:6], g.vecs[6:8]
	next := g.vecs[8:10]
	st := store{e, g.vecs[10:13]}
	g.load("to", to)
	g.load("x", x)
	g.load("cos", cos)
	g.load("sin", sin)
	g.load("d", d)
	g.load("n", n)
	g.load("past", past)
	g.loop("loop", n, g.stepOf(), func() {
		for j := range 4 {
			at, angle := j*g.lanes/2*e.size, j*g.lanes/2*8
			lo, hi := low[j/2], high[j/2]
			if j%2 == 1 {
				lo, hi = next[0], next[1]
			}
			g.loadDoubles(e, mem{Base: x, Disp: at}, a)
			g.loadDoubles(e, mem{Base: x, Index: d, Scale: uint8(e.size), Disp: at}, b)
			g.VMOVUPD(mem{Base: cos, Disp: angle}, c)
			g.VMOVUPD(mem{Base: sin, Disp: angle}, s)
			g.VMULPD(c, a, lo)
			g.VFNMADD231PD(s, b, lo)
			g.VMULPD(c, b, hi)
			g.VFMADD231PD(s, a, hi)
			if j%2 == 1 {
				g.toFloats(low[j/2], lo)
				g.toFloats(high[j/2], hi)
			}
		}
		g.put(append(g.pair(st, low[0], low[1], false, mem{Base: to}),
			g.pair(st, high[0], high[1], false, mem{Base: to, Index: d, Scale: uint8(e.size)})...))
		g.ADDQ(operand.I32(g.stepOf()*e.size), x)
		g.ADDQ(operand.I32(g.stepOf()*e.size), to)
		g.ADDQ(operand.I32(g.stepOf()*8), cos)
		g.ADDQ(operand.I32(g.stepOf()*8), sin)
	})
	g.end()
}

// Constants of the sine and the cosine.
const (
	angleQuarters = iota // 2/π
	angleAnchor
	angleHalfPi // in three parts
	angleHalf   = iota + 2
	angleOne
	angleSign
	angleSine // coefficients of r³ …, the last first, and then the cosine's of r⁴ …
	powers    = 7
)

// angleBits are the bits of these numbers.
func angleBits() []uint64 {
	f := math.Float64bits
	list := []uint64{f(2 / math.Pi), f(0x1.8p52), f(0x1.921fbp+0), f(0x1.5110bp-22), f(0x1.18469898cc517p-44), f(0.5), f(1), 1 << 63}
	for first := 3; first <= 4; first++ {
		for i := powers - 1; i >= 0; i-- {
			n := first + 2*i
			factorial := 1.
			for k := 2; k <= n; k++ {
				factorial *= float64(k)
			}
			if (n/2)%2 == 1 {
				factorial = -factorial
			}
			list = append(list, f(1/factorial))
		}
	}
	return list
}

// angles writes the cosines and sines.
func (g *gen) angles() {
	g.function("angles", "func(cos, sin, frequency *float64, position float64, n int)",
		fmt.Sprintf("angles%s computes the cosine and the sine of position·frequency[i] for i below n, a multiple of %d, as narrowSincos does, where no", g.suffix, g.lanes/2),
		"product is beyond mostAngle. Products, cosines and sines are rounded to float32.")
	cos, sin, frequency, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	position, x, t, k, z := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3], g.vecs[4]
	s, c, p, mask := g.vecs[5], g.vecs[6], g.vecs[7], g.vecs[8]
	line := angleConstants.line
	g.load("cos", cos)
	g.load("sin", sin)
	g.load("frequency", frequency)
	g.broadcastDouble("position", position)
	g.load("n", n)
	toFloat := func(v vec) { // and back
		if g.wide() {
			g.VCVTPD2PS(v, v.AsY())
		} else {
			g.VCVTPD2PSY(v, v.AsX())
		}
		g.VCVTPS2PD(g.half(v), v)
	}
	g.loop("loop", n, g.lanes/2, func() {
		g.VMULPD(mem{Base: frequency}, position, x)
		toFloat(x)
		g.VMULPD(line(angleQuarters), x, t)
		g.VADDPD(line(angleAnchor), t, t)
		g.VSUBPD(line(angleAnchor), t, k)
		for i := range 3 {
			g.VMULPD(line(angleHalfPi+i), k, p)
			g.VSUBPD(p, x, x)
		}
		g.VMULPD(x, x, z)
		g.VMOVUPD(line(angleSine), s)
		g.VMOVUPD(line(angleSine+powers), c)
		for i := 1; i < powers; i++ {
			g.VMULPD(z, s, s)
			g.VMULPD(z, c, c)
			g.VADDPD(line(angleSine+i), s, s)
			g.VADDPD(line(angleSine+powers+i), c, c)
		}
		g.VMULPD(z, x, p)
		g.VMULPD(p, s, s)
		g.VADDPD(x, s, s)
		g.VMULPD(line(angleHalf), z, p)
		g.VMOVUPD(line(angleOne), k)
		g.VSUBPD(p, k, p)
		g.VMULPD(z, z, z)
		g.VMULPD(z, c, c)
		g.VADDPD(p, c, c)
		toFloat(s)
		toFloat(c)
		// Bit 0 of the quarter swaps sine and cosine and changes the sign of the cosine, bit 1 those of both.
		g.VPSLLQ(operand.U8(63), t, mask)
		g.VPSLLQ(operand.U8(62), t, t)
		g.and(line(angleSign), t, t)
		if g.wide() {
			g.VPTESTMQ(mask, mask, reg.K1)
			g.VPBLENDMQ(c, s, reg.K1, p)
			g.VPBLENDMQ(s, c, reg.K1, c)
		} else {
			g.VBLENDVPD(mask, c, s, p)
			g.VBLENDVPD(mask, s, c, c)
		}
		g.xor(t, p, p)
		g.xor(t, mask, mask)
		g.xor(mask, c, c)
		g.VMOVUPD(p, mem{Base: sin})
		g.VMOVUPD(c, mem{Base: cos})
		for _, pointer := range []reg.GPPhysical{cos, sin, frequency} {
			g.ADDQ(operand.I32(g.bytes()), pointer)
		}
	})
	g.end()
}
