package backend

import (
	"fmt"
	"slices"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ExpertStack is a weight (E,N,D) whose matrices lie where they are: expert e's matrix is a list of blocks (N_b,D), one
// below the other, ΣN_b = N. A checkpoint keeps w1 and w3 of every expert as tensors of their own; stacked as {w1, w3} they
// are W13 (E,2F,H) without a copy. Every expert has the same list of block heights.
type ExpertStack struct {
	blocks [][]Value // [expert][block]
	shape  tensor.Shape
	dtype  tensor.Dtype
}

// StackExperts joins blocks[e], the blocks of each expert from top to bottom. It needs an expert and a block at least; all
// blocks have one dtype, two dimensions and one width, and block b has one height for all experts.
func StackExperts(blocks [][]Value) (*ExpertStack, error) {
	if len(blocks) == 0 || len(blocks[0]) == 0 {
		return nil, fmt.Errorf("expert stack: no blocks: %w", ErrShape)
	}
	for e, list := range blocks {
		for i, b := range list {
			if err := CheckValue(b); err != nil {
				return nil, fmt.Errorf("expert stack: expert %d, block %d %w", e, i, err)
			}
		}
	}
	first := blocks[0]
	s := &ExpertStack{blocks: blocks, shape: tensor.Shape{len(blocks), 0, 0}, dtype: first[0].Dtype()}
	for _, b := range first {
		if len(b.Shape()) != 2 {
			return nil, fmt.Errorf("expert stack: a block of shape %v, want two dimensions: %w", b.Shape(), ErrShape)
		}
		s.shape[1] += b.Shape()[0]
		s.shape[2] = b.Shape()[1]
	}
	for e, list := range blocks {
		if len(list) != len(first) {
			return nil, fmt.Errorf("expert stack: expert %d has %d blocks, expert 0 has %d: %w", e, len(list), len(first), ErrShape)
		}
		for i, b := range list {
			if b.Dtype() != s.dtype {
				return nil, fmt.Errorf("expert stack: expert %d, block %d is %v, the first is %v: %w", e, i, b.Dtype(), s.dtype, ErrDtype)
			}
			if !slices.Equal(b.Shape(), first[i].Shape()) || b.Shape()[1] != s.shape[2] {
				return nil, fmt.Errorf("expert stack: expert %d, block %d has shape %v, want (%d, %d): %w",
					e, i, b.Shape(), first[i].Shape()[0], s.shape[2], ErrShape)
			}
		}
	}
	return s, nil
}

// Expert lists the blocks of expert e from top to bottom.
func (s *ExpertStack) Expert(e int) []Value { return s.blocks[e] }

// Parts implements Composite: expert by expert, block by block.
func (s *ExpertStack) Parts() []Value { return slices.Concat(s.blocks...) }

// With implements Composite.
func (s *ExpertStack) With(parts []Value) (Value, error) {
	n := len(s.blocks[0])
	if len(parts) != n*len(s.blocks) {
		return nil, fmt.Errorf("expert stack: %d parts, want %d: %w", len(parts), n*len(s.blocks), ErrValue)
	}
	blocks := make([][]Value, len(s.blocks))
	for e := range blocks {
		blocks[e] = parts[e*n : (e+1)*n]
	}
	return StackExperts(blocks)
}

// intact finds out whether somebody has written to the shape that Shape returns, or to a block's.
func (s *ExpertStack) intact() error {
	if len(s.blocks) == 0 { // nobody has stacked anything, and there is no dtype either
		return nil
	}
	is := tensor.Shape{len(s.blocks), 0, s.shape[2]}
	for _, b := range s.blocks[0] {
		if shape := b.Shape(); len(shape) == 2 && shape[1] == is[2] {
			is[1] += shape[0]
		}
	}
	if !slices.Equal(s.shape, is) {
		return fmt.Errorf("is an expert stack of shape %v whose blocks make %v: %w", s.shape, is, ErrShape)
	}
	return nil
}

// Shape is (E,N,D). It is for reading only.
func (s *ExpertStack) Shape() tensor.Shape { return s.shape }

// Size is E·N·D.
func (s *ExpertStack) Size() int { return Elements(s.shape) }

// Dtype is that of the blocks.
func (s *ExpertStack) Dtype() tensor.Dtype { return s.dtype }

// Type is the type of its node.
func (s *ExpertStack) Type() hm.Type { return gorgonia.TensorType{Dims: 3, Of: s.dtype} }

// Data is the stack itself.
func (s *ExpertStack) Data() interface{} { return s }

// Uintptr is the address of the first block, 0 if it is empty.
func (s *ExpertStack) Uintptr() uintptr { return addressOf(s.blocks[0][0]) }

// MemSize is the sum over the blocks, in bytes.
func (s *ExpertStack) MemSize() uintptr { return partsSize(s) }

// Clone copies every block. It implements gorgonia.CloneErrorer.
func (s *ExpertStack) Clone() (interface{}, error) { return cloneParts(s) }

// ZeroValue implements gorgonia.ZeroValuer: it sets every block to zero.
func (s *ExpertStack) ZeroValue() Value { return zeroParts(s) }

// Format implements fmt.Formatter: a line with dtype and shape.
func (s *ExpertStack) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "ExpertStack{%v %v on %v}", s.dtype, s.shape, DeviceOf(s))
}
