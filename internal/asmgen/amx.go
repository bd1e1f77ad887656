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
// and so have rows of x what one of the first wants. Its loop runs over blocks of 16 steps. What is left of the steps is a block with
// tiles of its own shape, and needs another configuration, which clears the sums: so it is added to what is in c by then.
func (g *gen) tileDotAMX() {
	const most = 2 * amxRows
	g.function("tileDot", "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, ahead int)",
		"tileDotAMX computes c (rows, cols) = a·b, or adds to c if add is not 0.",
		dotBF16.doc,
		fmt.Sprintf("cols and rows are in [1,%d].", most),
		"Each element is the sum of blocks of 16 steps, in ascending order, one rounding each; in a block first elements of steps and",
		"second ones are summed by themselves, in ascending order, and then together. Sums that are denormal become zero. So it is",
		"whatever the tile's size. Rows of a and c are lda and ldc bytes apart. Every 16 steps the cache lines that begin in the ahead",
		"bytes at next are prefetched, and next moves by ahead bytes. The process must have leave to use tiles.")
	config := g.amxConfig()
	g.amxShape(config)
	rows, cols := reg.RAX, reg.RBX
	g.load("rows", rows)
	g.load("cols", cols)
	g.CMPQ(rows, operand.I32(amxRows))
	g.JLE(operand.LabelRef("short"))
	g.CMPQ(cols, operand.I32(amxRows))
	g.JLE(operand.LabelRef("tiles2x1"))
	g.amxTiles("tiles2x2", 2, 2, config)
	g.Label("tiles2x1")
	g.amxTiles("tiles2x1", 2, 1, config)
	g.Label("short")
	g.CMPQ(cols, operand.I32(amxRows))
	g.JLE(operand.LabelRef("tiles1x1"))
	g.amxTiles("tiles1x2", 1, 2, config)
	g.Label("tiles1x1")
	g.amxTiles("tiles1x1", 1, 1, config)
}

// amxConfig is the memory of a configuration.
type amxConfig struct{ at mem }

func (c amxConfig) rows(t tileRegister) mem  { return c.at.Offset(48 + int(t)) }
func (c amxConfig) bytes(t tileRegister) mem { return c.at.Offset(16 + 2*int(t)) }

// amxConfig makes a configuration without tiles on the stack, whose address then is SP.
func (g *gen) amxConfig() amxConfig {
	config := amxConfig{g.AllocLocal(amxLine)}
	g.zero(g.vecs[0])
	g.VMOVUPS(g.vecs[0], config.at)
	g.MOVB(operand.U8(1), config.at) // the palette
	return config
}

// amxShape sets the rows of a and the columns of b.
func (g *gen) amxShape(config amxConfig) {
	// Where there are no more than 16 rows or columns, the second tile is as the first, and not used.
	count, first, second := reg.RAX, reg.RBX, reg.RCX
	halves := func(name string) {
		g.load(name, count)
		g.MOVQ(operand.U32(amxRows), first)
		g.CMPQ(count, first)
		g.CMOVQLT(count, first)
		g.MOVQ(count, second)
		g.SUBQ(operand.I32(amxRows), second)
		g.CMOVQLE(first, second)
	}
	halves("rows")
	for i, r := range []reg.Register{reg.BL, reg.CL} {
		for _, t := range []tileRegister{aTile(i), sumTile(i, 0), sumTile(i, 1)} {
			g.MOVB(r, config.rows(t))
		}
	}
	halves("cols")
	g.SHLQ(operand.U8(2), first)
	g.SHLQ(operand.U8(2), second)
	for j, r := range []reg.Register{reg.BX, reg.CX} {
		for _, t := range []tileRegister{bTile(j), sumTile(0, j), sumTile(1, j)} {
			g.MOVW(r, config.bytes(t))
		}
	}
}

