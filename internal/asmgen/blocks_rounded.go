package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Dots of blocks in whole numbers. A block of 32 elements of x is rounded to x_k ≈ s·n_k with n_k of 16 bits, once for all rows of w.
// With q_k the four bits of an element of w, d·(q_k − 8), the sum over a block is d·s·Σ n_k·(q_k − 8).
//
// The 16 bytes of a block of four bits are 8 words of four q. Two neighbouring blocks fill a vector, in which each of the four is taken from
// all words by a shift and a mask and multiplied with the n that belong there. So two rounded blocks lie together, in 192 bytes; the
// first halves of these vectors are one block's and the others the next one's, whose are zero if there is none:
//
//	  0  n_0, n_2, … n_14      of int16, met by bits 0 to 3 of the words
//	 32  n_16, n_18, … n_30    by bits 4 to 7
//	 64  n_1, n_3, … n_15      by bits 8 to 11
//	 96  n_17, n_19, … n_31    by bits 12 to 15
//	128  −8 times the sum of all n, of int32, four times, which takes away the eights
//	160  s, of float32, four times
//
// The sums over a block of four rows of w, each in four parts, become a vector of four sums, so that those of two blocks become float32,
// meet d·s and are added to what is before them by one instruction each. With the eights taken away a sum is at most 2²³, exact in
// int32 and in float32. Two blocks of four rows are 67 instructions on vectors and some 12 for d·s; products in float32 are some 24 for
// each block of a row.
//
// Blocks of eight bits meet the same n: their elements 0 to 15 are 8 words, the lower bytes of which are those with even numbers, and
// so are 16 to 31. A sum is at most 2²⁷, exact in int32, and rounded once as it becomes float32. Two blocks of four rows are 71
// instructions and those for d·s; products in float32 are some 13 for each block of a row.
const (
	roundedBytes  = 192 // of two blocks
	roundedEights = 128
	roundedScales = 160

	roundedMost = 32767 // the greatest n

	// Between 2⁻⁸⁰ and 2¹⁰⁰ has to be the largest |x_k| of a block, if it is not 0: then d·s and its product with a sum are normal
	// numbers whatever a finite d is.
	leastBlock = uint32(127-80) << 23
	mostBlock  = uint32(127+100) << 23
)

// roundedDots writes the kernel of dots of rows of blocks of four or eight bits, groups of four, with one rounded row of x or two.
func (g *gen) roundedDots(bits int) {
	name := fmt.Sprintf("dotQ%dRounded", bits)
	g.function(name, roundedSignature, groupsDoc(fmt.Sprintf("dotQ%d", bits), g.suffix, g.suffix, "one or two")...)
	g.load("rows", reg.RCX)
	g.CMPQ(reg.RCX, operand.I32(2))
	g.JE(operand.LabelRef("rows2"))
	for rows := 1; rows <= 2; rows++ {
		if rows == 2 {
			g.Label("rows2")
		}
		d := roundedDot{g: g, bits: bits, rows: rows, x: reg.RAX, ldx: reg.RBX, w: reg.RDX, ldw: reg.RSI, w3: reg.RDI}
		d.groups()
		g.end()
	}
}

const roundedSignature = "func(out *float32, ldo, step int, x *uint32, ldx int, w *byte, ldw, blocks, rows, groups int)"

// groupsDoc says what the kernel does that is, for some rounded rows of x, what dot is at a level.
func groupsDoc(dot, suffix, level, some string) []string {
	return []string{
		fmt.Sprintf("%[1]sRounded%[2]s is %[1]s%[3]s for rows of x, %[4]s, as roundBlocks%[2]s leaves them, and for groups of four rows of w, one at", dot, suffix, level, some),
		"least: out[g+i·ldo+j·step] is the dot of row i of x and row j of group g, ldo and step in bytes. A row of w is followed by that of the",
		"next group.",
		prefetchDoc,
	}
}

// joinNeighbours sets a to the sums of neighbours of a and then of b, in each quarter of 128 bits.
func (g *gen) joinNeighbours(a, b, scratch vec) {
	g.VSHUFPS(operand.U8(0x88), b, a, scratch)
	g.VSHUFPS(operand.U8(0xdd), b, a, a)
	g.VPADDD(scratch, a, a)
}

