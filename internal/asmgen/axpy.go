package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// axpyRows is the rows of a that an axpy kernel takes at a time.
const axpyRows = 8

// axpy writes the kernel that adds multiples of rows to a vector: a product with a matrix whose rows run across the sums.
func (g *gen) axpy() {
	g.function("axpyF32", "func(y, a *float32, lda int, x *float32, n, rows int)",
		fmt.Sprintf("axpyF32%s adds Σ x[i]·a[i,j] to y[j] for j below n, a multiple of %d, and rows i of a, 1 or %d, in ascending order.",
			g.suffix, g.lanes, axpyRows),
		"Rows of a are lda bytes apart.")
	g.load("rows", reg.RCX)
	g.CMPQ(reg.RCX, operand.I32(axpyRows))
	g.JE(operand.LabelRef(fmt.Sprintf("rows%d", axpyRows)))
	for _, rows := range []int{1, axpyRows} {
		g.Label(fmt.Sprintf("rows%d", rows))
		g.axpyLoop(rows)
		g.end()
	}
}

func (g *gen) axpyLoop(rows int) {
	y, a, lda, lda3, lda5, lda7, x, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.R8, reg.R9, reg.RSI, reg.RDI
	g.load("y", y)
	g.load("a", a)
	g.load("lda", lda)
	g.LEAQ(mem{Base: lda, Index: lda, Scale: 2}, lda3)
	g.LEAQ(mem{Base: lda, Index: lda, Scale: 4}, lda5)
	g.LEAQ(mem{Base: lda3, Index: lda, Scale: 4}, lda7)
	g.load("x", x)
	g.load("n", n)
	for i := range rows {
		g.VBROADCASTSS(mem{Base: x, Disp: 4 * i}, g.vecs[i])
	}
	pass := func(vectors int) func() {
		return func() {
			for j := range vectors {
				sum, disp := g.vecs[axpyRows+j], j*g.bytes()
				row := []mem{
					{Base: a, Disp: disp},
					{Base: a, Index: lda, Scale: 1, Disp: disp}, {Base: a, Index: lda, Scale: 2, Disp: disp},
					{Base: a, Index: lda3, Scale: 1, Disp: disp}, {Base: a, Index: lda, Scale: 4, Disp: disp},
					{Base: a, Index: lda5, Scale: 1, Disp: disp}, {Base: a, Index: lda3, Scale: 2, Disp: disp},
					{Base: a, Index: lda7, Scale: 1, Disp: disp},
				}
				g.VMOVUPS(mem{Base: y, Disp: disp}, sum)
				for i := range rows {
					g.VFMADD231PS(row[i], g.vecs[i], sum)
				}
				g.VMOVUPS(sum, mem{Base: y, Disp: disp})
			}
			g.ADDQ(operand.I32(vectors*g.bytes()), y)
			g.ADDQ(operand.I32(vectors*g.bytes()), a)
		}
	}
	label := fmt.Sprintf("loop%d", rows)
	const unroll = 4
	g.loop(label, n, unroll*g.lanes, pass(unroll))
	g.loop(label+"_rest", n, g.lanes, pass(1))
}
