package main

import (
	"fmt"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Dots of blocks in whole numbers with AVX-512 and VPDPBUSD, which adds four products of unsigned and signed bytes to an int32. The
// n_k to which elements of x are rounded (blocks_rounded.go) are made of two signed bytes, n = 256·h + l, so that
//
//	Σ n_k·q_k = 256·Σ h_k·q_k + Σ l_k·q_k
//
// is two sums of such products; the first is shifted and the second added on top. |n| is at most 127·256 + 127 = 32639, as h of greater
// ones would not be a byte. q is unsigned: the four bits as they are, or a byte of the eight-bit format plus 128; eight or 128 times the
// sum of all n is taken away from a block's sum.
//
// Four blocks fill a vector, a quarter each. So four rounded blocks lie together, in 384 bytes:
//
//	  0  h_0 to h_15 of each block, of int8
//	 64  h_16 to h_31
//	128  l_0 to l_15
//	192  l_16 to l_31
//	256  −8 times the sum of all n, of int32, four times for each block
//	320  s, of float32, four times for each block
//
// As in the narrow kernel the four parts of each sum, for four rows of w, become a vector of four sums in every quarter, and those of
// four blocks become float32 and meet d·s by one instruction each. d of four rows and four blocks is put together by VPERMW from where
// the blocks lie. With four bits, four blocks of four rows and one row of x are 66 instructions on vectors, with eight bits 80, where the
// narrow kernel has 158 and 166.
const (
	bytesTogether = 4   // blocks
	bytesGroup    = 384 // bytes of these
	bytesEights   = 256
	bytesScales   = 320
	bytesMost     = 127*256 + 127 // the greatest n
	bytesRows     = 4             // of x at most
)

// blocksInBytes are these kernels.
func (g *gen) blocksInBytes() {
	g.roundBytes()
	for _, d := range []bytesDot{
		{g: g, bits: 8, name: "dotQ8", bytes: 34, scales: [4]int{0, 17, 14, 31}},
		{g: g, bits: 4, name: "dotQ4", bytes: 18, scales: [4]int{0, 9, 18, 27}},
	} {
		d.write()
	}
}

// bytesDot writes the kernel of dots of rows of blocks of four or eight bits, groups of four, with rounded rows of x.
type bytesDot struct {
	g      *gen
	name   string
	bits   int
	bytes  int    // of a block
	scales [4]int // the words with d of four blocks behind the start of the first, with eight bits of the latter two behind word 20
	rows   int    // of x
}

// The registers of a bytesDot.
const (
	bytesWords  = 0  // and 1: q of a row of w; 2 and 3 are scratch
	bytesHalves = 4  // and 5: d
	bytesMask   = 6  // of four bits, or the number 128
	bytesOrder  = 7  // of the words of four bits
	bytesPlaces = 8  // of the words with d
	bytesTotal  = 12 // to 15: sums of four rows of w and a row of x
	bytesPart   = 16 // to 31: sums of four blocks, four for each row of x
)

var (
	bytesW = [4]reg.GPPhysical{reg.RDX, reg.RSI, reg.RDI, reg.R8}
	bytesX = [bytesRows]reg.GPPhysical{reg.RAX, reg.RBX, reg.RCX, reg.R9}
	// bytesOfRow select the words of a vector that are d of row j of w. The other masks select what follows other blocks than the first:
	// a quarter with four bits, a half with eight.
	bytesOfRow               = [4]reg.OpmaskPhysical{reg.K1, reg.K2, reg.K3, reg.K4}
	bytesLast                = reg.K5
	bytesRest, bytesRestMore = reg.K6, reg.K7 // what words there are of blocks that do not fill a vector
)

func (d bytesDot) order() table  { return table(d.name + "Order") }
func (d bytesDot) places() table { return table(d.name + "Places") }

func (d bytesDot) write() {
	g := d.g
	d.tables()
	g.function(d.name+"Rounded", roundedSignature, groupsDoc(d.name, g.suffix, "AVX512", "one to four")...)
	rest := g.AllocLocal(4 * d.restBytes())
	for j, k := range bytesOfRow {
		g.shortMask(0x1111<<j, k)
	}
	if d.bits == 4 {
		g.constant(0x0f0f0f0f, g.vecs[bytesMask])
		g.VMOVDQU32(d.order().line(0), g.vecs[bytesOrder])
		g.shortMask(0xf000, bytesLast) // in 32-bit elements
	} else {
		g.constant(0x80808080, g.vecs[bytesMask])
		g.shortMask(0xf0, bytesLast) // in 64-bit elements
	}
	g.VMOVDQU32(d.places().line(0), g.vecs[bytesPlaces])
	// Of blocks % 4 blocks the first words are loaded: as many as masks say.
	g.load("blocks", reg.RCX)
	g.ANDL(operand.I32(bytesTogether-1), reg.ECX)
	g.IMUL3Q(operand.I32(d.bytes/2), reg.RCX, reg.RCX)
	g.MOVL(operand.U32(1), reg.EAX)
	g.SHLQ(reg.CL, reg.RAX)
	g.DECQ(reg.RAX)
	g.KMOVD(reg.EAX, bytesRest)
	if d.bits == 8 {
		g.SHRQ(operand.U8(32), reg.RAX)
		g.KMOVD(reg.EAX, bytesRestMore)
	}
	g.load("w", bytesW[0])
	g.load("ldw", bytesW[3])
	g.LEAQ(mem{Base: bytesW[0], Index: bytesW[3], Scale: 1}, bytesW[1])
	g.LEAQ(mem{Base: bytesW[1], Index: bytesW[3], Scale: 1}, bytesW[2])
	g.ADDQ(bytesW[2], bytesW[3])
	g.load("out", reg.R11)
	g.load("step", reg.R12)
	g.LEAQ(mem{Base: reg.R12, Index: reg.R12, Scale: 2}, reg.R13)
	g.load("rows", reg.RCX)
	for rows := 1; rows < bytesRows; rows++ {
		g.CMPQ(reg.RCX, operand.I32(rows))
		g.JE(operand.LabelRef(fmt.Sprintf("group%d", rows)))
	}
	for rows := bytesRows; rows > 0; rows-- {
		d.rows = rows
		d.group(rest)
	}
}

// shortMask sets a mask register to bits.
func (g *gen) shortMask(bits uint16, to reg.OpmaskPhysical) {
	g.MOVL(operand.U32(bits), reg.R9L)
	g.KMOVW(reg.R9L, to)
}

// tables writes the orders of words for VPERMW.
func (d bytesDot) tables() {
	pack := func(word func(i int) int) (list []uint32) {
		for i := 0; i < 32; i += 2 {
			list = append(list, uint32(word(i)|word(i+1)<<16))
		}
		return list
	}
	if d.bits == 4 {
		words(d.g.Context, string(d.order()), pack(func(i int) int { return (i/8*d.bytes/2 + 1 + i%8) % 32 }))
	}
	words(d.g.Context, string(d.places()), pack(func(i int) int { return d.scales[i/4%4] })) // of which the first 16 are used
}

// restBytes is the distance between the rows' last blocks where they are completed by zeros.
func (d bytesDot) restBytes() int { return 16 * ((bytesTogether*d.bytes + 15) / 16) }

// group writes the loop over groups for a number of rows of x.
func (d bytesDot) group(rest mem) {
	g, out, step, step3, n := d.g, reg.R11, reg.R12, reg.R13, reg.R10
	label := func(name string) string { return fmt.Sprintf("%s%d", name, d.rows) }
	g.Label(label("group"))
	g.load("x", bytesX[0])
	if d.rows > 1 {
		g.load("ldx", n)
		for i := 1; i < d.rows; i++ {
			g.LEAQ(mem{Base: bytesX[i-1], Index: n, Scale: 1}, bytesX[i])
		}
	}
	g.load("blocks", n)
	for i := range d.rows {
		g.zero(d.total(i))
	}
	g.loop(label("loop"), n, bytesTogether, func() {
		d.four(func(j int) mem { return mem{Base: bytesW[j]} }, true)
		for _, w := range bytesW {
			g.ADDQ(operand.I32(bytesTogether*d.bytes), w)
		}
		for i := range d.rows {
			g.ADDQ(operand.I32(bytesGroup), bytesX[i])
		}
	})
	g.TESTQ(n, n)
	g.JE(operand.LabelRef(label("done")))
	at := func(j int) mem { return rest.Offset(j * d.restBytes()) }
	g.IMUL3Q(operand.I32(d.bytes), n, n)
	t := g.vecs[bytesWords]
	for j, w := range bytesW {
		g.VMOVDQU16_Z(mem{Base: w}, bytesRest, t)
		g.VMOVDQU16(t, at(j))
		if d.bits == 8 {
			g.VMOVDQU16_Z(mem{Base: w, Disp: 64}, bytesRestMore, t)
			g.VMOVDQU16(t, at(j).Offset(64))
		}
		g.ADDQ(n, w)
	}
	d.four(at, false)
	g.Label(label("done"))
	for i := range d.rows {
		to := out
		if i > 0 {
			to = bytesX[0] // of which the next group loads the beginning
			if i == 1 {
				g.MOVQ(out, to)
			}
			g.load("ldo", n)
			g.ADDQ(n, to)
		}
		sums, other := d.total(i), g.vecs[bytesWords]
		g.VEXTRACTF64X4(operand.U8(1), sums, other.AsY())
		g.VADDPS(other.AsY(), sums.AsY(), sums.AsY())
		g.VEXTRACTF128(operand.U8(1), sums.AsY(), other.AsX())
		g.VADDPS(other.AsX(), sums.AsX(), sums.AsX())
		g.storeApart(sums, to, step, step3)
	}
	g.ADDQ(operand.I32(4), out)
	groups := g.Param("groups")
	address, err := groups.Resolve()
	if err != nil {
		panic(err)
	}
	g.DECQ(address.Addr)
	g.JNE(operand.LabelRef(label("group")))
	g.end()
}

// total is the register for the sums of row i of x.
func (d bytesDot) total(i int) vec { return d.g.vecs[bytesTotal+i] }

// part is the register for the sums over four blocks of row i of x and row j of w.
func (d bytesDot) part(i, j int) vec { return d.g.vecs[bytesPart+4*i+j] }

// four adds the products of four blocks, those of row j of w being where at says.
func (d bytesDot) four(at func(j int) mem, ahead bool) {
	g := d.g
	for j := range dotRows {
		if ahead {
			for line := 0; line < bytesTogether*d.bytes/64; line++ {
				g.PREFETCHT1(at(j).Offset(blockAhead + 64*line))
			}
		}
		q := d.fourBits
		if d.bits == 8 {
			q = d.eightBits
		}
		first, second := q(at(j), j)
		for i := range d.rows {
			x, sum := mem{Base: bytesX[i]}, d.part(i, j)
			g.zero(sum)
			g.VPDPBUSD(x, first, sum)
			g.VPDPBUSD(x.Offset(64), second, sum)
			g.VPSLLD(operand.U8(8), sum, sum)
			g.VPDPBUSD(x.Offset(128), first, sum)
			g.VPDPBUSD(x.Offset(192), second, sum)
		}
	}
	halves := g.vecs[bytesHalves]
	if d.bits == 8 {
		g.VPBLENDD(operand.U8(0xf0), g.vecs[bytesHalves+1].AsY(), halves.AsY(), halves.AsY())
	}
	g.VCVTPH2PS(halves.AsY(), halves)
	for i := range d.rows {
		x, sum, t := mem{Base: bytesX[i]}, d.part(i, 0), g.vecs[bytesWords]
		d.join(sum, d.part(i, 1))
		d.join(d.part(i, 2), d.part(i, 3))
		d.join(sum, d.part(i, 2))
		if d.bits == 4 {
			g.VPADDD(x.Offset(bytesEights), sum, sum)
		} else {
			g.VPSLLD(operand.U8(4), x.Offset(bytesEights), t)
			g.VPADDD(t, sum, sum)
		}
		g.VCVTDQ2PS(sum, sum)
		g.VMULPS(x.Offset(bytesScales), halves, t)
		g.VFMADD231PS(t, sum, d.total(i))
	}
}

// join sets a to the sums of neighbours of a and b.
func (d bytesDot) join(a, b vec) { d.g.joinNeighbours(a, b, d.g.vecs[bytesWords]) }

// half adds d of row j of w to those of other rows.
func (d bytesDot) half(from operand.Op, j int, to vec) {
	if j == 0 {
		d.g.VPERMW_Z(from, d.g.vecs[bytesPlaces], bytesOfRow[j], to)
		return
	}
	d.g.VPERMW(from, d.g.vecs[bytesPlaces], bytesOfRow[j], to)
}

// fourBits loads the elements 0 to 15 and 16 to 31 of four blocks. The last block ends 72 bytes behind the beginning of the first.
func (d bytesDot) fourBits(at mem, j int) (lower, upper vec) {
	g := d.g
	lower, upper = g.vecs[bytesWords], g.vecs[bytesWords+1]
	line := g.vecs[bytesWords+2] // loaded once, as it mostly lies in two lines of the cache
	g.VMOVDQU32(at, line)
	d.half(line, j, g.vecs[bytesHalves])
	g.VPERMW(line, g.vecs[bytesOrder], lower)
	g.VBROADCASTI32X4(at.Offset(3*d.bytes+2), bytesLast, lower)
	g.VPSRLD(operand.U8(4), lower, upper)
	g.VPANDD(g.vecs[bytesMask], lower, lower)
	g.VPANDD(g.vecs[bytesMask], upper, upper)
	return lower, upper
}

// eightBits loads the elements 0 to 15 and 16 to 31 of four blocks, plus 128.
func (d bytesDot) eightBits(at mem, j int) (lower, upper vec) {
	g := d.g
	lower, upper = g.vecs[bytesWords], g.vecs[bytesWords+1]
	a, b := g.vecs[bytesWords+2], g.vecs[bytesWords+3]
	d.half(at, j, g.vecs[bytesHalves])
	d.half(at.Offset(40), j, g.vecs[bytesHalves+1])
	for i, two := range []vec{a, b} {
		g.VMOVDQU(at.Offset(2+2*i*d.bytes), two.AsY())
		g.VBROADCASTI64X4(at.Offset(2+(2*i+1)*d.bytes), bytesLast, two)
		g.VPXORD(g.vecs[bytesMask], two, two)
	}
	g.VSHUFI64X2(operand.U8(0x88), b, a, lower)
	g.VSHUFI64X2(operand.U8(0xdd), b, a, upper)
	return lower, upper
}