// storeApart writes the four elements of sums, step bytes apart.
func (g *gen) storeApart(sums vec, to, step, step3 reg.GPPhysical) {
	g.VMOVSS(sums.AsX(), rowAt(to, step, step3, 0))
	for j := 1; j < dotRows; j++ {
		g.VEXTRACTPS(operand.U8(j), sums.AsX(), rowAt(to, step, step3, j))
	}
}

// roundedDot are the loops over groups and over blocks for a number of rows of x.
type roundedDot struct {
	g                  *gen
	bits, rows         int
	x, ldx, w, ldw, w3 reg.GPPhysical
}

// The vector registers of a roundedDot. Those for n hold what one row of x has there; two rows are read from memory as they are needed.
const (
	roundedWord  = 0 // to 2: what is made of words of w
	roundedMask  = 3
	roundedN     = 4  // to 7
	roundedPart  = 8  // to 10, and for a second row of x 4 to 6: sums of blocks of one row of w, or two, or four
	roundedHalf  = 11 // to 12: d
	roundedTotal = 14 // and 15: sums of four rows of w, the upper half those of every other block
)

func (d *roundedDot) groups() {
	g, out, step, step3, ldo, groups := d.g, reg.R9, reg.R10, reg.R11, reg.R12, reg.R13
	if d.bits == 4 {
		g.ones(g.vecs[roundedMask])
		g.VPSRLW(operand.U8(12), g.vecs[roundedMask], g.vecs[roundedMask])
	}
	g.load("out", out)
	g.load("ldo", ldo)
	g.load("step", step)
	g.LEAQ(mem{Base: step, Index: step, Scale: 2}, step3)
	g.load("ldx", d.ldx)
	g.load("w", d.w)
	g.load("ldw", d.ldw)
	g.LEAQ(mem{Base: d.ldw, Index: d.ldw, Scale: 2}, d.w3)
	g.load("groups", groups)
	group := fmt.Sprintf("group%d", d.rows)
	g.Label(group)
	d.loop()
	for i := range d.rows {
		to := out
		if i == 1 {
			to = d.x // of which the next group loads the beginning
			g.LEAQ(mem{Base: out, Index: ldo, Scale: 1}, to)
		}
		sums, other := g.vecs[roundedTotal+i], g.vecs[roundedWord].AsX()
		g.VEXTRACTF128(operand.U8(1), sums, other)
		g.VADDPS(other, sums.AsX(), sums.AsX())
		g.storeApart(sums, to, step, step3)
	}
	g.ADDQ(operand.I32(4), out)
	g.DECQ(groups)
	g.JNE(operand.LabelRef(group))
}

func (d *roundedDot) loop() {
	g, n := d.g, reg.R8
	g.load("x", d.x)
	g.load("blocks", n)
	for i := range d.rows {
		g.zero(g.vecs[roundedTotal+i])
	}
	g.loop(fmt.Sprintf("loop%d", d.rows), n, 2, func() {
		d.blocks(2)
		g.ADDQ(operand.I32(2*d.blockBytes()), d.w)
		g.ADDQ(operand.I32(roundedBytes), d.x)
	})
	g.TESTQ(n, n)
	g.JE(operand.LabelRef(fmt.Sprintf("done%d", d.rows)))
	d.blocks(1)
	g.ADDQ(operand.I32(d.blockBytes()), d.w)
	g.Label(fmt.Sprintf("done%d", d.rows))
}

func (d *roundedDot) blockBytes() int { return 2 + 4*d.bits }

// n is what two blocks of row i of x have at a place: in a register if there is but one row.
func (d *roundedDot) n(i, place int) operand.Op {
	if d.rows == 1 {
		return d.g.vecs[roundedN+place]
	}
	return d.at(i, 32*place)
}

// at is the address of what two blocks of row i of x have.
func (d *roundedDot) at(i, offset int) mem { return rowAt(d.x, d.ldx, d.ldx, i).Offset(offset) }

// part is a register for sums of row i of x.
func (d *roundedDot) part(i, k int) vec {
	if i == 1 {
		return d.g.vecs[roundedN+k]
	}
	return d.g.vecs[roundedPart+k]
}

