package backend

import (
	"bytes"
	"fmt"
	"slices"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// BlockQuantized is a weight (N,D) or (E,N,D) whose rows are blocks of 32 elements in a BlockFormat, one row after the other as
// in a file: a memory-mapped tensor of that format can be used where it lies. Where 32 does not divide D, the last block of each
// row is padded; what stands in the padding counts for nothing as long as the block's scale is finite.
//
// Its dtype is float32, that of the numbers it stands for, all of which float32 holds exactly, and ops treat it so, but for this:
// a backend may multiply in whole numbers, for which it rounds each block of 32 elements of the other operand x to 16 bits. That moves
// an element by at most
//
//	δ = (1+2⁻⁶)·2⁻¹⁶ · max|x| over its block
//
// and the sum Σ x_k·w_k by at most Σ δ·|w_k|, beside what the sum loses in float32. (Of the largest of a block Q8_0 itself keeps w to
// a 254th, Q4_0 to a sixteenth.) Rows with a NaN or an infinity give what they give in float32.
//
// It implements Packed: backends that know the format multiply with it as it is, for others it is unpacked. It lives on the host and
// is never changed.
type BlockQuantized struct {
	format BlockFormat
	shape  tensor.Shape
	data   []byte
}

// NewBlockQuantized is the weight of a shape (N,D) or (E,N,D) that lies in data, which must be exactly as long as its rows
// (RowBytes each) and is not copied.
func NewBlockQuantized(format BlockFormat, shape tensor.Shape, data []byte) (*BlockQuantized, error) {
	if !format.Valid() {
		return nil, fmt.Errorf("block quantized: format %d is unknown: %w", format, ErrParameter)
	}
	if !isWeight(shape) {
		return nil, fmt.Errorf("block quantized: shape %v, want (N,D) or (E,N,D): %w", shape, ErrShape)
	}
	if !format.holds(shape, len(data)) {
		return nil, fmt.Errorf("block quantized: %d bytes for the rows of %v in %v, want %d bytes a row: %w",
			len(data), shape, format, format.RowBytes(shape[len(shape)-1]), ErrShape)
	}
	return &BlockQuantized{format, shape.Clone(), data}, nil
}

// isWeight tells whether a shape is (N,D) or (E,N,D).
func isWeight(shape tensor.Shape) bool {
	return (len(shape) == 2 || len(shape) == 3) && slices.Min(shape) >= 0
}

// holds tells whether size is the bytes of a weight of a shape: the product of its dimensions but the last and the bytes of a row. It
// does not overflow.
func (f BlockFormat) holds(shape tensor.Shape, size int) bool {
	dims, rowBytes := shape[:len(shape)-1], f.RowBytes(shape[len(shape)-1])
	if rowBytes == 0 || slices.Contains(dims, 0) {
		return size == 0
	}
	for _, d := range dims {
		if size%d != 0 {
			return false
		}
		size /= d
	}
	return size == rowBytes
}

// BlockFormat is the format of the blocks.
func (q *BlockQuantized) BlockFormat() BlockFormat { return q.format }

// Bytes is the memory of the rows, for reading only.
func (q *BlockQuantized) Bytes() []byte { return q.data }

// Unpack implements Packed: the numbers as a new float32 tensor.
func (q *BlockQuantized) Unpack() (Value, error) {
	v, err := Host.New(tensor.Float32, q.shape)
	if err != nil {
		return nil, err
	}
	to, err := Slice[float32](v)
	if err != nil {
		return nil, err
	}
	d := q.shape[len(q.shape)-1]
	for from := q.data; len(to) > 0; to, from = to[d:], from[q.format.RowBytes(d):] {
		q.format.Widen(to[:d], from)
	}
	return v, nil
}

// intact finds out whether somebody has written to the shape that Shape returns.
func (q *BlockQuantized) intact() error {
	if !isWeight(q.shape) || !q.format.holds(q.shape, len(q.data)) {
		return fmt.Errorf("is a weight in %v of shape %v with %d bytes: %w", q.format, q.shape, len(q.data), ErrShape)
	}
	return nil
}

// Shape is that of the weight. It is for reading only.
func (q *BlockQuantized) Shape() tensor.Shape { return q.shape }

// Size is the number of the weight's elements, without padding.
func (q *BlockQuantized) Size() int { return Elements(q.shape) }

// Dtype is float32.
func (q *BlockQuantized) Dtype() tensor.Dtype { return tensor.Float32 }

// Type is the type of its node.
func (q *BlockQuantized) Type() hm.Type {
	return gorgonia.TensorType{Dims: len(q.shape), Of: q.Dtype()}
}

// Data is the value itself.
func (q *BlockQuantized) Data() interface{} { return q }

// Uintptr is the address of the first block, 0 if there is none.
func (q *BlockQuantized) Uintptr() uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(q.data))) }

// MemSize is the size of the blocks in bytes.
func (q *BlockQuantized) MemSize() uintptr { return uintptr(len(q.data)) }

// Clone copies the blocks. It implements gorgonia.CloneErrorer.
func (q *BlockQuantized) Clone() (interface{}, error) {
	return &BlockQuantized{q.format, q.shape.Clone(), bytes.Clone(q.data)}, nil
}

// Format implements fmt.Formatter: a line with format and shape.
func (q *BlockQuantized) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "BlockQuantized{%v %v}", q.format, q.shape)
}
