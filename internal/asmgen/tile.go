package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// mode says what the elements of a tile's operands are.
type mode struct {
	name, doc string
	aStep     int // bytes of a row of a for a step
	pairs     bool
	dot       bool
	beside    bool // the elements of a for a step lie side by side
}

var (
	f32           = mode{name: "tileF32", aStep: 4, doc: "A step is one element of float32: a is (rows, steps), b (steps, 32)."}
	besideF32     = mode{name: "tileBesideF32", aStep: 4, beside: true, doc: "A step is one element of float32: a is (steps, rows), its lda of no account, b (steps, 32)."}
	besideWidened = mode{name: "tileBesideWidened", aStep: 8, pairs: true, beside: true, doc: "A step is two elements: a is (2·steps, rows) of float32, its lda of no account, b (steps, 32, 2) of bfloat16, widened."}
	widened       = mode{name: "tileWidened", aStep: 8, pairs: true, doc: "A step is two elements: a is (rows, 2·steps) of float32, b (steps, 32, 2) of bfloat16, widened."}
	dotBF16       = mode{name: "tileDot", aStep: 4, dot: true, doc: "A step is two elements: a is (rows, 2·steps) of bfloat16, b (steps, 32, 2) of bfloat16. Denormals count as zero."}
)

// panelBytes is what a step of b takes: 32 elements of 32 bits.
const panelBytes = 128

// unroll is the number of steps of a turn of the loop, in which a line at each of some places is prefetched.
const unroll, places = 4, 4

// Registers of a tile's loop.
var (
	tileA, tileB, tileSteps, tileNext, tileAhead = reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI
	// multiples holds multiples of a's distance between rows that, with the scales of an address, reach all rows.
	multiples = map[int]reg.GPPhysical{1: reg.RDI, 3: reg.R8, 5: reg.R9, 7: reg.R10, 9: reg.R11, 11: reg.R12, 13: reg.R13}
	// tileApart are multiples of the distance between what is prefetched.
	tileApart = map[int]reg.GPPhysical{1: reg.R14, 3: reg.R15}
)

// aRow is the address of the 32-bit element at offset of row r of a.
func (m mode) aRow(s shape, r, offset int) mem {
	if m.beside {
		return mem{Base: tileA, Disp: offset*s.rows + 4*r}
	}
	if r == 0 {
		return mem{Base: tileA, Disp: offset}
	}
	scale := 1
	for r%2 == 0 {
		r, scale = r/2, scale*2
	}
	return mem{Base: tileA, Index: multiples[r], Scale: uint8(scale), Disp: offset}
}

// rowMultiples fills the multiples for a shape's rows.
func (g *gen) rowMultiples(s shape) {
	g.load("lda", multiples[1])
	for k := 3; k < s.rows; k += 2 {
		g.LEAQ(mem{Base: multiples[k-2], Index: multiples[1], Scale: 2}, multiples[k])
	}
}

// shape is how a tile of some rows uses the vector registers.
type shape struct {
	rows, across int // vectors of sums: rows·across
}

// tileShapes lists the tiles of a mode: 1 to 14 rows of 32 columns with 32 registers; 1 or 2 rows of 32 columns and 3 to 6 rows of
// 16 columns with 16.
func (g *gen) tileShapes() []shape {
	var list []shape
	if g.wide() {
		for rows := 1; rows <= 14; rows++ {
			list = append(list, shape{rows, 2})
		}
		return list
	}
	return append(list, shape{1, 4}, shape{2, 4}, shape{3, 2}, shape{4, 2}, shape{5, 2}, shape{6, 2})
}

func (s shape) sum(g *gen, row, j int) vec { return g.vecs[len(g.vecs)-1-(row*s.across+j)] }

// tile writes the kernel of a mode: a compare for each number of rows and, for each, its loop and its stores.
func (g *gen) tile(m mode) {
	widest, lines := "32 columns", "a cache line, two if ahead is above 64, is prefetched"
	if !g.wide() {
		widest, lines = "32 columns for one or two rows, 16 for more", "a cache line is prefetched"
	}
	g.function(m.name, "func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int)",
		m.name+g.suffix+" computes c (rows, cols) = a·b, or adds to c if add is not 0.",
		m.doc,
		fmt.Sprintf("cols is at most what the kernel has, %s; rows is in [1,%d].", widest, g.tileShapes()[len(g.tileShapes())-1].rows),
		"Each element is the sum of its products in ascending order of steps, one rounding each, whatever the tile's size.",
		fmt.Sprintf("Rows of a and c are lda and ldc bytes apart. Every %d steps %s at each of %d places,", unroll, lines, places),
		"apart bytes one from the next, of which next is the first, which then moves by ahead bytes.")
	g.byRows(g.tileShapes(), func(s shape) {
		g.tileLoop(m, s)
		g.tileStore(s)
	})
}

