package main

import (
	"fmt"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	blockElements = 32   // of a block
	blockAhead    = 1024 // bytes that rows of blocks are prefetched ahead of their being read

	prefetchDoc = "Rows are ldx and ldw bytes apart. What lies up to 1 KiB behind each row of w is prefetched."
)

// blockFormat is how a block of 32 elements of a weight becomes float32, a vector at a time, without loss. It has the first eight
// vector registers to itself, of which the first takes the elements.
type blockFormat struct {
	name, doc string
	bytes     int
	constants func(g *gen)                        // loads what all blocks share
	scale     func(g *gen, at mem)                // loads what the elements of the block at an address share
	elements  func(g *gen, at mem, c int) (_ vec) // loads the vector c of that block
}

// scaled tells whether the elements of a block have a scale, a float16 that the block begins with.
func (f blockFormat) scaled() bool { return f.bytes%blockElements != 0 }

var blockFormats = []blockFormat{
	{
		name: "Q8", doc: "w is in blocks of 34 bytes: d of float16 and 32 of int8, each times d.", bytes: 34,
		constants: func(*gen) {},
		scale:     func(g *gen, at mem) { g.broadcastHalf(at, g.vecs[1]) },
		elements: func(g *gen, at mem, c int) vec {
			g.VPMOVSXBD(at.Offset(2+c*g.lanes), g.vecs[0])
			g.VCVTDQ2PS(g.vecs[0], g.vecs[0])
			g.VMULPS(g.vecs[1], g.vecs[0], g.vecs[0])
			return g.vecs[0]
		},
	},
	{
		name: "Q4", doc: "w is in blocks of 18 bytes: d of float16 and 32 of 4 bits, from each 8 is taken and the rest times d.", bytes: 18,
		constants: (*gen).q4Constants,
		scale:     (*gen).q4Scale,
		elements:  (*gen).q4Elements,
	},
	{
		name: "F16", doc: "w is float16, a block is 64 bytes.", bytes: 64,
		constants: func(*gen) {},
		scale:     func(*gen, mem) {},
		elements: func(g *gen, at mem, c int) vec {
			g.VCVTPH2PS(at.Offset(2*c*g.lanes), g.vecs[0])
			return g.vecs[0]
		},
	},
}

// broadcastHalf sets all elements to the float16 at an address.
func (g *gen) broadcastHalf(at mem, to vec) {
	half := ymm[to.ID().Index()]
	if g.wide() {
		g.VPBROADCASTW(at, half)
		g.VCVTPH2PS(half, to)
		return
	}
	g.VPBROADCASTW(at, half.AsX())
	g.VCVTPH2PS(half.AsX(), to)
}

// q4Numbers names the table of the numbers that four bits stand for.
const q4Numbers = "q4Numbers"

// q4Constants loads, for vectors of 16 elements, the table to look four bits up in, and for those of 8 a mask of four bits and −8.
func (g *gen) q4Constants() {
	table := mem{Symbol: operand.Symbol{Name: q4Numbers, Static: true}, Base: reg.StaticBase}
	if g.wide() {
		g.VMOVUPS(table, g.vecs[7])
		return
	}
	g.ones(g.vecs[7])
	g.VPSRLD(operand.U8(28), g.vecs[7], g.vecs[7])
	g.VBROADCASTSS(table, g.vecs[6])
}

// q4Scale loads d·table, or d and −8·d.
func (g *gen) q4Scale(at mem) {
	g.broadcastHalf(at, g.vecs[1])
	if g.wide() {
		g.VMULPS(g.vecs[7], g.vecs[1], g.vecs[1])
		return
	}
	g.VMULPS(g.vecs[6], g.vecs[1], g.vecs[2])
}

// q4Elements reads 16 bytes in one or two vectors of a byte an element, first the lower halves, then the upper ones. On vectors of
// 8 the product and the difference are one instruction, whose result is exact.
func (g *gen) q4Elements(at mem, c int) vec {
	vectors := 16 / g.lanes
	raw, out := g.vecs[3+c%vectors], g.vecs[0]
	lower := c < vectors
	if lower {
		g.VPMOVZXBD(at.Offset(2+c*g.lanes), raw)
	}
	switch {
	case g.wide() && lower:
		g.VPERMPS(g.vecs[1], raw, out) // looks at the lower four bits only
	case g.wide():
		g.VPSRLD(operand.U8(4), raw, raw)
		g.VPERMPS(g.vecs[1], raw, out)
	default:
		if lower {
			g.VPAND(g.vecs[7], raw, out)
		} else {
			g.VPSRLD(operand.U8(4), raw, out)
		}
		g.VCVTDQ2PS(out, out)
		g.VFMADD213PS(g.vecs[2], g.vecs[1], out)
	}
	return out
}

