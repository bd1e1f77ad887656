package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileDotAMX writes tileDot for AMX. A panel of bfloat16 has what a tile of the second factor wants, a row for each pair of elements,
// and so have rows of x what one of the first wants. All rows are done in one call, 32 at a time, as a configuration takes as long as
// several products; what is left of them has one of its own. So has what the steps are more than blocks of 16: it is added to what is
// in c by then, as a configuration clears the sums.
func (g *gen) tileDotAMX() {
	g.function("tileDot", "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int)",
		"tileDotAMX computes c (rows, cols) = a·b, or adds to c if add is not 0.",
		dotBF16.doc,
		"cols is in [1,32], rows is positive.",
		"Each element is the sum of blocks of 16 steps, in ascending order, one rounding each; in a block first elements of steps and",
		"second ones are summed by themselves, in ascending order, and then together. Sums that are denormal become zero. So it is",
		"whatever the tile's size. Rows of a and c are lda and ldc bytes apart. For each 16 steps of each 32 rows ahead bytes are",
		"prefetched at each of four places, apart bytes one from the next, of which next is the first, which then moves by as many.",
		"The process must have leave to use tiles.")
	k := amxKernel{
		gen: g, amxConfig: g.amxConfig(), left: g.AllocLocal(8), groups: g.AllocLocal(8), group: g.AllocLocal(8), ahead: g.AllocLocal(8),
		firstA: g.AllocLocal(8), firstC: g.AllocLocal(8),
		a: [2]reg.GPPhysical{reg.RAX, reg.RBX}, lda: reg.RCX, b: reg.RDX, ldb: reg.RSI, blocks: reg.RDI,
		c: [2]reg.GPPhysical{reg.R10, reg.R11}, ldc: reg.R12, next: reg.R8, until: reg.R9, apart: reg.R13, apart3: reg.R15,
	}
	k.begin()
	rows := reg.RAX
	g.Label("section") // of all rows but what is less than 32, and of that
	g.MOVQ(k.left, rows)
	g.TESTQ(rows, rows)
	g.JZ(operand.LabelRef("done"))
	first, second := reg.RBX, reg.RCX
	g.CMPQ(rows, operand.I32(2*amxRows))
	g.JLT(operand.LabelRef("rest"))
	g.MOVQ(rows, first)
	g.SHRQ(operand.U8(5), first)
	g.MOVQ(first, k.groups)
	g.ANDQ(operand.I32(2*amxRows-1), rows)
	g.MOVQ(rows, k.left)
	g.MOVQ(operand.U32(2*amxRows), rows)
	g.JMP(operand.LabelRef("shape"))
	g.Label("rest")
	g.MOVQ(operand.U32(1), first)
	g.MOVQ(first, k.groups)
	g.MOVQ(operand.U32(0), first)
	g.MOVQ(first, k.left)
	g.Label("shape")
	g.halves(rows, first, second)
	for i, r := range []reg.Register{first.As8(), second.As8()} {
		for _, t := range []tileRegister{aTile(i), sumTile(i, 0), sumTile(i, 1)} {
			g.MOVB(r, k.rows(t))
		}
	}
	cols := second
	g.load("cols", cols)
	g.CMPQ(rows, operand.I32(amxRows))
	g.JLE(operand.LabelRef("short"))
	g.CMPQ(cols, operand.I32(amxRows))
	g.JLE(operand.LabelRef("tiles2x1"))
	k.tiles("tiles2x2", 2, 2)
	g.Label("tiles2x1")
	k.tiles("tiles2x1", 2, 1)
	g.Label("short")
	g.CMPQ(cols, operand.I32(amxRows))
	g.JLE(operand.LabelRef("tiles1x1"))
	k.tiles("tiles1x2", 1, 2)
	g.Label("tiles1x1")
	k.tiles("tiles1x1", 1, 1)
	g.Label("done")
	g.release()
}

