package cpu

import (
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// blocked is a backend.BlockQuantized.
type blocked[A accumulator] struct {
	format          backend.BlockFormat
	data            []byte
	width, rowBytes int
}

func blockedOf[A accumulator](stage, operand string, q *backend.BlockQuantized, shape ...int) (blocked[A], error) {
	if err := checkShape(stage, operand, q, shape...); err != nil {
		return blocked[A]{}, err
	}
	f, width := q.BlockFormat(), shape[len(shape)-1]
	return blocked[A]{f, q.Bytes(), width, f.RowBytes(width)}, nil
}

func (m *blocked[A]) row(i, lo, hi int, buf []A) []A {
	first := lo / backend.BlockElements
	row := m.data[i*m.rowBytes+first*m.format.BlockBytes():]
	buf = buf[:hi-lo]
	var block [backend.BlockElements]float32
	for at, to := first*backend.BlockElements, buf; len(to) > 0; at += backend.BlockElements {
		n := min(m.width-at, backend.BlockElements)
		m.format.Widen(block[:n], row)
		here := block[max(lo-at, 0):min(hi-at, n)]
		convert(to, here)
		to, row = to[len(here):], row[m.format.BlockBytes():]
	}
	return buf
}

// blockKernels are the inner loops of a level of vector instructions for weights whose rows are blocks of 32 elements in a format,
// each of which becomes float32 without loss.
type blockKernels struct {
	bytes int // of a block
	// dot is kernels.dotF32 for n = 32·blocks. It may prefetch what lies behind each row.
	dot func(out, x *float32, ldx int, w *byte, ldw, blocks, rows int)
	// decode makes float32 of blocks.
	decode func(to *float32, from *byte, blocks int)

	rounded roundedKernels
}

// formatKernels are the kernels of a level by format: those of backend.BlockFormat, and of float16 as it is, 64 bytes a block.
type formatKernels struct {
	blocks [2]blockKernels
	f16    blockKernels
}

// coded is a weight whose rows are no float32 or bfloat16 but blocks of another format; f16 has no padding.
type coded struct {
	blockKernels
	rowBytes int
	padded   bool // the last block of a row is whole
}

// setCoded makes s the source of a weight in blocks or of float16, or of a stack of such. It tells whether w is one, of two or
// three dimensions, none of which is 0, and whether k has kernels for it. As float32 is what its elements become, s says that they
// are.
func (s *source) setCoded(k *kernels, w backend.Value) bool {
	*s = source{blocks: s.blocks[:0]}
	if k.formats == nil || !wholeWeight(w) || !s.shape(tensor.Float32, w.Shape()) {
		return false
	}
	stack, isStack := w.(*backend.ExpertStack)
	if !isStack {
		c, data, ok := codedRows(k, w, s.d)
		if !ok || len(data) != s.matrices*s.n*c.rowBytes {
			return false
		}
		s.coded, s.each = c, 1
		for e := range s.matrices {
			matrix := s.n * c.rowBytes
			s.blocks = append(s.blocks, block{0, s.n, data[e*matrix:][:matrix]})
		}
		return true
	}
	s.each = len(stack.Expert(0))
	for e := range s.matrices {
		start := 0
		for _, b := range stack.Expert(e) {
			c, data, ok := codedRows(k, b, s.d)
			if !ok || s.coded.bytes != 0 && s.coded.bytes != c.bytes {
				return false
			}
			s.coded = c
			rows := len(data) / c.rowBytes
			s.blocks = append(s.blocks, block{start, start + rows, data})
			start += rows
		}
		if start != s.n {
			return false
		}
	}
	return true
}

// wholeWeight tells whether the methods of w can be called.
func wholeWeight(w backend.Value) bool {
	switch w := w.(type) {
	case *backend.BlockQuantized:
		return w != nil
	case *backend.ExpertStack:
		return w != nil
	case *tensor.Dense:
		return w != nil
	}
	return false
}

// codedRows is the memory of rows of d elements and how to read them.
func codedRows(k *kernels, w backend.Value, d int) (coded, []byte, bool) {
	switch w := w.(type) {
	case *backend.BlockQuantized:
		f := w.BlockFormat()
		return coded{k.formats.blocks[f], f.RowBytes(d), true}, w.Bytes(), true
	case *tensor.Dense:
		if w.Dtype() != backend.Float16 {
			return coded{}, nil, false
		}
		data, err := backend.Bytes(w)
		return coded{k.formats.f16, 2 * d, false}, data, err == nil
	}
	return coded{}, nil, false
}

// decodeRow makes float32 of the elements of a row from one on, the first of a block, as many as to holds.
func (c *coded) decodeRow(s *workspace, to []float32, row []byte, from int) {
	row = row[from/backend.BlockElements*c.bytes:]
	whole := len(to) / backend.BlockElements
	if whole > 0 {
		c.decode(&to[0], &row[0], whole)
	}
	to, row = to[whole*backend.BlockElements:], row[whole*c.bytes:]
	switch {
	case len(to) == 0:
	case c.padded:
		c.decode(&s.block[0], &row[0], 1)
		copy(to, s.block[:])
	default:
		backend.Widen(to, unsafe.Slice((*backend.F16)(unsafe.Pointer(&row[0])), len(to)))
	}
}

// codedPanel fills to with the steps of a panel of matrix e from one on, as source.panel does, by way of rows of float32.
func (g *gemm) codedPanel(s *workspace, to []uint32, e, col, from int) {
	steps := len(to) / panelCols
	whole := steps / g.k.lanes * g.k.lanes
	s.rows = grown(s.rows, g.k.lanes*steps)
	for j := 0; j < panelCols; j += g.k.lanes {
		for i := range g.k.lanes {
			row := s.rows[i*steps:][:steps]
			if col+j+i < g.w.n {
				g.w.coded.decodeRow(s, row, g.w.codedRow(e, col+j+i), from)
			} else {
				clear(row)
			}
		}
		bits := unsafe.Slice((*uint32)(unsafe.Pointer(&s.rows[0])), len(s.rows))
		if whole > 0 {
			g.k.transpose(&to[j], &bits[0], 4*steps, whole)
		}
		for k := whole; k < steps; k++ {
			for i := range g.k.lanes {
				to[k*panelCols+j+i] = bits[i*steps+k]
			}
		}
	}
}

// codedRow is row i of matrix e.
func (s *source) codedRow(e, i int) []byte {
	b := s.block(e, i)
	return b.data[(i-b.start)*s.coded.rowBytes:][:s.coded.rowBytes]
}

// straightCalls is how often the kernel that reads blocks straight may be called for four rows of a weight: from more calls on it is
// faster to make float32 of them once.
const straightCalls = 4

// codedDots computes a task of a weight in blocks, four of its rows at a time: straight from the blocks for a few rows of x, else by
// way of rows of float32.
func (g *gemm) codedDots(t task, s *workspace, c []float32, ldc int) {
	var x *float32
	ldx := 0
	if g.needsFloats(t) {
		x, ldx = g.floats(t, s, rowBlocks(g.w.d)*backend.BlockElements)
	}
	straight := t.rows <= max(straightCalls*g.k.dotRows, g.w.coded.rounded.strips) && (g.w.coded.padded || g.w.d%backend.BlockElements == 0)
	for j := 0; j < t.cols; {
		b := g.w.block(t.matrix, t.col+j)
		first, end := t.col+j-b.start, min(b.end-t.col, t.cols)
		group := codedGroup{rows: 4, apart: (end - j) / 4}
		groups := group.apart
		if groups == 0 {
			group.rows, groups = 1, end-j
		}
		atOnce := 1
		if straight && t.rows <= g.w.coded.rounded.rows {
			atOnce = groups
		}
		for i := 0; i < groups; i += atOnce {
			size := ((group.rows-1)*group.apart + atOnce) * g.w.coded.rowBytes
			group.w = b.data[(first+i)*g.w.coded.rowBytes:][:size]
			if straight {
				g.straightDots(t, s, x, ldx, group, atOnce, c[j+i:], ldc)
			} else {
				g.decodedDots(s, x, ldx, group, t.rows, c[j+i:], ldc)
			}
		}
		j += group.rows * groups
	}
}

// codedGroup is four rows of a weight, or one, which the kernels take for all four. Of a number of rows the four of a group are far
// apart and those of the next group follow them: memory is then read in four long streams, and faster than in one.
type codedGroup struct {
	w           []byte // from the first row's beginning to the last one's end, or to that of more groups
	rows, apart int    // the distance between two in rows, 0 for one row
}

// straightDots computes the columns of groups: with the rounded rows of x in whole numbers, with others in float32.
func (g *gemm) straightDots(t task, s *workspace, x *float32, ldx int, group codedGroup, groups int, c []float32, ldc int) {
	blocks, ldw := rowBlocks(g.w.d), group.apart*g.w.coded.rowBytes
	var some int
	for i := 0; i < t.rows; i += some {
		if place := g.roundedPlace(t.row + i); place >= 0 {
			some = g.alike(t, i, g.w.coded.rounded.rows)
			g.w.coded.rounded.dot(&c[i*ldc], 4*ldc, 4*group.apart, &g.rounded[place*g.roundedRow()], 4*g.roundedRow(),
				&group.w[0], ldw, blocks, some, groups)
			continue
		}
		some = g.alike(t, i, g.k.dotRows)
		for q := range groups {
			w := &group.w[q*g.w.coded.rowBytes]
			g.w.coded.dot(&s.dots[0], (*float32)(unsafe.Add(unsafe.Pointer(x), i*ldx)), ldx, w, ldw, blocks, some)
			for r := range some {
				for j := range group.rows {
					c[(i+r)*ldc+j*group.apart+q] = s.dots[4*r+j]
				}
			}
		}
	}
}

// rowBlocks is the number of blocks of a row of d elements.
func rowBlocks(d int) int { return pieces(d, backend.BlockElements) }

// decodedDots computes the columns of a group for any number of rows of x. The rows of w become float32 in lengths that stay in the
// first level of cache.
func (g *gemm) decodedDots(s *workspace, x *float32, ldx int, group codedGroup, rows int, c []float32, ldc int) {
	const ld = depth + padWords
	ldw := 0
	if group.rows > 1 {
		ldw = 4 * ld
	}
	s.rows = grown(s.rows, 4*ld)
	for from := 0; from < g.w.d; from += depth {
		here := min(depth, g.w.d-from)
		width := rowBlocks(here) * backend.BlockElements
		for j := range group.rows {
			row := s.rows[j*ld:][:width]
			g.w.coded.decodeRow(s, row[:here], group.w[j*group.apart*g.w.coded.rowBytes:][:g.w.coded.rowBytes], from)
			clear(row[here:])
		}
		for i := 0; i < rows; i += g.k.dotRows {
			at := (*float32)(unsafe.Add(unsafe.Pointer(x), i*ldx+4*from))
			some := min(g.k.dotRows, rows-i)
			g.k.dotF32(&s.dots[0], at, ldx, &s.rows[0], ldw, width, some)
			for r := range some {
				for j := range group.rows {
					out := &c[(i+r)*ldc+j*group.apart]
					if from == 0 {
						*out = 0
					}
					*out += s.dots[4*r+j]
				}
			}
		}
	}
}