// byRows writes code for each shape, of which the one runs that has as many rows as the parameter rows says.
func (g *gen) byRows(shapes []shape, code func(s shape)) {
	label := func(s shape) string { return fmt.Sprintf("rows%d", s.rows) }
	g.load("rows", reg.RCX)
	for _, s := range shapes {
		g.CMPQ(reg.RCX, operand.I32(s.rows))
		g.JE(operand.LabelRef(label(s)))
	}
	g.RET()
	for _, s := range shapes {
		g.Label(label(s))
		code(s)
	}
}

// tileBegin loads what a tile's loop needs into registers.
func (g *gen) tileBegin(m mode, s shape) {
	// The sums meet c after the loop; until then it can come.
	g.load("c", tileA)
	g.load("ldc", tileB)
	for r := range s.rows {
		g.PREFETCHT0(mem{Base: tileA})
		if s.across*g.bytes() > 64 {
			g.PREFETCHT0(mem{Base: tileA, Disp: 64})
		}
		if r < s.rows-1 {
			g.ADDQ(tileB, tileA)
		}
	}
	g.load("a", tileA)
	g.load("b", tileB)
	g.load("steps", tileSteps)
	g.load("next", tileNext)
	g.load("ahead", tileAhead)
	if !m.beside {
		g.rowMultiples(s)
	}
	for r := range s.rows {
		for j := range s.across {
			g.zero(s.sum(g, r, j))
		}
	}
}

func (g *gen) tileLoop(m mode, s shape) {
	g.tileBegin(m, s)
	g.load("apart", tileApart[1])
	g.LEAQ(mem{Base: tileApart[1], Index: tileApart[1], Scale: 2}, tileApart[3])
	if m.pairs {
		g.upperMask(g.vecs[s.across+1])
	}
	label := fmt.Sprintf("loop%d", s.rows)

	g.loop(label, tileSteps, unroll, func() { g.tileSteps(m, s, unroll) })
	g.loop(label+"_rest", tileSteps, 1, func() { g.tileSteps(m, s, 1) })
}

// tileSteps is n steps one after the other.
func (g *gen) tileSteps(m mode, s shape, n int) {
	for i := range n {
		if n == unroll {
			g.tilePrefetch(s, i)
		}
		b := func(j int) mem { return mem{Base: tileB, Disp: i*panelBytes + j*g.bytes()} }
		if !m.pairs {
			for j := range s.across {
				g.VMOVUPS(b(j), g.vecs[j])
			}
			g.tileProducts(m, s, i*m.aStep)
			continue
		}
		for j := range s.across {
			g.lowerHalves(b(j), g.vecs[j])
		}
		g.tileProducts(m, s, i*m.aStep)
		for j := range s.across {
			g.and(b(j), g.vecs[s.across+1], g.vecs[j])
		}
		g.tileProducts(m, s, i*m.aStep+4)
	}
	g.ADDQ(operand.I32(n*panelBytes), tileB)
	if m.beside {
		n *= s.rows
	}
	g.ADDQ(operand.I32(n*m.aStep), tileA)
}

// tilePrefetch prefetches in step i of a turn: a place's line. With wide vectors, whose steps are long, the last step adds a second
// line of each, if next moves by more than one.
func (g *gen) tilePrefetch(s shape, i int) {
	const line = 64
	g.PREFETCHT1(tilePlace(i, 0))
	if i < places-1 {
		return
	}
	if g.wide() {
		one := fmt.Sprintf("one%d", s.rows)
		g.CMPQ(tileAhead, operand.I32(line))
		g.JLE(operand.LabelRef(one))
		for place := range places {
			g.PREFETCHT1(tilePlace(place, line))
		}
		g.Label(one)
	}
	g.ADDQ(tileAhead, tileNext)
}

// tilePlace is the address of the bytes from one on of a place, in [0,4).
func tilePlace(place, offset int) mem {
	switch place {
	case 0:
		return mem{Base: tileNext, Disp: offset}
	case 2:
		return mem{Base: tileNext, Index: tileApart[1], Scale: 2, Disp: offset}
	}
	return mem{Base: tileNext, Index: tileApart[place], Scale: 1, Disp: offset}
}

