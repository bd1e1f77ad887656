package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Short names of avo's operands.
type (
	mem = operand.Mem
	vec = reg.VecPhysical
)

// gen writes the kernels of one level of vector instructions.
type gen struct {
	*build.Context
	suffix string // of the functions' names
	lanes  int    // 32-bit elements of a vector
	vecs   []vec  // the vector registers

	labels int      // that have a number
	later  []func() // what is written behind the end of the function, as it seldom runs
}

func newGen(suffix string, lanes int) *gen {
	g := &gen{Context: build.NewContext(), suffix: suffix, lanes: lanes, vecs: ymm}
	if lanes == 16 {
		g.vecs = zmm
	}
	return g
}

var (
	zmm = []vec{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7,
		reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23,
		reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	ymm = []vec{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7,
		reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
)

// wide says that vectors are zmm registers and not ymm.
func (g *gen) wide() bool { return g.lanes == 16 }

// bytes is the size of a vector.
func (g *gen) bytes() int { return 4 * g.lanes }

// function begins a kernel.
func (g *gen) function(name, signature string, doc ...string) {
	g.Function(name + g.suffix)
	g.Attributes(4) // NOSPLIT
	g.Doc(doc...)
	g.Pragma("noescape")
	g.SignatureExpr(signature)
}

// end leaves the kernel.
func (g *gen) end() {
	g.VZEROUPPER()
	g.RET()
	for _, write := range g.later {
		write()
	}
	g.later = nil
}

// load reads the parameter name into a register.
func (g *gen) load(name string, to reg.GPPhysical) { g.Load(g.Param(name), to) }

// loop runs body as often as the counter says, which is not negative and counts down by step until fewer are left.
func (g *gen) loop(label string, counter reg.GPPhysical, step int, body func()) {
	g.SUBQ(operand.I32(step), counter)
	g.JL(operand.LabelRef(label + "_done"))
	g.Label(label)
	body()
	g.SUBQ(operand.I32(step), counter)
	g.JGE(operand.LabelRef(label))
	g.Label(label + "_done")
	g.ADDQ(operand.I32(step), counter)
}

func (g *gen) zero(r vec) {
	if g.wide() {
		g.VPXORD(r, r, r)
		return
	}
	g.VXORPS(r, r, r)
}

// and is the bitwise a ∧ b; a may be memory.
func (g *gen) and(a operand.Op, b, to vec) {
	if g.wide() {
		g.VPANDD(a, b, to)
		return
	}
	g.VPAND(a, b, to)
}

// or is the bitwise a ∨ b.
func (g *gen) or(a operand.Op, b, to vec) {
	if g.wide() {
		g.VPORD(a, b, to)
		return
	}
	g.VPOR(a, b, to)
}

// xor is the bitwise a ⊕ b.
func (g *gen) xor(a operand.Op, b, to vec) {
	if g.wide() {
		g.VPXORD(a, b, to)
		return
	}
	g.VPXOR(a, b, to)
}

// lowerHalves loads 32-bit elements and gives the float32 of their lower halves, which are bfloat16.
func (g *gen) lowerHalves(from mem, to vec) {
	if g.wide() {
		g.VPSLLD(operand.U8(16), from, to)
		return
	}
	g.VMOVUPS(from, to)
	g.VPSLLD(operand.U8(16), to, to)
}

// ones sets all bits.
func (g *gen) ones(to vec) {
	if g.wide() {
		g.VPTERNLOGD(operand.U8(0xff), to, to, to)
		return
	}
	g.VPCMPEQD(to, to, to)
}

// upperMask makes a mask of the upper halves of 32-bit elements, which are bfloat16 in the place of their float32.
func (g *gen) upperMask(to vec) {
	g.ones(to)
	g.VPSLLD(operand.U8(16), to, to)
}

// dotPairs is VDPBF16PS: to[i] += a[2i]·b[2i] + a[2i+1]·b[2i+1], a and b of bfloat16 and to of float32. Go's assembler does not
// know it; the bytes are EVEX.512.F3.0F38.W0 52 /r with registers only.
func (g *gen) dotPairs(a, b, to vec) {
	d, s, m := uint32(to.ID().Index()), uint32(a.ID().Index()), uint32(b.ID().Index())
	not := func(x, bit uint32) uint32 { return ^x >> bit & 1 }
	p0 := not(d, 3)<<7 | not(m, 4)<<6 | not(m, 3)<<5 | not(d, 4)<<4 | 2
	p1 := (^s&15)<<3 | 1<<2 | 2
	p2 := uint32(2<<5) | not(s, 4)<<3
	g.Comment(fmt.Sprintf("VDPBF16PS Z%d, Z%d, Z%d", m, s, d))
	g.raw("LONG", operand.U32(0x62|p0<<8|p1<<16|p2<<24))
	g.raw("WORD", operand.U16(0x52|(0xc0|d&7<<3|m&7)<<8))
}

func (g *gen) raw(directive string, x operand.Op) {
	g.Instruction(&ir.Instruction{Opcode: directive, Operands: []operand.Op{x}})
}