// blocks are the kernels for weights in blocks.
func (g *gen) blocks() {
	g.StaticGlobal(q4Numbers)
	g.DataAttributes(8 | 16) // RODATA | NOPTR
	for i := range 16 {
		g.AddDatum(4*i, operand.U32(math.Float32bits(float32(i-8))))
	}
	for _, f := range blockFormats {
		g.blockDots(f)
		g.blockDecode(f)
	}
	if !g.wide() {
		g.roundBlocks()
		g.roundedDots(8)
		g.roundedDots(4)
	}
}

// blockDecode writes the kernel that makes float32 of blocks.
func (g *gen) blockDecode(f blockFormat) {
	g.function("decode"+f.name, "func(to *float32, from *byte, blocks int)",
		fmt.Sprintf("decode%s%s converts blocks of 32 elements to float32, without loss.", f.name, g.suffix), f.doc)
	to, from, n := reg.RAX, reg.RBX, reg.RCX
	f.constants(g)
	g.load("to", to)
	g.load("from", from)
	g.load("blocks", n)
	g.loop("loop", n, 1, func() {
		f.scale(g, mem{Base: from})
		for c := range blockElements / g.lanes {
			g.VMOVUPS(f.elements(g, mem{Base: from}, c), mem{Base: to, Disp: c * g.bytes()})
		}
		g.ADDQ(operand.I32(f.bytes), from)
		g.ADDQ(operand.I32(4*blockElements), to)
	})
	g.end()
}

// blockDots writes the kernel of dots of four rows of blocks with one row of x or several. Every element of w becomes float32 first,
// its products are added one after the other: for one row of x, of which there are not enough to keep the adders busy, in two sums.
func (g *gen) blockDots(f blockFormat) {
	most := 4
	if !g.wide() {
		most = 2
	}
	g.function("dot"+f.name, "func(out *float32, x *float32, ldx int, w *byte, ldw, blocks, rows int)",
		fmt.Sprintf("dot%s%s computes out[4i+j] = Σ x[i,k]·w[j,k] for k below 32·blocks, and four rows j of w and rows i of x, in [1,%d].",
			f.name, g.suffix, most),
		f.doc,
		prefetchDoc)
	f.constants(g)
	g.load("rows", reg.RCX)
	for rows := 1; rows <= most; rows++ {
		g.CMPQ(reg.RCX, operand.I32(rows))
		g.JE(operand.LabelRef(fmt.Sprintf("rows%d", rows)))
	}
	g.RET()
	for rows := 1; rows <= most; rows++ {
		g.Label(fmt.Sprintf("rows%d", rows))
		g.blockDotLoop(f, rows)
		g.dotSums(rows)
		g.end()
	}
}

// rowAt is the address of row i of four, given the distance between them and three times that.
func rowAt(base, ld, ld3 reg.GPPhysical, i int) mem {
	return []mem{{Base: base}, {Base: base, Index: ld, Scale: 1}, {Base: base, Index: ld, Scale: 2}, {Base: base, Index: ld3, Scale: 1}}[i]
}

func (g *gen) blockDotLoop(f blockFormat, rows int) {
	x, ldx, x3, w, ldw, w3, n := reg.RAX, reg.RBX, reg.RCX, reg.RDX, reg.RSI, reg.RDI, reg.R8
	g.load("x", x)
	g.load("ldx", ldx)
	g.LEAQ(mem{Base: ldx, Index: ldx, Scale: 2}, x3)
	g.load("w", w)
	g.load("ldw", ldw)
	g.LEAQ(mem{Base: ldw, Index: ldw, Scale: 2}, w3)
	g.load("blocks", n)
	sums := 1
	if rows == 1 {
		sums = 2
	}
	sum := func(i, j, c int) vec { return g.dotSum(i+c%sums, j) }
	for i := range max(rows, sums) {
		for j := range dotRows {
			g.zero(g.dotSum(i, j))
		}
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, 1, func() {
		for j := range dotRows {
			at := rowAt(w, ldw, w3, j)
			g.PREFETCHT1(at.Offset(blockAhead))
			f.scale(g, at)
			for c := range blockElements / g.lanes {
				elements := f.elements(g, at, c)
				for i := range rows {
					g.VFMADD231PS(rowAt(x, ldx, x3, i).Offset(c*g.bytes()), elements, sum(i, j, c))
				}
			}
		}
		g.ADDQ(operand.I32(f.bytes), w)
		g.ADDQ(operand.I32(4*blockElements), x)
	})
	for j := range dotRows {
		if sums == 2 {
			g.VADDPS(g.dotSum(1, j), g.dotSum(0, j), g.dotSum(0, j))
		}
	}
}