// tileProducts adds the products of the 32-bit elements of a at an offset with the vectors of b in the first registers. Where rows lie
// side by side and vectors are wide, the multiply-adds of every other row read its element themselves: with all rows like that there
// are too many loads, with none too many instructions. Addresses with an index, as of rows one below the other, would cost an
// instruction each.
func (g *gen) tileProducts(m mode, s shape, offset int) {
	element := g.vecs[s.across]
	for r := range s.rows {
		if g.wide() && m.beside && r%2 == 1 {
			for j := range s.across {
				g.VFMADD231PS_BCST(m.aRow(s, r, offset), g.vecs[j], s.sum(g, r, j))
			}
			continue
		}
		g.VBROADCASTSS(m.aRow(s, r, offset), element)
		for j := range s.across {
			g.product(m, element, g.vecs[j], s.sum(g, r, j))
		}
	}
}

// product adds the products of the elements of a and b.
func (g *gen) product(m mode, a, b, sum vec) {
	if m.dot {
		g.dotPairs(a, b, sum)
		return
	}
	g.VFMADD231PS(a, b, sum)
}

// tileStore stores the sums, or adds them to c: all columns, or through masks those below cols only.
func (g *gen) tileStore(s shape) {
	part := fmt.Sprintf("part%d", s.rows)
	g.load("cols", reg.RCX)
	g.CMPQ(reg.RCX, operand.I32(s.across*g.lanes))
	g.JNE(operand.LabelRef(part))
	g.tilePasses(s, "whole", wholeVectors(g))
	g.Label(part)
	g.tilePasses(s, "part", g.columnMasks())
}

// tilePasses goes over c once, row by row.
func (g *gen) tilePasses(s shape, label string, columns masks) {
	c, ldc := reg.RAX, reg.RBX
	g.load("ldc", ldc)
	g.load("c", c)
	g.load("add", reg.RCX)
	g.TESTQ(reg.RCX, reg.RCX)
	store := fmt.Sprintf("%s_store%d", label, s.rows)
	g.JE(operand.LabelRef(store))
	each := func(vector func(r, j int, at mem)) {
		for r := range s.rows {
			for j := range s.across {
				vector(r, j, mem{Base: c, Disp: j * g.bytes()})
			}
			g.ADDQ(ldc, c)
		}
		g.end()
	}
	each(func(r, j int, at mem) {
		columns.load(at, j, g.vecs[0])
		g.VADDPS(g.vecs[0], s.sum(g, r, j), g.vecs[0])
		columns.store(g.vecs[0], j, at)
	})
	g.Label(store)
	each(func(r, j int, at mem) { columns.store(s.sum(g, r, j), j, at) })
}

// masks reads and writes the vector j of a row, leaving the memory beyond the last column alone.
type masks struct {
	load  func(from mem, j int, to vec)
	store func(from vec, j int, to mem)
}

// wholeVectors masks nothing.
func wholeVectors(g *gen) masks {
	return masks{
		load:  func(from mem, _ int, to vec) { g.VMOVUPS(from, to) },
		store: func(from vec, _ int, to mem) { g.VMOVUPS(from, to) },
	}
}

// columnMasks makes masks of the parameter cols.
func (g *gen) columnMasks() masks {
	if g.wide() {
		g.load("cols", reg.RCX)
		g.MOVQ(operand.U32(1), reg.RDX)
		g.SHLQ(reg.CL, reg.RDX)
		g.DECQ(reg.RDX)
		g.KMOVW(reg.EDX, reg.K1)
		g.SHRQ(operand.U8(16), reg.RDX)
		g.KMOVW(reg.EDX, reg.K2)
		k := []reg.OpmaskPhysical{reg.K1, reg.K2}
		return masks{
			load:  func(from mem, j int, to vec) { g.VMOVUPS_Z(from, k[j], to) },
			store: func(from vec, j int, to mem) { g.VMOVUPS(from, k[j], to) },
		}
	}
	count, mask := ymm[2], ymm[1]
	g.load("cols", reg.RCX)
	g.VMOVD(reg.ECX, reg.X2)
	g.VPBROADCASTD(reg.X2, count)
	below := func(j int) {
		g.VPCMPGTD(mem{Symbol: operand.Symbol{Name: "numbers", Static: true}, Base: reg.StaticBase, Disp: j * g.bytes()}, count, mask)
	}
	return masks{
		load:  func(from mem, j int, to vec) { below(j); g.VMASKMOVPS(from, mask, to) },
		store: func(from vec, j int, to mem) { below(j); g.VMASKMOVPS(from, mask, to) },
	}
}

// numbers is a table of 0 to 31.
func (g *gen) numbers() {
	g.StaticGlobal("numbers")
	g.DataAttributes(8 | 16) // RODATA | NOPTR
	for i := range 32 {
		g.AddDatum(4*i, operand.U32(i))
	}
}
