package main

import (
	"encoding/binary"
	"math"

	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The dots of four rows of four bits with one row of x, for vectors of 8 elements. Four bits become float32 by a look-up of the two
// upper bytes, which are all that the numbers −8 to 7 need. It takes fewer instructions than a conversion of each vector; so does
// d as the factor of a block's sum.
//
// The 16 bytes of a block are in both halves of a vector. Each half takes the bytes of four elements of each of four vectors,
//
//	0 8 1 9 2 10 3 11   0 8 1 9 2 10 3 11 | 4 12 5 13 6 14 7 15   4 12 5 13 6 14 7 15
//
// of which the second eight are shifted to their upper four bits. Looked up and interleaved, the even ones are elements 0 to 7 in
// the lower halves of 32 bits and the odd ones 8 to 15 in the upper halves, then 16 to 23 and 24 to 31.
const (
	q4Order  = "q4Order"
	q4Shifts = "q4Shifts"
	q4Bytes  = "q4Bytes" // the third bytes of the numbers, then the fourth
)

func (g *gen) q4Tables() {
	if g.wide() {
		return
	}
	var order, third, fourth []byte
	for _, from := range []byte{0, 4} {
		for range 2 {
			for i := range byte(4) {
				order = append(order, from+i, from+i+8)
			}
		}
		for i := range 16 {
			bits := math.Float32bits(float32(i - 8))
			third, fourth = append(third, byte(bits>>16)), append(fourth, byte(bits>>24))
		}
	}
	words := func(b []byte) (list []uint32) {
		for i := 0; i < len(b); i += 4 {
			list = append(list, binary.LittleEndian.Uint32(b[i:]))
		}
		return list
	}
	g.words(q4Order, words(order)...)
	g.words(q4Shifts, 0, 0, 4, 4, 0, 0, 4, 4)
	g.words(q4Bytes, words(append(third, fourth...))...)
}

// q4DotLoop is blockDotLoop.
func (g *gen) q4DotLoop() {
	x, w, ldw, w3, n, next := reg.RAX, reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9
	order, shifts, mask, third, fourth, upper := ymm[0], ymm[1], ymm[2], ymm[3], ymm[4], ymm[5]
	codes, d, low, high, element, sum := ymm[6], ymm[7], ymm[8], ymm[9], ymm[10], ymm[11]
	g.VMOVUPS(static(q4Order, 0), order)
	g.VMOVUPS(static(q4Shifts, 0), shifts)
	g.VMOVUPS(static(q4Bytes, 0), third)
	g.VMOVUPS(static(q4Bytes, 32), fourth)
	g.ones(mask)
	g.VPSRLW(operand.U8(12), mask, mask)
	g.VPACKUSWB(mask, mask, mask)
	g.upperMask(upper)
	g.load("x", x)
	g.load("w", w)
	g.load("ldw", ldw)
	g.LEAQ(mem{Base: ldw, Index: ldw, Scale: 2}, w3)
	g.LEAQ(mem{Base: w, Index: ldw, Scale: 4}, next)
	g.load("blocks", n)
	for j := range dotRows {
		g.zero(g.dotSum(0, j))
	}
	g.loop("loop1", n, 1, func() {
		for j := range dotRows {
			at := rowAt(w, ldw, w3, j)
			g.PREFETCHT1(rowAt(next, ldw, w3, j))
			g.broadcastHalf(at, d)
			g.VBROADCASTI128(at.Offset(2), codes)
			g.VPSHUFB(order, codes, codes)
			g.VPSRLVD(shifts, codes, codes)
			g.VPAND(mask, codes, codes)
			g.VPSHUFB(codes, third, low)
			g.VPSHUFB(codes, fourth, high)
			g.VPUNPCKLBW(high, low, codes)
			g.VPUNPCKHBW(high, low, high)
			g.VPSLLD(operand.U8(16), codes, element)
			g.VMULPS(mem{Base: x}, element, sum)
			g.VPAND(upper, codes, element)
			g.VFMADD231PS(mem{Base: x, Disp: 32}, element, sum)
			g.VPSLLD(operand.U8(16), high, element)
			g.VFMADD231PS(mem{Base: x, Disp: 64}, element, sum)
			g.VPAND(upper, high, element)
			g.VFMADD231PS(mem{Base: x, Disp: 96}, element, sum)
			g.VFMADD231PS(sum, d, g.dotSum(0, j))
		}
		g.ADDQ(operand.I32(18), w)
		g.ADDQ(operand.I32(18), next)
		g.ADDQ(operand.I32(4*blockElements), x)
	})
}
