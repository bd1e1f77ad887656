package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The numbers that swiglu reads, each in the table at its place.
const (
	swigluSign   = iota // the sign bit
	swigluLeast         // −208: silu times any float32 is 0 below
	swigluLog2E         // log₂ e
	swigluAnchor        // 1.5·2²³, whose last place is 1
	swigluLn2           // ln 2, the upper bits: times an integer of 9 bits it is exact
	swigluLn2Low        // the rest of ln 2
	swigluOne
	swigluBound  // −120, an integer
	swigluBias   // 127, an integer
	swigluTaylor // 1/7!, 1/6!, … 1/2!
)

// swigluBits are the bits of these numbers.
func swigluBits() []uint32 {
	const ln2 = 0xb17200p-24 // of 16 bits
	bits := []uint32{
		1 << 31, math.Float32bits(-208), math.Float32bits(math.Log2E), math.Float32bits(0x1.8p23),
		math.Float32bits(-ln2), math.Float32bits(ln2 - math.Ln2), math.Float32bits(1), ^uint32(120) + 1, 127,
	}
	for _, factorial := range []float64{5040, 720, 120, 24, 6, 2} {
		bits = append(bits, math.Float32bits(float32(1/factorial)))
	}
	return bits
}

// swiglu writes the gated activation. With a = −|v| = k·ln 2 + r, k an integer and |r| ≤ ln 2/2, e^a is the Taylor polynomial of
// e^r of degree 7 times 2^k. silu is v/(1+e^a) for v ≥ 0 and v·e^a/(1+e^a) for v < 0. There 2^k is multiplied in three times, so
// that it neither underflows before a great factor comes nor makes a product overflow: its part down to 2^−120 with e^r, what is
// left in two halves with the end result.
func (g *gen) swiglu() {
	words(g.Context, "swigluNumbers"+g.suffix, swigluBits())
	g.function("swiglu", "func(gate, up, out *float32, n int)",
		fmt.Sprintf("swiglu%s computes out[i] = silu(gate[i])·up[i] with silu(v) = v/(1+e^−v) for n elements, a multiple of %d.", g.suffix, g.lanes),
		"It is within 4 units in the last place; where the product is subnormal, or silu of a tiny gate, within 4 of the least subnormal.",
		"silu(+Inf) is +Inf, silu(−Inf) is NaN. out may be gate or up.")
	gate, up, out, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX
	g.load("gate", gate)
	g.load("up", up)
	g.load("out", out)
	g.load("n", n)
	g.loop("loop", n, g.lanes, func() {
		v, a, k, e, scale, negative, den, x := g.vecs[0], g.vecs[1], g.vecs[2], g.vecs[3], g.vecs[4], g.vecs[5], g.vecs[6], g.vecs[7]
		number := func(i int) vec {
			g.VBROADCASTSS(mem{Symbol: operand.Symbol{Name: "swigluNumbers" + g.suffix, Static: true}, Base: reg.StaticBase, Disp: 4 * i}, x)
			return x
		}
		g.VMOVUPS(mem{Base: gate}, v)
		g.VPSRAD(operand.U8(31), v, negative)
		// The denominator so far: 0, but NaN for −Inf and NaN.
		g.zero(den)
		g.VMINPS(v, den, den)
		g.VSUBPS(den, den, den)
		// a and v are cut where the result is 0; the maximum of a NaN in this order of operands is NaN.
		g.or(number(swigluSign), v, a)
		number(swigluLeast)
		g.VMAXPS(a, x, a)
		g.VMAXPS(v, x, v)
		// k, in its low bits and as a float32, and r in a.
		g.VMOVUPS(number(swigluAnchor), k)
		g.VMOVUPS(k, scale)
		g.VFMADD231PS(number(swigluLog2E), a, k)
		g.VSUBPS(scale, k, e)
		g.VPSUBD(scale, k, k)
		g.VFMADD231PS(number(swigluLn2), e, a)
		g.VFMADD231PS(number(swigluLn2Low), e, a)
		// e^r.
		g.VMOVUPS(number(swigluTaylor), e)
		for i := 1; i < 6; i++ {
			g.VFMADD213PS(number(swigluTaylor+i), a, e)
		}
		g.VFMADD213PS(number(swigluOne), a, e)
		g.VFMADD213PS(x, a, e)
		// e^a, but for what k has below −120, which is kept for v < 0.
		g.VMOVUPS(k, a)
		g.VPMAXSD(number(swigluBound), k, k)
		g.VPSUBD(k, a, a)
		g.and(a, negative, a)
		g.VPADDD(number(swigluBias), k, k)
		g.VPSLLD(operand.U8(23), k, k)
		g.VMULPS(k, e, e)
		// v·e^a/(1+e^a) or v/(1+e^a): the factor is 1 ⊕ ((1 ⊕ e^a) ∧ negative).
		number(swigluOne)
		g.VADDPS(x, den, den)
		g.VADDPS(e, den, den)
		g.xor(x, e, e)
		g.and(e, negative, e)
		g.xor(x, e, e)
		g.VMULPS(e, v, v)
		g.VDIVPS(den, v, v)
		g.VMULPS(mem{Base: up}, v, v)
		// The rest of 2^k in halves.
		g.VPSRAD(operand.U8(1), a, k)
		g.VPSUBD(k, a, a)
		number(swigluBias)
		for _, half := range []vec{k, a} {
			g.VPADDD(x, half, half)
			g.VPSLLD(operand.U8(23), half, half)
			g.VMULPS(half, v, v)
		}
		g.VMOVUPS(v, mem{Base: out})
		g.ADDQ(operand.I32(g.bytes()), gate)
		g.ADDQ(operand.I32(g.bytes()), up)
		g.ADDQ(operand.I32(g.bytes()), out)
	})
	g.end()
}

// addScaled writes the sum of a row and another times a number.
func (g *gen) addScaled() {
	g.function("addScaled", "func(to, x *float32, a float32, n int)",
		fmt.Sprintf("addScaled%s adds a·x[i] to to[i] for n elements, a multiple of %d.", g.suffix, g.lanes))
	to, x, n := reg.RAX, reg.RBX, reg.RCX
	a, sum := g.vecs[0], g.vecs[1]
	g.load("to", to)
	g.load("x", x)
	g.load("n", n)
	address, err := g.Param("a").Resolve()
	if err != nil {
		panic(err) // the signature above has it
	}
	g.VBROADCASTSS(address.Addr, a)
	g.loop("loop", n, g.lanes, func() {
		g.VMOVUPS(mem{Base: to}, sum)
		g.VFMADD231PS(mem{Base: x}, a, sum)
		g.VMOVUPS(sum, mem{Base: to})
		g.ADDQ(operand.I32(g.bytes()), to)
		g.ADDQ(operand.I32(g.bytes()), x)
	})
	g.end()
}