// amxSteps sets the inner dimension, steps in a register, and configures the tiles.
func (g *gen) amxSteps(c amxConfig, steps reg.GPPhysical) {
	for j := range 2 {
		g.MOVB(steps.As8(), c.rows(bTile(j)))
	}
	g.SHLQ(operand.U8(2), steps)
	for i := range 2 {
		g.MOVW(steps.As16(), c.bytes(aTile(i)))
	}
	g.configure()
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
		g.MOVW(operand.U16(amxLine), config.bytes(t))
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

// amxPanels is the number of panels that the kernel for few rows reads at once: their sums are six tiles, which leaves one for a and
// one for b.
const amxPanels = 3

// fewDotAMX writes fewDot for AMX, for as many rows as a tile has: their number is of no account as long as all time goes into reading b.
func (g *gen) fewDotAMX() {
	g.function("fewDot", "func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)",
		fmt.Sprintf("fewDotAMX computes c (rows, %d) = a·b, or adds to c if add is not 0, for rows in [1,%d].",
			amxPanels*panelBytes/4, amxRows),
		dotBF16.doc,
		fmt.Sprintf("b is parts of %d panels of 32 columns each, apart bytes one from the next; c has their columns side by side.", amxPanels),
		"Sums are those of tileDotAMX. Rows of a and c are lda and ldc bytes apart. What lies behind the parts is prefetched.",
		"The process must have leave to use tiles.")
	const tileOfA, tileOfB = 6, 7
	sums := tileRegister(2 * amxPanels)
	config := g.amxConfig()
	a, lda, c, ldc, ldb, blocks, rest, scratch := reg.RAX, reg.RCX, reg.R10, reg.R12, reg.RSI, reg.RDI, reg.R13, reg.RDX
	b := [amxPanels]reg.GPPhysical{reg.RBX, reg.R8, reg.R9}
	g.load("rows", scratch)
	for t := range sums + 1 {
		g.MOVB(scratch.As8(), config.rows(t))
		g.MOVW(operand.U16(amxLine), config.bytes(t))
	}
	g.MOVW(operand.U16(amxLine), config.bytes(tileOfB))
	configure := func(steps reg.GPPhysical) {
		g.MOVB(steps.As8(), config.rows(tileOfB))
		g.SHLQ(operand.U8(2), steps)
		g.MOVW(steps.As16(), config.bytes(tileOfA))
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
	const ahead = 1024 // bytes of a panel
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

// amxTiles is the kernel for some tiles of rows and of columns.
func (g *gen) amxTiles(label string, rows, cols int, config amxConfig) {
	a, lda, b, ldb := []reg.GPPhysical{reg.RAX, reg.RBX}, reg.RCX, reg.RDX, reg.RSI
	c, ldc, next, until := []reg.GPPhysical{reg.R10, reg.R11}, reg.R12, reg.R8, reg.R9
	blocks, rest := reg.RDI, reg.R13
	sums := func(do func(row, col int)) {
		for i := range rows {
			for j := range cols {
				do(i, j)
			}
		}
	}
	g.MOVQ(operand.U32(amxRows), blocks)
	g.amxSteps(config, blocks)
	g.load("a", a[0])
	g.load("lda", lda)
	g.load("c", c[0])
	g.load("ldc", ldc)
	for _, second := range []struct{ first, second, ld reg.GPPhysical }{{a[0], a[1], lda}, {c[0], c[1], ldc}} {
		g.MOVQ(second.ld, second.second)
		g.SHLQ(operand.U8(4), second.second)
		g.ADDQ(second.first, second.second)
	}
	g.load("b", b)
	g.MOVQ(operand.U32(panelBytes), ldb)
	g.load("next", next)
	g.MOVQ(next, until)
	g.load("steps", blocks)
	g.MOVQ(blocks, rest)
	g.ANDQ(operand.I32(amxRows-1), rest)
	g.SHRQ(operand.U8(4), blocks)
	g.CMPQ(g.parameter("add"), operand.I32(0))
	g.JNE(operand.LabelRef(label + "_add"))
	sums(func(i, j int) { g.clearTile(sumTile(i, j)) })
	g.JMP(operand.LabelRef(label + "_begin"))
	g.Label(label + "_add")
	sums(func(i, j int) { g.loadTile(sumTile(i, j), c[i], ldc, amxLine*j) })
	g.Label(label + "_begin")
	g.loop(label+"_blocks", blocks, 1, func() {
		sums(func(i, j int) {
			if i == 0 {
				g.loadTile(bTile(j), b, ldb, amxLine*j)
			}
			if j == 0 {
				g.loadTile(aTile(i), a[i], lda, 0)
			}
			g.dotTiles(i, j)
		})
		for i := range rows {
			g.ADDQ(operand.I32(amxLine), a[i])
		}
		g.ADDQ(operand.I32(amxRows*panelBytes), b)
		g.ADDQ(g.parameter("ahead"), until)
		g.JMP(operand.LabelRef(label + "_fetched"))
		g.Label(label + "_fetch")
		g.PREFETCHT1(mem{Base: next})
		g.ADDQ(operand.I32(64), next)
		g.Label(label + "_fetched")
		g.CMPQ(next, until)
		g.JLT(operand.LabelRef(label + "_fetch"))
	})
	sums(func(i, j int) { g.storeTile(sumTile(i, j), c[i], ldc, amxLine*j) })
	g.TESTQ(rest, rest)
	g.JZ(operand.LabelRef(label + "_done"))
	g.MOVQ(rest, blocks)
	g.amxSteps(config, blocks)
	g.MOVQ(operand.U32(1), blocks)
	g.XORQ(rest, rest)
	g.JMP(operand.LabelRef(label + "_add"))
	g.Label(label + "_done")
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
