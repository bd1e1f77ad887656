package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// transpose writes a kernel that turns rows of 32-bit elements into columns of a panel of some columns, a square of registers at a time.
func (g *gen) transpose(name string, cols int) {
	g.function(name, "func(to, from *uint32, ld, steps int)",
		fmt.Sprintf("%s%s sets to[%dk+i] = from[i,k] for %d rows i, ld bytes apart, and k below steps, a multiple of %d.",
			name, g.suffix, cols, g.lanes, g.lanes))
	to, from, ld, steps, low := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.loop("loop", steps, g.lanes, func() {
		g.MOVQ(from, low)
		for i := range g.lanes {
			g.VMOVUPS(mem{Base: low}, g.vecs[i])
			g.ADDQ(ld, low)
		}
		g.square(func(step int, column vec) { g.VMOVUPS(column, mem{Base: to, Disp: step * 4 * cols}) })
		g.ADDQ(operand.I32(4*g.lanes), from)
		g.ADDQ(operand.I32(4*cols*g.lanes), to)
	})
	g.end()
}

// interleave4 transposes, within each group of 128 bits, the 4 registers from v[0] on, with 4 more for its use: result c holds
// element c of each of the four in every group. The results are where the four were.
func (g *gen) interleave4(v []vec, free []vec) {
	g.VUNPCKLPS(v[1], v[0], free[0])
	g.VUNPCKHPS(v[1], v[0], free[1])
	g.VUNPCKLPS(v[3], v[2], free[2])
	g.VUNPCKHPS(v[3], v[2], free[3])
	g.VUNPCKLPD(free[2], free[0], v[0])
	g.VUNPCKHPD(free[2], free[0], v[1])
	g.VUNPCKLPD(free[3], free[1], v[2])
	g.VUNPCKHPD(free[3], free[1], v[3])
}

// square transposes as many registers as one has elements, the first ones, and gives the columns to store, in order.
func (g *gen) square(store func(step int, column vec)) {
	if g.wide() {
		g.sixteen(store)
		return
	}
	g.eight(store)
}

// sixteen transposes 16 registers of 16 elements.
func (g *gen) sixteen(store func(step int, column vec)) {
	v := g.vecs
	for i := 0; i < 16; i += 4 {
		g.interleave4(v[i:i+4], v[16:20])
	}
	// Even and odd groups of two registers, then of four. A column goes where it is to be counted from.
	pick := func(imm int, a, b, out vec) { g.VSHUFF32X4(operand.U8(imm), b, a, out) }
	for c := range 4 {
		pick(0x88, v[c], v[4+c], v[16])
		pick(0xdd, v[c], v[4+c], v[17])
		pick(0x88, v[8+c], v[12+c], v[18])
		pick(0xdd, v[8+c], v[12+c], v[19])
		pick(0x88, v[16], v[18], v[c])
		pick(0x88, v[17], v[19], v[4+c])
		pick(0xdd, v[16], v[18], v[8+c])
		pick(0xdd, v[17], v[19], v[12+c])
	}
	for step := range 16 {
		store(step, v[step])
	}
}

// eight transposes 8 registers of 8 elements.
func (g *gen) eight(store func(step int, column vec)) {
	v := g.vecs
	g.interleave4(v[:4], v[8:12])
	g.interleave4(v[4:8], v[8:12])
	for step := range 8 {
		c, half := step%4, 0x20+0x11*uint8(step/4)
		g.VPERM2F128(operand.U8(half), v[4+c], v[c], v[8+step%2])
		store(step, v[8+step%2])
	}
}

// beside writes the kernel that puts the elements of a few rows side by side. It transposes as many rows as a vector has elements, of
// which the last is there more than once if they are fewer, and stores a vector for each step; what is beyond the rows' elements is
// overwritten by the next step's. Four rows of eight steps, the tile of Sgemm, go by themselves, with a third of the instructions.
func (g *gen) beside() {
	g.function("beside", "func(to, from *uint32, ld, steps, rows int)",
		fmt.Sprintf("beside%s sets to[rows·k+i] = from[i,k] for rows i, 1 to %d, ld bytes apart, and k below steps, a multiple of %d.",
			g.suffix, g.lanes, g.lanes),
		fmt.Sprintf("It writes up to %d−rows elements of undefined contents beyond the last.", g.lanes))
	to, from, ld, steps, rows := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	row, next, distance := reg.RDI, reg.R8, reg.R9
	g.load("to", to)
	g.load("from", from)
	g.load("ld", ld)
	g.load("steps", steps)
	g.load("rows", rows)
	if !g.wide() {
		g.CMPQ(rows, operand.I32(4))
		g.JE(operand.LabelRef("four"))
	}
	g.MOVQ(rows, distance)
	g.SHLQ(operand.U8(2), distance)
	g.loop("loop", steps, g.lanes, func() {
		g.MOVQ(from, row)
		g.VMOVUPS(mem{Base: row}, g.vecs[0])
		for i := 1; i < g.lanes; i++ {
			g.LEAQ(mem{Base: row, Index: ld, Scale: 1}, next)
			g.CMPQ(rows, operand.I32(i))
			g.CMOVQGT(next, row)
			g.VMOVUPS(mem{Base: row}, g.vecs[i])
		}
		g.square(func(_ int, column vec) {
			g.VMOVUPS(column, mem{Base: to})
			g.ADDQ(distance, to)
		})
		g.ADDQ(operand.I32(4*g.lanes), from)
	})
	g.end()
	if g.wide() {
		return
	}
	g.Label("four")
	third := next
	g.LEAQ(mem{Base: ld, Index: ld, Scale: 2}, third)
	g.loop("loop4", steps, g.lanes, func() {
		for i, at := range []mem{{Base: from}, {Base: from, Index: ld, Scale: 1}, {Base: from, Index: ld, Scale: 2}, {Base: from, Index: third, Scale: 1}} {
			g.VMOVUPS(at, g.vecs[i])
		}
		g.interleave4(g.vecs[:4], g.vecs[8:12])
		for i := range 4 {
			c, half := i%2*2, 0x20+0x11*uint8(i/2)
			g.VPERM2F128(operand.U8(half), g.vecs[c+1], g.vecs[c], g.vecs[4+i])
			g.VMOVUPS(g.vecs[4+i], mem{Base: to, Disp: i * g.bytes()})
		}
		g.ADDQ(operand.I32(4*g.lanes), from)
		g.ADDQ(operand.I32(4*4*g.lanes), to)
	})
	g.end()
}
