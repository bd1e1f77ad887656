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

// parameter is the memory of a parameter of 64 bits.
func (g *gen) parameter(name string) operand.Op {
	c, err := g.Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return c.Addr
}
