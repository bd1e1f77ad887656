package cpu

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// source is a weight as the kernels find it: panels, or matrices (N,D) whose rows lie as in a checkpoint, each in one block or
// in several, one below the other.
type source struct {
	dtype          tensor.Dtype
	size           int // bytes of an element
	dims           int // 2 for one matrix, 3 for a stack of them
	matrices, n, d int
	steps          int // of a panel

	packed *panels
	coded  coded   // if its rows are blocks
	blocks []block // each matrix's from top to bottom, the matrices one after the other
	each   int     // blocks of a matrix
}

// block is some rows of a matrix.
type block struct {
	start, end int // its rows
	data       []byte
}

// set makes s the source of w. It tells whether w is one: of two or three dimensions, none of them 0, float32 or bfloat16, and
// in an order of memory that is known here.
func (s *source) set(w backend.Value) bool {
	*s = source{blocks: s.blocks[:0]}
	switch w := w.(type) {
	case *panels:
		if w == nil {
			return false
		}
		s.packed = w
		return s.shape(w.dtype, w.shape) && w.holds(s)
	case *tensor.Dense:
		if w == nil || !s.shape(w.Dtype(), w.Shape()) {
			return false
		}
		data, err := backend.Bytes(w)
		s.each = 1
		for e := range s.matrices {
			if err != nil {
				return false
			}
			matrix := s.n * s.d * s.size
			s.blocks = append(s.blocks, block{0, s.n, data[e*matrix:][:matrix]})
		}
		return true
	case *backend.ExpertStack:
		return w != nil && s.shape(w.Dtype(), w.Shape()) && s.stack(w)
	}
	return false
}

func (s *source) shape(dt tensor.Dtype, shape tensor.Shape) bool {
	n := len(shape)
	if n != 2 && n != 3 || dt != tensor.Float32 && dt != backend.BFloat16 || backend.Elements(shape) == 0 {
		return false
	}
	s.dtype, s.size, s.dims, s.matrices, s.n, s.d = dt, int(dt.Size()), n, 1, shape[n-2], shape[n-1]
	if n == 3 {
		s.matrices = shape[0]
	}
	s.steps = (s.d + stepElements(dt) - 1) / stepElements(dt)
	return true
}

func (s *source) stack(w *backend.ExpertStack) bool {
	s.each = len(w.Expert(0))
	for e := range s.matrices {
		start := 0
		for _, b := range w.Expert(e) {
			if _, isDense := b.(*tensor.Dense); !isDense {
				return false
			}
			data, err := backend.Bytes(b)
			if err != nil {
				return false
			}
			rows := len(data) / (s.d * s.size)
			s.blocks = append(s.blocks, block{start, start + rows, data})
			start += rows
		}
		if start != s.n {
			return false
		}
	}
	return true
}

// block is the block of matrix e with row i.
func (s *source) block(e, i int) *block {
	list := s.blocks[e*s.each:][:s.each]
	at := slices.IndexFunc(list, func(b block) bool { return i < b.end })
	return &list[at]
}

// panel fills to with the steps of a panel of matrix e from one on: the rows from col on, zero beyond the last.
func (s *source) panel(k *kernels, to []uint32, e, col, from int) {
	steps := len(to) / panelCols
	whole := min(steps, s.d*s.size/4-from) // the steps that no row ends within
	for j := 0; j < panelCols; j += k.lanes {
		done := 0
		if col+j+k.lanes <= s.n {
			if b := s.block(e, col+j); col+j+k.lanes <= b.end && whole >= k.lanes {
				done = whole / k.lanes * k.lanes
				row := b.data[(col+j-b.start)*s.d*s.size+4*from:]
				k.transpose(&to[j], (*uint32)(unsafe.Pointer(&row[0])), s.d*s.size, done)
			}
		}
		for i := j; i < j+k.lanes; i++ {
			s.column(to[i:], e, col+i, from, done, steps)
		}
	}
}

// column fills the steps [done,steps) of one column of a panel that begins with step from: those of row i of matrix e.
func (s *source) column(to []uint32, e, i, from, done, steps int) {
	var row []byte
	if i < s.n {
		b := s.block(e, i)
		row = b.data[(i-b.start)*s.d*s.size:][:s.d*s.size]
	}
	for k := done; k < steps; k++ {
		switch rest := row[min(4*(from+k), len(row)):]; {
		case len(rest) >= 4:
			to[k*panelCols] = binary.NativeEndian.Uint32(rest)
		case len(rest) == 2:
			to[k*panelCols] = uint32(binary.NativeEndian.Uint16(rest))
		default:
			to[k*panelCols] = 0
		}
	}
}