// blocks adds the products of one or two blocks.
func (d *roundedDot) blocks(some int) {
	g := d.g
	if d.rows == 1 {
		for place := range 4 {
			g.VMOVUPS(d.at(0, 32*place), g.vecs[roundedN+place])
		}
	}
	for j := range dotRows {
		at := rowAt(d.w, d.ldw, d.w3, j)
		g.PREFETCHT1(at.Offset(blockAhead))
		to := []int{0, 1, 1, 2}[j]
		if d.bits == 4 {
			d.fourBits(at, some, to)
		} else {
			d.eightBits(at, some, to)
		}
		for i := range d.rows {
			if j%2 == 1 {
				d.join(d.part(i, to-1), d.part(i, to))
			}
		}
	}
	scales := d.scales(some)
	for i := range d.rows {
		sum, t := d.part(i, 0), g.vecs[roundedWord]
		d.join(sum, d.part(i, 1))
		if d.bits == 4 {
			g.VPADDD(d.at(i, roundedEights), sum, sum)
		}
		g.VCVTDQ2PS(sum, sum)
		g.VMULPS(d.at(i, roundedScales), scales, t)
		g.VFMADD231PS(t, sum, g.vecs[roundedTotal+i])
	}
}

// join sets a to the sums of neighbours of a and b.
func (d *roundedDot) join(a, b vec) { d.g.joinNeighbours(a, b, d.g.vecs[roundedWord]) }

// scales loads d of four rows, and of the next block behind them. What VMOVD loads besides d is in the same block.
func (d *roundedDot) scales(some int) vec {
	g := d.g
	for b := range some {
		halves := g.vecs[roundedHalf+b].AsX()
		g.VMOVD(mem{Base: d.w, Disp: d.blockBytes() * b}, halves)
		for j := 1; j < dotRows; j++ {
			g.VPINSRW(operand.U8(j), rowAt(d.w, d.ldw, d.w3, j).Offset(d.blockBytes()*b), halves, halves)
		}
	}
	first := g.vecs[roundedHalf]
	if some == 2 {
		g.VPUNPCKLQDQ(g.vecs[roundedHalf+1].AsX(), first.AsX(), first.AsX())
	}
	g.VCVTPH2PS(first.AsX(), first)
	return first
}

// words loads 16 bytes of a block, or of each of two.
func (d *roundedDot) words(at mem, some int) vec {
	words, next := d.g.vecs[roundedWord], d.g.vecs[roundedWord+1]
	d.g.VMOVDQU(at, words.AsX())
	if some == 2 {
		d.g.VBROADCASTI128(at.Offset(d.blockBytes()), next)
		d.g.VPBLENDD(operand.U8(0xf0), next, words, words)
	}
	return words
}

// add adds the products of numbers of w with the n at a place to the sums of each row of x, or sets these to the first ones.
func (d *roundedDot) add(numbers vec, place, to int, first bool) {
	for i := range d.rows {
		sum, t := d.part(i, to), d.g.vecs[roundedWord+2]
		if first {
			d.g.VPMADDWD(d.n(i, place), numbers, sum)
			continue
		}
		d.g.VPMADDWD(d.n(i, place), numbers, t)
		d.g.VPADDD(t, sum, sum)
	}
}

// fourBits sets the sums of a row of blocks of four bits.
func (d *roundedDot) fourBits(at mem, some, to int) {
	g, q, mask := d.g, d.g.vecs[roundedWord+1], d.g.vecs[roundedMask]
	words := d.words(at.Offset(2), some)
	for k := range 4 {
		bits := words
		if k > 0 {
			g.VPSRLW(operand.U8(4*k), words, q)
			bits = q
		}
		if k < 3 {
			g.VPAND(mask, bits, q)
		}
		d.add(q, k, to, k == 0)
	}
}

// eightBits sets the sums of a row of blocks of eight bits.
func (d *roundedDot) eightBits(at mem, some, to int) {
	g, q := d.g, d.g.vecs[roundedWord+1]
	for half := range 2 {
		words := d.words(at.Offset(2+16*half), some)
		g.VPSRAW(operand.U8(8), words, q)
		d.add(q, 2+half, to, half == 0)
		g.VPSLLW(operand.U8(8), words, q)
		g.VPSRAW(operand.U8(8), q, q)
		d.add(q, half, to, false)
	}
}