// amxKernel is tileDotAMX in the course of being written: what the stack and the registers hold.
type amxKernel struct {
	*gen
	amxConfig
	left, groups, group mem // rows after this section; groups of 32 rows, or fewer, of the section, and those still to be done
	firstA, firstC      mem // the section's first row
	ahead               mem // the parameter

	a, c                     [2]reg.GPPhysical // a group's first row and the one 16 behind it
	lda, b, ldb, ldc, blocks reg.GPPhysical
	next, until              reg.GPPhysical
	apart, apart3            reg.GPPhysical // how far the places are apart that are prefetched from
}

// begin sets what is the same for all sections.
func (k *amxKernel) begin() {
	count, first, second := reg.RAX, reg.RBX, reg.RCX
	k.load("cols", count)
	k.halves(count, first, second)
	k.SHLQ(operand.U8(2), first)
	k.SHLQ(operand.U8(2), second)
	for j, r := range []reg.Register{first.As16(), second.As16()} {
		for _, t := range []tileRegister{bTile(j), sumTile(0, j), sumTile(1, j)} {
			k.MOVW(r, k.width(t))
		}
	}
	k.load("next", k.next)
	k.MOVQ(k.next, k.until)
	k.load("apart", k.apart)
	k.LEAQ(mem{Base: k.apart, Index: k.apart, Scale: 2}, k.apart3)
	k.load("ahead", first)
	k.MOVQ(first, k.ahead)
	k.load("rows", count)
	k.MOVQ(count, k.left)
	k.load("a", first)
	k.MOVQ(first, k.firstA)
	k.load("c", first)
	k.MOVQ(first, k.firstC)
}

// halves splits a number of rows or columns, up to 32, in two. The second half is as the first, and not used, if there are no more than 16.
func (g *gen) halves(count, first, second reg.GPPhysical) {
	g.MOVQ(operand.U32(amxRows), first)
	g.CMPQ(count, first)
	g.CMOVQLT(count, first)
	g.MOVQ(count, second)
	g.SUBQ(operand.I32(amxRows), second)
	g.CMOVQLE(first, second)
}

