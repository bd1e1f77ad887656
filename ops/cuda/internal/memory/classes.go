package memory

import (
	"math/bits"
	"slices"
)

const (
	// smallest is the size of the smallest block. The addresses of a device's allocations are multiples of it at least.
	smallest = 512
	// largeFrom is the size from which blocks are multiples of granule rather than of a class.
	largeFrom = 16 << 20
	// granule is what a device's memory is mapped in.
	granule = 2 << 20
	// stepsPerDoubling is the number of classes from one power of two to the next: at most an eighth of a block is unused.
	stepsPerDoubling = 8

	classes = 16 * stepsPerDoubling // from smallest to largeFrom there are 15 doublings
)

// round gives the size of the block for n > 0 bytes.
func round(n int64) int64 {
	switch {
	case n <= smallest:
		return smallest
	case n >= largeFrom:
		return (n + granule - 1) / granule * granule
	}
	step := int64(1) << (bits.Len64(uint64(n-1)) - 1) / stepsPerDoubling
	return (n + step - 1) / step * step
}

// classOf is the index of a rounded size below largeFrom. Sizes of one class are equal.
func classOf(size int64) int {
	doublings := bits.Len64(uint64(size)) - bits.Len64(smallest)
	return doublings*stepsPerDoubling + int(size>>(doublings+bits.Len64(smallest)-1-3))&(stepsPerDoubling-1)
}

// shelf holds free blocks: small ones by class, large ones ascending by size.
type shelf struct {
	small [classes][]Block
	large []Block
	bytes int64
}

// take removes a block for a rounded size. A large one may be an eighth larger than asked for.
func (s *shelf) take(size int64) (Block, bool) {
	if size < largeFrom {
		list := &s.small[classOf(size)]
		n := len(*list)
		if n == 0 {
			return Block{}, false
		}
		b := (*list)[n-1]
		*list = (*list)[:n-1]
		s.bytes -= b.Size
		return b, true
	}
	i, _ := slices.BinarySearchFunc(s.large, size, bySize)
	if i == len(s.large) || s.large[i].Size > size+size/stepsPerDoubling {
		return Block{}, false
	}
	b := s.large[i]
	s.large = slices.Delete(s.large, i, i+1)
	s.bytes -= b.Size
	return b, true
}

func (s *shelf) put(b Block) {
	s.bytes += b.Size
	if b.Size < largeFrom {
		list := &s.small[classOf(b.Size)]
		*list = append(*list, b)
		return
	}
	i, _ := slices.BinarySearchFunc(s.large, b.Size, bySize)
	s.large = slices.Insert(s.large, i, b)
}

func bySize(b Block, size int64) int {
	switch {
	case b.Size < size:
		return -1
	case b.Size > size:
		return 1
	}
	return 0
}

// all empties the shelf.
func (s *shelf) all() []Block {
	blocks := s.large
	for i, list := range s.small {
		blocks = append(blocks, list...)
		s.small[i] = nil
	}
	s.large, s.bytes = nil, 0
	return blocks
}
