package main

import "fmt"

// Dots of blocks and their conversion to float32, eight elements at a time.
//
// Eight elements of a row of w take 8 instructions to become float32 in Q8, 10 in Q4, 3 in F16; their products are two multiply-adds for
// each row of x. So a block of four rows of w takes, with one row of x, 160 instructions for Q8, 192 for Q4 and 80 for F16 beside 4 loads
// of x, with three rows of x 224, 256 and 144 beside 12, and 10 to 15 for scales, prefetches and the loop. This is a count, not a
// measurement: no hardware was at hand.

// neonDecoded are the registers of eight elements of a row of w, beside those of three rows of x.
const neonDecoded vector = 6

// neonBlockElements loads elements 8c to 8c+7 of the block at a register, as float32 that its scale is to be multiplied to.
var neonBlockElements = map[string]func(g *neon, block general, c int){
	"Q8": func(g *neon, block general, c int) {
		g.do("FMOVD", at(block, 2+8*c), neonDecoded.scalar())
		g.fromBytes()
	},
	"Q4": func(g *neon, block general, c int) {
		g.do("FMOVD", at(block, 2+8*(c%2)), neonDecoded.scalar())
		if c < 2 {
			g.do("VAND", neonFours.of("B8"), neonDecoded.of("B8"), neonDecoded.of("B8"))
		} else {
			g.do("VUSHR", 4, neonDecoded.of("B8"), neonDecoded.of("B8"))
		}
		g.do("VSUB", neonEight.of("B8"), neonDecoded.of("B8"), neonDecoded.of("B8"))
		g.fromBytes()
	},
	"F16": func(g *neon, block general, c int) {
		g.do("FMOVQ", at(block, 16*c), neonDecoded.scalar())
		g.encoded(fcvtlHalves(neonDecoded+1, neonDecoded, true))
		g.encoded(fcvtlHalves(neonDecoded, neonDecoded, false))
	},
}

// Registers of blocks: the scales of four rows, bytes of four bits that are set, and of 8.
const neonScales, neonFours, neonEight vector = 8, 9, 10

// fromBytes makes eight numbers of a byte each float32.
func (g *neon) fromBytes() {
	low, high := neonDecoded, neonDecoded+1
	g.encoded(sxtlBytes(low, low))
	g.encoded(sxtl(high, low, true))
	g.encoded(sxtl(low, low, false))
	g.encoded(scvtf(low, low))
	g.encoded(scvtf(high, high))
}

// blocks are the kernels for weights in blocks.
func (g *neon) blocks() {
	for _, f := range blockFormats {
		g.blockDots(f)
		g.blockDecode(f)
	}
	g.roundBlocks()
	g.roundedDots()
}

// blockConstants loads what all blocks of a format share.
func (g *neon) blockConstants(f blockFormat) {
	if f.name == "Q4" {
		g.do("VMOVI", 15, neonFours.of("B8"))
		g.do("VMOVI", 8, neonEight.of("B8"))
	}
}

// blockScales loads the scales of blocks at some registers.
func (g *neon) blockScales(f blockFormat, blocks ...general) {
	if !f.scaled() {
		return
	}
	for j, b := range blocks {
		g.do("VLD1", fmt.Sprintf("(%v)", b), neonScales.of(fmt.Sprintf("H[%d]", j)))
	}
	g.encoded(fcvtlHalves(neonScales, neonScales, false))
}

// blockElements leaves elements 8c to 8c+7 of the block at a register, times scale j, in two vectors.
func (g *neon) blockElements(f blockFormat, block general, c, j int) {
	neonBlockElements[f.name](g, block, c)
	if f.scaled() {
		for i := range vector(2) {
			g.encoded(fmulLane(neonDecoded+i, neonDecoded+i, neonScales, j))
		}
	}
}

// blockDecode writes the kernel that makes float32 of blocks.
func (g *neon) blockDecode(f blockFormat) {
	const to, from, n general = 0, 1, 2
	g.function("decode"+f.name, "func(to *float32, from *byte, blocks int)",
		fmt.Sprintf("decode%sNEON converts blocks of 32 elements to float32, without loss.", f.name), f.doc)
	g.blockConstants(f)
	g.load("to", to)
	g.load("from", from)
	g.load("blocks", n)
	g.loop("loop", n, 1, func() {
		g.blockScales(f, from)
		for c := range blockElements / 8 {
			g.blockElements(f, from, c, 0)
			g.do("FSTPQ.P", pair(neonDecoded, neonDecoded+1), at(to, 32))
		}
		g.do("ADD", f.bytes, from, from)
	})
	g.do("RET")
}

// blockDots writes the kernel of dots of four rows of blocks with up to neonDotRows rows of x. Every element of w becomes float32 first,
// its products are added one after the other: for fewer rows of x, of which there are not enough to keep the adders busy, in two sums.
func (g *neon) blockDots(f blockFormat) {
	g.function("dot"+f.name, "func(out *float32, x *float32, ldx int, w *byte, ldw, blocks, rows int)",
		fmt.Sprintf("dot%sNEON computes out[4i+j] = Σ x[i,k]·w[j,k] for k below 32·blocks, and four rows j of w and rows i of x, in [1,%d].",
			f.name, neonDotRows),
		f.doc,
		prefetchDoc)
	g.choose("rows", neonDotRows, func(rows int) { g.blockDotLoop(f, rows) })
}

func (g *neon) blockDotLoop(f blockFormat, rows int) {
	const (
		x, w, n, ld, out general = 0, 4, 8, 9, 0
		xs, first        vector  = 0, 16 // of x, and of sums
	)
	sums := 2
	if rows == neonDotRows {
		sums = 1
	}
	sum := func(i, j, odd int) vector { return first + vector((i*dotRows+j)*sums+odd%sums) }
	g.blockConstants(f)
	g.load("x", x)
	g.load("ldx", ld)
	g.rows(x, rows, ld)
	g.load("w", w)
	g.load("ldw", ld)
	g.rows(w, dotRows, ld)
	g.load("blocks", n)
	for v := range vector(rows * dotRows * sums) {
		g.zero(first + v)
	}
	g.loop(fmt.Sprintf("loop%d", rows), n, 1, func() {
		for j := range general(dotRows) {
			g.do("PRFM", at(w+j, blockAhead), "PLDL2KEEP")
		}
		g.blockScales(f, w, w+1, w+2, w+3)
		for c := range blockElements / 8 {
			for i := range rows {
				g.do("FLDPQ.P", at(x+general(i), 32), pair(xs+vector(2*i), xs+vector(2*i+1)))
			}
			for j := range dotRows {
				g.blockElements(f, w+general(j), c, j)
				for i := range rows {
					for odd := range 2 {
						g.do("VFMLA", (neonDecoded + vector(odd)).of("S4"), (xs + vector(2*i+odd)).of("S4"), sum(i, j, odd).of("S4"))
					}
				}
			}
		}
		for j := range general(dotRows) {
			g.do("ADD", f.bytes, w+j, w+j)
		}
	})
	g.load("out", out)
	for i := range rows {
		if sums == 2 {
			for j := range dotRows {
				g.encoded(fadd(sum(i, j, 0), sum(i, j, 0), sum(i, j, 1)))
			}
		}
		g.fourSums(func(j int) vector { return sum(i, j, 0) })
		g.do("FMOVQ", sum(i, 0, 0).scalar(), at(out, 16*i))
	}
}
