package backend

import (
	"encoding/binary"
	"fmt"
	"math"
)

// BlockElements is the number of neighbouring elements of a row that share a scale in a BlockFormat.
const BlockElements = 32

// BlockFormat is a way to store 32 numbers as small integers with one scale, as files of quantised models do. d is a float16,
// lower byte first.
type BlockFormat int

const (
	// Q8_0 is d and 32 bytes q, two's complement: w_i = d·q_i. 34 bytes, 8.5 bits an element.
	Q8_0 BlockFormat = iota
	// Q4_0 is d and 16 bytes of two q each, 0 to 15: w_i = d·(q_i − 8). q_i is the lower half of byte i for i < 16, the upper
	// half of byte i − 16 for the rest. 18 bytes, 4.5 bits an element.
	Q4_0
)

// Valid tells whether f is one of the constants.
func (f BlockFormat) Valid() bool { return f == Q8_0 || f == Q4_0 }

// String is the name of the format in files: q8_0, q4_0.
func (f BlockFormat) String() string {
	switch f {
	case Q8_0:
		return "q8_0"
	case Q4_0:
		return "q4_0"
	}
	return "BlockFormat(?)"
}

// BlockBytes is the size of a block.
func (f BlockFormat) BlockBytes() int {
	if f == Q4_0 {
		return 18
	}
	return 34
}

// RowBytes is the size of a row of d elements, ⌈d/32⌉ blocks. Elements of the last block beyond the row are padding.
func (f BlockFormat) RowBytes(d int) int { return blocks(d, BlockElements) * f.BlockBytes() }

// Widen sets dst to the numbers of the first elements of a row of blocks, as many as dst holds. Every one is a float32, so the
// result is exact. It allocates nothing.
func (f BlockFormat) Widen(dst []float32, row []byte) {
	for len(dst) > 0 {
		block := row[:f.BlockBytes()]
		part := dst[:min(len(dst), BlockElements)]
		d := F16(binary.LittleEndian.Uint16(block)).Float32()
		switch codes := block[2:]; f {
		case Q8_0:
			for i := range part {
				part[i] = d * float32(int8(codes[i]))
			}
		case Q4_0:
			const half = BlockElements / 2
			for i := range min(len(part), half) {
				part[i] = d * float32(int(codes[i]&15)-8)
			}
			for i := half; i < len(part); i++ {
				part[i] = d * float32(int(codes[i-half]>>4)-8)
			}
		}
		dst, row = dst[len(part):], row[len(block):]
	}
}

// Narrow quantises a row into its blocks. With m the element of a block that is largest in magnitude, the first of several,
//
//	q8_0:  d = |m|/127,  q_i = round(w_i/d) in [−127,127]
//	q4_0:  d = m/−8,     q_i = round(w_i/d) + 8 in [0,15]
//
// where d is computed in float32 and rounded to float16 before it is divided by (all q_i stand for 0 if that makes it 0), and
// rounding goes to the nearest, ties to even. Padding becomes 0. With r what rounding took from d or added to it, at most 2⁻¹¹·|d|
// and 2⁻²⁵ for a |d| below 2⁻¹⁴, what the block stands for is off by
//
//	q8_0:  |w_i − ŵ_i| ≤ max((|m|/127 + r)/2, 127·r)
//	q4_0:  |w_i − ŵ_i| ≤ |m|/8 + 9·r
//
// which for q8_0 and a |d| of 2⁻¹⁴ or more is |m|/254·(1 + 2⁻¹¹). In q4_0 that much happens to elements of the sign opposite to m's
// only, of 7.5·|d| or more: 8 is not among the numbers. All others are off by (|m|/8 + r)/2 or 8·r at most.
//
// A block with a NaN or an infinity, or whose d is beyond float16, is an error that tells the element. row has RowBytes(len(w))
// bytes.
func (f BlockFormat) Narrow(row []byte, w []float32) error {
	for at := 0; at < len(w); at += BlockElements {
		block := row[at/BlockElements*f.BlockBytes():][:f.BlockBytes()]
		if i, err := f.narrowBlock(block, w[at:min(at+BlockElements, len(w))]); err != nil {
			return fmt.Errorf("element %d: %w", at+i, err)
		}
	}
	return nil
}

// narrowBlock quantises up to 32 elements. With an error it tells which is to blame.
func (f BlockFormat) narrowBlock(block []byte, w []float32) (int, error) {
	largest := 0
	for i, x := range w {
		magnitude := math.Abs(float64(x))
		if math.IsNaN(magnitude) || math.IsInf(magnitude, 0) {
			return i, fmt.Errorf("%v cannot be quantised: %w", x, ErrValue)
		}
		if magnitude > math.Abs(float64(w[largest])) {
			largest = i
		}
	}
	scale := ToF16(f.scale(w[largest]))
	d := float64(scale.Float32())
	if math.IsInf(d, 0) {
		return largest, fmt.Errorf("%v is too large for a scale of float16: %w", w[largest], ErrValue)
	}
	binary.LittleEndian.PutUint16(block, uint16(scale))
	codes := block[2:]
	clear(codes)
	for i := range BlockElements {
		q := 0.
		if i < len(w) && d != 0 {
			q = math.RoundToEven(float64(w[i]) / d)
		}
		switch {
		case f == Q8_0:
			codes[i] = byte(int8(max(-127, min(q, 127))))
		case i < BlockElements/2:
			codes[i] = byte(max(-8, min(q, 7)) + 8)
		default:
			codes[i-BlockElements/2] |= byte(max(-8, min(q, 7))+8) << 4
		}
	}
	return 0, nil
}

// scale is d for the element m that is largest in magnitude.
func (f BlockFormat) scale(m float32) float32 {
	if f == Q4_0 {
		return m / -8
	}
	return float32(math.Abs(float64(m))) / 127
}
