package main

import (
	"encoding/binary"
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileRegister is one of the eight registers of AMX: up to 16 rows of up to 64 bytes, as the configuration says.
type tileRegister byte

// VEX's field pp, for the prefix that an encoding stands for.
const (
	noPrefix = 0
	prefix66 = 1
	prefixF3 = 2
	prefixF2 = 3
)

// vex encodes an instruction of AMX, which Go's assembler and avo do not know, up to its ModRM byte: VEX.128.pp.0F38.W0. reg, rm
// and vvvv are the operands in the fields of these names. Only base and index, registers of an address, may be above 7.
func vex(pp, opcode, mod, reg, rm, vvvv, base, index byte) []byte {
	const escape0F38 = 2
	return []byte{
		0xc4,
		1<<7 | (^index>>3&1)<<6 | (^base>>3&1)<<5 | escape0F38, // R, X and B are stored inverted
		(^vvvv&15)<<3 | pp,
		opcode,
		mod<<6 | reg<<3 | rm,
	}
}

// vexMemory encodes an instruction on tile t and the memory at base + disp, whose rows are index bytes apart; there is no index if
// that is SP.
func vexMemory(pp, opcode byte, t tileRegister, base, index reg.GPPhysical, disp int) []byte {
	const disp8, disp32, sib = 1, 2, 4
	b, i := byte(base.ID().Index()), byte(index.ID().Index())
	address := i&7<<3 | b&7
	if disp == int(int8(disp)) {
		return append(vex(pp, opcode, disp8, byte(t), sib, 0, b, i), address, byte(disp))
	}
	return binary.LittleEndian.AppendUint32(append(vex(pp, opcode, disp32, byte(t), sib, 0, b, i), address), uint32(disp))
}

// vexTiles encodes an instruction on tiles alone.
func vexTiles(pp, opcode byte, to, a, b tileRegister) []byte {
	const registers = 3
	return vex(pp, opcode, registers, byte(to), byte(a), byte(b), 0, 0)
}

func loadConfig(from reg.GPPhysical) []byte { return vexMemory(noPrefix, 0x49, 0, from, reg.RSP, 0) }

func tileRelease() []byte { return vexTiles(noPrefix, 0x49, 0, 0, 0) }

func tileZero(t tileRegister) []byte { return vexTiles(prefixF2, 0x49, t, 0, 0) }

func tileLoad(t tileRegister, base, stride reg.GPPhysical, disp int) []byte {
	return vexMemory(prefixF2, 0x4b, t, base, stride, disp)
}

// tilePass is TILELOADDT1: a load of what need not stay in the first level of cache.
func tilePass(t tileRegister, base, stride reg.GPPhysical, disp int) []byte {
	return vexMemory(prefix66, 0x4b, t, base, stride, disp)
}

func tileStore(t tileRegister, base, stride reg.GPPhysical, disp int) []byte {
	return vexMemory(prefixF3, 0x4b, t, base, stride, disp)
}

// tileDotPairs is TDPBF16PS: to += a·b, of pairs of bfloat16 in a's rows and b's columns.
func tileDotPairs(to, a, b tileRegister) []byte { return vexTiles(prefixF3, 0x5c, to, a, b) }

// encoded writes the bytes of an instruction.
func (g *gen) encoded(text string, code []byte) {
	g.Comment(text)
	for len(code) >= 4 {
		g.raw("LONG", operand.U32(binary.LittleEndian.Uint32(code)))
		code = code[4:]
	}
	if len(code) >= 2 {
		g.raw("WORD", operand.U16(binary.LittleEndian.Uint16(code)))
		code = code[2:]
	}
	if len(code) == 1 {
		g.raw("BYTE", operand.U8(code[0]))
	}
}

func (g *gen) loadTile(t tileRegister, base, stride reg.GPPhysical, disp int) {
	text := fmt.Sprintf("TILELOADD %d(%s)(%s*1), T%d", disp, base.Asm(), stride.Asm(), t)
	g.encoded(text, tileLoad(t, base, stride, disp))
}

func (g *gen) storeTile(t tileRegister, base, stride reg.GPPhysical, disp int) {
	text := fmt.Sprintf("TILESTORED T%d, %d(%s)(%s*1)", t, disp, base.Asm(), stride.Asm())
	g.encoded(text, tileStore(t, base, stride, disp))
}

func (g *gen) clearTile(t tileRegister) { g.encoded(fmt.Sprintf("TILEZERO T%d", t), tileZero(t)) }

// The tiles of a kernel are two by two sums, sums of 16 rows and columns each, and what they are made of.
const (
	amxRows = 16 // of a tile
	amxLine = 64 // bytes of a row of a tile
)

func sumTile(row, col int) tileRegister { return tileRegister(2*row + col) }
func aTile(row int) tileRegister        { return tileRegister(4 + row) }
func bTile(col int) tileRegister        { return tileRegister(6 + col) }

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

// amxConfig is the memory of a configuration.
type amxConfig struct{ at mem }

func (c amxConfig) rows(t tileRegister) mem  { return c.at.Offset(48 + int(t)) }
func (c amxConfig) width(t tileRegister) mem { return c.at.Offset(16 + 2*int(t)) }

// amxConfig makes a configuration without tiles on the stack, whose address then is SP.
func (g *gen) amxConfig() amxConfig {
	config := amxConfig{g.AllocLocal(amxLine)}
	g.zero(g.vecs[0])
	g.VMOVUPS(g.vecs[0], config.at)
	g.MOVB(operand.U8(1), config.at) // the palette
	return config
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

func (g *gen) configure() { g.encoded("LDTILECFG (SP)", loadConfig(reg.RSP)) }

func (g *gen) dotTiles(row, col int) {
	to, a, b := sumTile(row, col), aTile(row), bTile(col)
	g.encoded(fmt.Sprintf("TDPBF16PS T%d, T%d, T%d", b, a, to), tileDotPairs(to, a, b))
}

// amxPeak writes a loop of products of tiles on registers.
func (g *gen) amxPeak() {
	g.function("dotTiles", "func(rounds int)",
		"dotTilesAMX multiplies, in each round, 16 rows of 32 bfloat16 with 16 columns of such four times, each with a sum of its own.",
		"rounds is positive. The process must have leave to use tiles.")
	config := g.amxConfig()
	for t := range tileRegister(8) {
		g.MOVB(operand.U8(amxRows), config.rows(t))
		g.MOVW(operand.U16(amxLine), config.width(t))
	}
	g.configure()
	rounds := reg.RAX
	g.load("rounds", rounds)
	g.Label("loop")
	for row := range 2 {
		for col := range 2 {
			g.dotTiles(row, col)
		}
	}
	g.SUBQ(operand.I32(1), rounds)
	g.JG(operand.LabelRef("loop"))
	g.release()
}

// release gives the tiles back, so that no switch between threads keeps them, and leaves the kernel.
func (g *gen) release() {
	g.encoded("TILERELEASE", tileRelease())
	g.end()
}

// amxPanels is the number of panels that the kernel for few rows reads at once.
const amxPanels = 2

// fewDotAMX writes fewDot for AMX, for as many rows as a tile has: their number is of no account as long as all time goes into reading b.
func (g *gen) fewDotAMX() {
	g.function("fewDot", "func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)",
		fmt.Sprintf("fewDotAMX computes c (rows, %d) = a·b, or adds to c if add is not 0, for rows in [1,%d].",
			amxPanels*panelBytes/4, amxRows),
		dotBF16.doc,
		fmt.Sprintf("b is parts of %d panels of 32 columns each, apart bytes one from the next; c has their columns side by side.", amxPanels),
		"Sums are those of tileDotAMX. Rows of a and c are lda and ldc bytes apart. What lies behind the parts is prefetched.",
		"The process must have leave to use tiles.")
	const (
		sums             = tileRegister(2 * amxPanels)
		tileOfA, tileOfB = sums, sums + 1
	)
	config := g.amxConfig()
	a, lda, c, ldc, ldb, blocks, rest, scratch := reg.RAX, reg.RCX, reg.R10, reg.R12, reg.RSI, reg.RDI, reg.R13, reg.RDX
	b := [amxPanels]reg.GPPhysical{reg.RBX, reg.R8}
	g.load("rows", scratch)
	for t := range sums + 1 {
		g.MOVB(scratch.As8(), config.rows(t))
		g.MOVW(operand.U16(amxLine), config.width(t))
	}
	g.MOVW(operand.U16(amxLine), config.width(tileOfB))
	configure := func(steps reg.GPPhysical) {
		g.MOVB(steps.As8(), config.rows(tileOfB))
		g.SHLQ(operand.U8(2), steps)
		g.MOVW(steps.As16(), config.width(tileOfA))
		g.configure()
	}
	g.MOVQ(operand.U32(amxRows), scratch)
	configure(scratch)
	g.load("a", a)
	g.load("lda", lda)
	g.load("b", b[0])
	for p := 1; p < amxPanels; p++ {
		g.MOVQ(b[p-1], b[p])
		g.ADDQ(g.parameter("apart"), b[p])
	}
	g.MOVQ(operand.U32(panelBytes), ldb)
	g.load("c", c)
	g.load("ldc", ldc)
	g.load("steps", blocks)
	g.MOVQ(blocks, rest)
	g.ANDQ(operand.I32(amxRows-1), rest)
	g.SHRQ(operand.U8(4), blocks)
	g.CMPQ(g.parameter("add"), operand.I32(0))
	g.JNE(operand.LabelRef("add"))
	for t := range sums {
		g.clearTile(t)
	}
	g.JMP(operand.LabelRef("begin"))
	g.Label("add")
	for t := range sums {
		g.loadTile(t, c, ldc, amxLine*int(t))
	}
	g.Label("begin")
	const ahead = 2048 // bytes of a panel
	g.loop("blocks", blocks, 1, func() {
		g.loadTile(tileOfA, a, lda, 0)
		for t := range sums {
			panel := b[t/2]
			for line := range amxRows {
				g.PREFETCHT0(mem{Base: panel, Disp: ahead + (line+amxRows*int(t%2))*amxLine})
			}
			g.loadTile(tileOfB, panel, ldb, amxLine*int(t%2))
			g.encoded(fmt.Sprintf("TDPBF16PS T%d, T%d, T%d", tileOfB, tileOfA, t), tileDotPairs(t, tileOfA, tileOfB))
		}
		g.ADDQ(operand.I32(amxLine), a)
		for _, panel := range b {
			g.ADDQ(operand.I32(amxRows*panelBytes), panel)
		}
	})
	for t := range sums {
		g.storeTile(t, c, ldc, amxLine*int(t))
	}
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef("done"))
	g.MOVQ(rest, scratch)
	configure(scratch)
	g.MOVQ(operand.U32(1), blocks)
	g.XORQ(rest, rest)
	g.JMP(operand.LabelRef("add"))
	g.Label("done")
	g.release()
}

// parameter is the memory of a parameter of 64 bits.
func (g *gen) parameter(name string) operand.Op {
	c, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}
