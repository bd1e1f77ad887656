package main

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// table is the name of a static table of constants, each of which fills a line of 64 bytes.
type table string

const (
	exponential    table = "exponential"
	roundings      table = "roundings"
	codeConstants  table = "codes"
	angleConstants table = "quarters"
)

// define writes the table.
func define[E uint32 | uint64](g *gen, t table, elements []E) {
	var lines []E
	for _, x := range elements {
		lines = append(lines, slices.Repeat([]E{x}, 64/int(unsafe.Sizeof(x)))...)
	}
	words(g.Context, string(t), lines)
}

// line is constant i.
func (t table) line(i int) mem {
	return mem{Symbol: operand.Symbol{Name: string(t), Static: true}, Base: reg.StaticBase, Disp: 64 * i}
}

// What rounding takes, by 32-bit element.
const (
	roundOne   = iota
	roundBelow // just below half a unit of a bfloat16
	roundQuiet // the bit of a bfloat16
	roundLast  // 1 in both halves
	roundCarry // 0x7ffe in both halves
)

func (g *gen) roundTable() {
	define(g, roundings, []uint32{1, 0x7fff, 0x40, 0x00010001, 0x7ffe7ffe})
}

// rounding holds what rounding float32 to bfloat16 needs: three constants and two registers for its use.
type rounding struct {
	one, below, quiet operand.Op
	nan, mask         vec
}

// newRounding makes the constants in registers: 1, just below half a unit, and the quiet bit.
func (g *gen) newRounding(one, below, quiet, nan, mask vec) rounding {
	g.ones(one)
	g.VPSRLD(operand.U8(17), one, below)
	g.VPSRLD(operand.U8(31), one, one)
	g.VPSLLD(operand.U8(6), one, quiet)
	return rounding{one, below, quiet, nan, mask}
}

// round makes the bfloat16 nearest to each float32, ties to even, in the lower half of its 32 bits; a NaN keeps its sign and upper
// bits and becomes quiet. x is kept.
func (g *gen) round(r rounding, x, to vec) {
	const unordered = 3
	g.VPSRLD(operand.U8(16), x, r.nan)
	g.and(r.one, r.nan, to)
	g.VPADDD(r.below, to, to)
	g.VPADDD(x, to, to)
	g.VPSRLD(operand.U8(16), to, to)
	g.or(r.quiet, r.nan, r.nan)
	if g.wide() {
		g.VCMPPS(operand.U8(unordered), x, x, reg.K1)
		g.VPBLENDMD(r.nan, to, reg.K1, to)
		return
	}
	g.VCMPPS(operand.U8(unordered), x, x, r.mask)
	g.VBLENDVPS(r.mask, r.nan, to, to)
}

// store is how vectors go to memory: the elements and, for bfloat16, three registers.
type store struct {
	e       element
	scratch []vec
}

// narrowPair rounds two vectors to bfloat16, in the place of the first: those of elements side by side, or of the even and the odd ones.
func (g *gen) narrowPair(s store, a, b vec, split bool) {
	if split && !g.wide() {
		g.narrowSplit(s, a, b)
		return
	}
	t := s.scratch
	g.roundPair(s, a, b)
	switch {
	case split:
		g.VPSLLD(operand.U8(16), a, a)
		g.or(t[2], a, a)
	case g.wide():
		g.VPMOVDW(a, t[0].AsY())
		g.VPMOVDW(t[2], a.AsY())
		g.VINSERTF64X4(operand.U8(1), t[0].AsY(), a, a)
	default:
		g.VPACKUSDW(a, t[2], a)
		g.VPERMQ(operand.U8(0xd8), a, a)
	}
}

// roundPair rounds a into the third of the scratch registers and b into a.
func (g *gen) roundPair(s store, a, b vec) {
	r := rounding{roundings.line(roundOne), roundings.line(roundBelow), roundings.line(roundQuiet), s.scratch[0], s.scratch[1]}
	g.round(r, a, s.scratch[2])
	g.round(r, b, a)
}

// narrowSplit rounds the even and the odd elements both at once, in 16 bits, unless there is a NaN among them. The upper half of a
// float32 is raised by the carry of lower half + 0x7fff + last bit of the upper half, which is the top bit of an average.
func (g *gen) narrowSplit(s store, a, b vec) {
	const unordered, odd = 3, 0xaa
	upper, lower, t := s.scratch[0], a, s.scratch[1]
	g.labels++
	rare := fmt.Sprintf("nan%d", g.labels)
	g.VCMPPS(operand.U8(unordered), a, b, t)
	g.VTESTPS(t, t)
	g.JNE(operand.LabelRef(rare))
	g.VPSRLD(operand.U8(16), a, upper)
	g.VPBLENDW(operand.U8(odd), b, upper, upper)
	g.VPSLLD(operand.U8(16), b, t)
	g.VPBLENDW(operand.U8(odd), t, a, lower)
	g.VPAND(roundings.line(roundLast), upper, t)
	g.VPADDW(roundings.line(roundCarry), t, t)
	g.VPAVGW(lower, t, t)
	g.VPSRLW(operand.U8(15), t, t)
	g.VPADDW(t, upper, a)
	g.Label(rare + "_done")
	g.later = append(g.later, func() {
		g.Label(rare)
		g.roundPair(s, a, b)
		g.VPSLLD(operand.U8(16), a, a)
		g.or(s.scratch[2], a, a)
		g.JMP(operand.LabelRef(rare + "_done"))
	})
}

// stored is a vector and its place.
type stored struct {
	v  vec
	to mem
}

// pair gives what two vectors, side by side or as loadSplit loads them, are as elements at to. It changes the vectors.
func (g *gen) pair(s store, a, b vec, split bool, to mem) []stored {
	if s.e.narrow() {
		g.narrowPair(s, a, b, split)
		return []stored{{a, to}}
	}
	next := to
	next.Disp += g.bytes()
	return []stored{{a, to}, {b, next}}
}

// past is the register of the parameter past.
var past = reg.R9

// put stores vectors, past the caches if the parameter is not 0.
func (g *gen) put(vectors []stored) {
	g.labels++
	label := fmt.Sprintf("put%d", g.labels)
	g.TESTQ(past, past)
	g.JE(operand.LabelRef(label + "_cached"))
	for _, s := range vectors {
		g.VMOVNTPS(s.v, s.to)
	}
	g.JMP(operand.LabelRef(label + "_done"))
	g.Label(label + "_cached")
	for _, s := range vectors {
		g.VMOVUPS(s.v, s.to)
	}
	g.Label(label + "_done")
}

// loadSplit loads two vectors: elements of float32 side by side, those of bfloat16 split into the even and the odd ones, which takes
// fewer instructions. upper is the mask of upper halves.
func (g *gen) loadSplit(e element, upper vec, from mem, a, b vec) {
	g.VMOVUPS(from, a)
	if e.narrow() {
		g.and(a, upper, b)
		g.VPSLLD(operand.U8(16), a, a)
		return
	}
	from.Disp += g.bytes()
	g.VMOVUPS(from, b)
}
