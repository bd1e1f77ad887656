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
	to, from, ld, steps, low, high := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI
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
		g.MOVQ(to, high)
		if g.wide() {
			g.transpose16(high, 4*cols)
		} else {
			g.transpose8(high, 4*cols)
		}
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

// transpose16 transposes 16 registers of 16 elements and stores them as the columns of 16 steps, some bytes apart.
func (g *gen) transpose16(to reg.GPPhysical, apart int) {
	v := g.vecs
	for i := 0; i < 16; i += 4 {
		g.interleave4(v[i:i+4], v[16:20])
	}
	// Even and odd groups of two registers, then of four.
	pick := func(imm int, a, b, out vec) { g.VSHUFF32X4(operand.U8(imm), b, a, out) }
	for c := range 4 {
		pick(0x88, v[c], v[4+c], v[20])
		pick(0xdd, v[c], v[4+c], v[21])
		pick(0x88, v[8+c], v[12+c], v[22])
		pick(0xdd, v[8+c], v[12+c], v[23])
		pick(0x88, v[20], v[22], v[24])
		pick(0x88, v[21], v[23], v[25])
		pick(0xdd, v[20], v[22], v[26])
		pick(0xdd, v[21], v[23], v[27])
		for group := range 4 {
			g.VMOVUPS(v[24+group], mem{Base: to, Disp: (4*group + c) * apart})
		}
	}
}

// transpose8 transposes 8 registers of 8 elements and stores them as the columns of 8 steps, some bytes apart.
func (g *gen) transpose8(to reg.GPPhysical, apart int) {
	g.eight(func(step int, column vec) { g.VMOVUPS(column, mem{Base: to, Disp: step * apart}) })
}

// eight transposes 8 registers of 8 elements and gives the 8 columns to store, in order.
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

// beside writes the kernel that puts the elements of a few rows side by side. It transposes eight, of which the last are there more
// than once if they are fewer, and stores eight elements for each step; those beyond the rows' are overwritten by the next step's.
// Four rows, the tile of Sgemm, go by themselves, with a third of the instructions.
func (g *gen) beside() {
	g.function("beside", "func(to, from *uint32, ld, steps, rows int)",
		fmt.Sprintf("beside%s sets to[rows·k+i] = from[i,k] for rows i, 1 to %d, ld bytes apart, and k below steps, a multiple of %d.",
			g.suffix, g.lanes, g.lanes),
		fmt.Sprintf("It writes up to %d−rows elements of undefined contents beyond the last.", g.lanes))
	to, from, steps, distance, ld := reg.RAX, reg.RBX, reg.RDX, reg.RSI, reg.R13
	rows := []reg.GPPhysical{reg.RCX, reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12} // where they begin, from the second on
	g.load("to", to)
	g.load("ld", ld)
	g.load("rows", distance)
	g.XORQ(from, from)
	last := from
	for i, row := range rows {
		g.CMPQ(distance, operand.I32(i+1))
		g.CMOVQLE(from, ld)
		g.MOVQ(ld, row)
		if i > 0 {
			g.ADDQ(last, row)
		}
		last = row
	}
	g.load("from", from)
	g.load("steps", steps)
	g.CMPQ(distance, operand.I32(4))
	g.JE(operand.LabelRef("four"))
	g.SHLQ(operand.U8(2), distance)
	g.loop("loop", steps, g.lanes, func() {
		g.VMOVUPS(mem{Base: from}, g.vecs[0])
		for i, row := range rows {
			g.VMOVUPS(mem{Base: from, Index: row, Scale: 1}, g.vecs[i+1])
		}
		g.eight(func(_ int, column vec) {
			g.VMOVUPS(column, mem{Base: to})
			g.ADDQ(distance, to)
		})
		g.ADDQ(operand.I32(4*g.lanes), from)
	})
	g.end()
	g.Label("four")
	g.loop("loop4", steps, g.lanes, func() {
		g.VMOVUPS(mem{Base: from}, g.vecs[0])
		for i, row := range rows[:3] {
			g.VMOVUPS(mem{Base: from, Index: row, Scale: 1}, g.vecs[i+1])
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