// tiles is a section's product, on some tiles of rows and of columns.
func (k *amxKernel) tiles(label string, rows, cols int) {
	sums := func(do func(row, col int)) {
		for i := range rows {
			for j := range cols {
				do(i, j)
			}
		}
	}
	block := func() {
		sums(func(i, j int) {
			if i == 0 {
				k.loadTile(bTile(j), k.b, k.ldb, amxLine*j)
			}
			if j == 0 {
				// The next rows read b's part again, and only for it there is room in the first level of cache.
				text := fmt.Sprintf("TILELOADDT1 (%s)(%s*1), T%d", k.a[i].Asm(), k.lda.Asm(), aTile(i))
				k.encoded(text, tilePass(aTile(i), k.a[i], k.lda, 0))
			}
			k.dotTiles(i, j)
		})
	}
	second := func(first, ld, second reg.GPPhysical) {
		k.MOVQ(ld, second)
		k.SHLQ(operand.U8(4), second)
		k.ADDQ(first, second)
	}
	// groups are the groups of the section, for which a and c point to the first one, with the loop over blocks that body is.
	groups := func(label string, add func(), body func()) {
		k.MOVQ(k.groups, k.blocks)
		k.MOVQ(k.blocks, k.group)
		k.Label(label)
		second(k.a[0], k.lda, k.a[1])
		second(k.c[0], k.ldc, k.c[1])
		add()
		sums(func(i, j int) { k.loadTile(sumTile(i, j), k.c[i], k.ldc, amxLine*j) })
		k.Label(label + "_begin")
		body()
		sums(func(i, j int) { k.storeTile(sumTile(i, j), k.c[i], k.ldc, amxLine*j) })
		second(k.a[1], k.lda, k.a[0])
		second(k.c[1], k.ldc, k.c[0])
		k.DECQ(k.group)
		k.JNZ(operand.LabelRef(label))
	}
	k.load("lda", k.lda)
	k.load("ldc", k.ldc)
	k.MOVQ(operand.U32(panelBytes), k.ldb)
	k.MOVQ(operand.U32(amxRows), k.blocks)
	k.inner(k.blocks)
	k.MOVQ(k.firstA, k.a[0])
	k.MOVQ(k.firstC, k.c[0])
	groups(label+"_blocks", func() {
		k.CMPQ(k.parameter("add"), operand.I32(0))
		k.JNE(operand.LabelRef(label + "_add"))
		sums(func(i, j int) { k.clearTile(sumTile(i, j)) })
		k.JMP(operand.LabelRef(label + "_blocks_begin"))
		k.Label(label + "_add")
	}, func() {
		k.load("b", k.b)
		k.load("steps", k.blocks)
		k.SHRQ(operand.U8(4), k.blocks)
		k.loop(label+"_loop", k.blocks, 1, func() {
			block()
			for i := range k.a {
				k.ADDQ(operand.I32(amxLine), k.a[i])
			}
			k.ADDQ(operand.I32(amxRows*panelBytes), k.b)
			k.fetch(label)
		})
		k.wholeSteps(k.blocks)
		k.SHLQ(operand.U8(2), k.blocks)
		k.SUBQ(k.blocks, k.a[1]) // to where the group begins
	})
	k.load("steps", k.blocks)
	k.ANDQ(operand.I32(amxRows-1), k.blocks)
	k.JZ(operand.LabelRef(label + "_end"))
	k.inner(k.blocks)
	k.wholeSteps(k.blocks)
	k.load("b", k.b)
	k.MOVQ(k.firstA, k.a[0])
	k.MOVQ(k.firstC, k.c[0])
	k.SHLQ(operand.U8(2), k.blocks)
	k.ADDQ(k.blocks, k.a[0])
	k.SHLQ(operand.U8(5), k.blocks)
	k.ADDQ(k.blocks, k.b)
	groups(label+"_rest", func() {}, block)
	k.Label(label + "_end")
	k.MOVQ(k.groups, k.blocks)
	k.SHLQ(operand.U8(5), k.blocks)
	k.IMULQ(k.blocks, k.lda)
	k.IMULQ(k.blocks, k.ldc)
	k.ADDQ(k.lda, k.firstA)
	k.ADDQ(k.ldc, k.firstC)
	k.JMP(operand.LabelRef("section"))
}

// inner sets the inner dimension, steps in a register, and configures the tiles.
func (k *amxKernel) inner(steps reg.GPPhysical) {
	for j := range 2 {
		k.MOVB(steps.As8(), k.rows(bTile(j)))
	}
	k.SHLQ(operand.U8(2), steps)
	for i := range 2 {
		k.MOVW(steps.As16(), k.width(aTile(i)))
	}
	k.configure()
}

// wholeSteps is the number of steps in whole blocks.
func (k *amxKernel) wholeSteps(to reg.GPPhysical) {
	k.load("steps", to)
	k.ANDQ(operand.I32(-amxRows), to)
}

// fetch prefetches what a block should, from four places: they are in different pages, and the hardware follows each.
func (k *amxKernel) fetch(label string) {
	k.ADDQ(k.ahead, k.until)
	k.JMP(operand.LabelRef(label + "_fetched"))
	k.Label(label + "_fetch")
	for _, at := range []mem{
		{Base: k.next}, {Base: k.next, Index: k.apart, Scale: 1}, {Base: k.next, Index: k.apart, Scale: 2},
		{Base: k.next, Index: k.apart3, Scale: 1},
	} {
		k.PREFETCHT1(at)
	}
	k.ADDQ(operand.I32(64), k.next)
	k.Label(label + "_fetched")
	k.CMPQ(k.next, k.until)
	k.JLT(operand.LabelRef(label + "_fetch"))
}
