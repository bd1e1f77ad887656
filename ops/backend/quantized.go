package backend

import (
	"fmt"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// QuantBlock is the width of a scale block along the last dimension, and its height for weights.
const QuantBlock = 128

// Quantized is a matrix (or a stack of them) of FP8 codes with one float32 scale a block:
//
//	x[…,i,j] ≈ Codes[…,i,j] · Scales[…, ⌊i/BlockRows⌋, ⌊j/BlockCols⌋]
//
// Activations have BlockRows 1, so that a row and its scales can be moved together; weights have 128×128 blocks. Blocks at
// the edges may be smaller. It is one value of a graph, a Composite of its two parts.
type Quantized struct {
	BlockRows, BlockCols int // rows and columns that share a scale

	Codes  Value // (…,M,D) Float8E4M3
	Scales Value // (…,⌈M/BlockRows⌉,⌈D/BlockCols⌉) float32
}

// NewQuantized allocates a quantized value of a shape (…,M,D) of two or more dimensions on d.
func NewQuantized(d Device, shape tensor.Shape, blockRows, blockCols int) (*Quantized, error) {
	scales, err := ScaleShape(shape, blockRows, blockCols)
	if err != nil {
		return nil, err
	}
	if err := checkDevice(d); err != nil {
		return nil, fmt.Errorf("quantized: %w", err)
	}
	q := &Quantized{BlockRows: blockRows, BlockCols: blockCols}
	if q.Codes, err = d.New(Float8E4M3, shape); err != nil {
		return nil, err
	}
	if q.Scales, err = d.New(tensor.Float32, scales); err != nil {
		return nil, err
	}
	return q, nil
}

// QuantizedOf joins codes and scales that exist already; their dtypes and shapes must fit each other.
func QuantizedOf(codes, scales Value, blockRows, blockCols int) (*Quantized, error) {
	for _, part := range []struct {
		name  string
		value Value
	}{{"codes", codes}, {"scales", scales}} {
		if err := CheckValue(part.value); err != nil {
			return nil, fmt.Errorf("quantized: the part %s %w", part.name, err)
		}
	}
	want, err := ScaleShape(codes.Shape(), blockRows, blockCols)
	if err != nil {
		return nil, err
	}
	if codes.Dtype() != Float8E4M3 || scales.Dtype() != tensor.Float32 {
		return nil, fmt.Errorf("quantized: codes of %v and scales of %v, want %v and float32: %w",
			codes.Dtype(), scales.Dtype(), Float8E4M3, ErrDtype)
	}
	if !slices.Equal(scales.Shape(), want) {
		return nil, fmt.Errorf("quantized: scales of shape %v, want %v for codes %v in %d×%d blocks: %w",
			scales.Shape(), want, codes.Shape(), blockRows, blockCols, ErrShape)
	}
	return &Quantized{BlockRows: blockRows, BlockCols: blockCols, Codes: codes, Scales: scales}, nil
}

// ScaleShape is the shape of the scales of a value of shape (…,M,D): (…,⌈M/blockRows⌉,⌈D/blockCols⌉).
func ScaleShape(shape tensor.Shape, blockRows, blockCols int) (tensor.Shape, error) {
	if len(shape) < 2 {
		return nil, fmt.Errorf("quantize: shape %v, want two dimensions or more: %w", shape, ErrShape)
	}
	if blockRows < 1 || blockCols < 1 {
		return nil, fmt.Errorf("quantize: blocks of %d×%d, want 1×1 or more: %w", blockRows, blockCols, ErrParameter)
	}
	out := shape.Clone()
	n := len(out)
	out[n-2] = blocks(out[n-2], blockRows)
	out[n-1] = blocks(out[n-1], blockCols)
	return out, nil
}

// blocks is ⌈n/size⌉ without overflow.
func blocks(n, size int) int {
	if n == 0 {
		return 0
	}
	return (n-1)/size + 1
}

// PermutedQuantized gives the rows that Permute writes those of x to as what they are. It is an ErrValue if x is nil or they are no
// Quantized, or if not both have blocks one row high and of one width, without which a row's scales cannot move with it.
func PermutedQuantized(rows Value, x *Quantized) (*Quantized, error) {
	to, ok := rows.(*Quantized)
	switch {
	case !ok || to == nil || x == nil:
		return nil, fmt.Errorf("permute: rows are a %T and x is a %T, want two Quantized that are not nil: %w", rows, x, ErrValue)
	case x.BlockRows != 1 || to.BlockRows != 1 || to.BlockCols != x.BlockCols:
		return nil, fmt.Errorf("permute: rows are quantized in %d×%d blocks, x in %d×%d, want one row and the same width: %w",
			to.BlockRows, to.BlockCols, x.BlockRows, x.BlockCols, ErrValue)
	}
	return to, nil
}

// Parts implements Composite: codes, scales.
func (q *Quantized) Parts() []Value { return []Value{q.Codes, q.Scales} }

// With implements Composite.
func (q *Quantized) With(parts []Value) (Value, error) {
	if len(parts) != 2 {
		return nil, fmt.Errorf("quantized: %d parts, want 2: %w", len(parts), ErrValue)
	}
	return QuantizedOf(parts[0], parts[1], q.BlockRows, q.BlockCols)
}

// Shape is that of the codes.
func (q *Quantized) Shape() tensor.Shape { return q.Codes.Shape() }

// Size is the number of codes.
func (q *Quantized) Size() int { return Elements(q.Shape()) }

// Dtype is that of the codes.
func (q *Quantized) Dtype() tensor.Dtype { return q.Codes.Dtype() }

// Type is the type of its node: that of the codes.
func (q *Quantized) Type() hm.Type {
	return gorgonia.TensorType{Dims: q.Shape().Dims(), Of: q.Dtype()}
}

// Data is the value itself.
func (q *Quantized) Data() interface{} { return q }

// Uintptr is the address of the codes, 0 if there are none.
func (q *Quantized) Uintptr() uintptr { return addressOf(q.Codes) }

// MemSize is the size of codes and scales in bytes.
func (q *Quantized) MemSize() uintptr { return partsSize(q) }

// Clone copies codes and scales. It implements gorgonia.CloneErrorer.
func (q *Quantized) Clone() (interface{}, error) { return cloneParts(q) }

// ZeroValue implements gorgonia.ZeroValuer: it sets codes and scales to zero.
func (q *Quantized) ZeroValue() Value { return zeroParts(q) }

// Format implements fmt.Formatter: a line with shape and blocks.
func (q *Quantized) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "Quantized{%v %v in %d×%d blocks on %v}", q.Dtype(), q.Shape(), q.BlockRows, q.BlockCols, DeviceOf(q))
}
