package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotRows is the rows of w that a dot kernel takes.
const dotRows = 4

// dots writes the kernel for weights that lie as they are, row by row: dots of four rows of w with up to as many rows of x as
// there are registers for.
func (g *gen) dots(narrow bool) {
	name, element, wSize := "dotF32", "*float32", 4
	if narrow {
		name, element, wSize = "dotWidened", "*uint16", 2
	}
	most := 4
	if !g.wide() {
		most = 2
	}
	g.function(name, fmt.Sprintf("func(out *float32, x *float32, ldx int, w %s, ldw, n, rows int)", element),
		fmt.Sprintf("%s%s computes out[4i+j] = Σ x[i,k]·w[j,k] for k below n, a multiple of %d, and four rows j of w and rows i of x, in [1,%d].",
			name, g.suffix, g.lanes, most),
		"Rows are ldx and ldw bytes apart. w is bfloat16, widened, where it is 16 bits wide.")
	g.load("rows", reg.RCX)
	for rows := 1; rows <= most; rows++ {
		g.CMPQ(reg.RCX, operand.I32(rows))
		g.JE(operand.LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	g.RET()
	for rows := 1; rows <= most; rows++ {
		g.Label(fmt.Sprintf("rows%d", rows))
		g.dotLoop(rows, wSize)
		g.dotSums(rows)
		g.end()
	}
}

func (g *gen) dotSum(i, j int) vec { return g.vecs[len(g.vecs)-1-i*dotRows-j] }

func (g *gen) dotLoop(rows, wSize int) {
	x, ldx, x3, w, ldw, w3, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R8
	g.load("x", x)
	g.load("ldx", ldx)
	g.LEAQ(mem{Base: ldx, Index: ldx, Scale: 2}, x3)
	g.load("w", w)
	g.load("ldw", ldw)
	g.LEAQ(mem{Base: ldw, Index: ldw, Scale: 2}, w3)
	g.load("n", n)
	row := func(base, ld, ld3 reg.GPPhysical, i int) mem {
		return []mem{{Base: base}, {Base: base, Index: ld, Scale: 1}, {Base: base, Index: ld, Scale: 2}, {Base: base, Index: ld3, Scale: 1}}[i]
	}
	for i := range rows {
		for j := range dotRows {
			g.zero(g.dotSum(i, j))
		}
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, g.lanes, func() {
		for j := range dotRows {
			from := row(w, ldw, w3, j)
			if wSize == 4 {
				g.VMOVUPS(from, g.vecs[j])
				continue
			}
			g.VPMOVZXWD(from, g.vecs[j])
			g.VPSLLD(operand.U8(16), g.vecs[j], g.vecs[j])
		}
		for i := range rows {
			g.VMOVUPS(row(x, ldx, x3, i), g.vecs[dotRows])
			for j := range dotRows {
				g.VFMADD231PS(g.vecs[dotRows], g.vecs[j], g.dotSum(i, j))
			}
		}
		g.ADDQ(operand.I32(4*g.lanes), x)
		g.ADDQ(operand.I32(wSize*g.lanes), w)
	})
}

// dotSums adds up the elements of each sum.
func (g *gen) dotSums(rows int) {
	out := reg.RAX
	g.load("out", out)
	for i := range rows {
		for j := range dotRows {
			if g.wide() {
				g.VMOVUPS(g.dotSum(i, j), reg.Z0)
				g.VEXTRACTF64X4(operand.U8(1), reg.Z0, reg.Y1)
				g.VADDPS(reg.Y1, reg.Y0, reg.Y0)
			} else {
				g.VMOVUPS(g.dotSum(i, j), reg.Y0)
			}
			g.VEXTRACTF128(operand.U8(1), reg.Y0, reg.X1)
			g.VADDPS(reg.X1, reg.X0, reg.X0)
			g.VHADDPS(reg.X0, reg.X0, reg.X0)
			g.VHADDPS(reg.X0, reg.X0, reg.X0)
			g.VMOVSS(reg.X0, mem{Base: out, Disp: 4 * (i*dotRows + j)})
		}
	}
}
