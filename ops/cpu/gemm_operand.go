package cpu

import (
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// matrix is an operand of a product: rows that can be read as A, whatever they are stored as. The rows of a stack of matrices
// are counted through.
type matrix[A accumulator] interface {
	// row gives the elements [lo,hi) of row i, for reading only: the operand's own memory, or their values in buf[:hi-lo].
	row(i, lo, hi int, buf []A) []A
}

// anyMatrix is a matrix and room for what it may be, so that one that is set again needs no memory, unless it is in FP8 or a
// stack.
type anyMatrix[A accumulator] struct {
	matrix[A]
	dense   dense[A]
	scaled  scaled[A]
	blocked blocked[A]
}

// set reads v, of the given shape (rows, width) or (matrices, rows, width), as a matrix. What it is no matrix of is left to other
// backends.
func (o *anyMatrix[A]) set(stage, name string, v backend.Value, shape ...int) (err error) {
	switch v := v.(type) {
	case *tensor.Dense:
		o.matrix = &o.dense
		o.dense, err = denseOf[A](stage, name, v, shape...)
	case *backend.Quantized:
		o.matrix = &o.scaled
		o.scaled, err = scaledOf[A](stage, name, v, shape...)
	case *backend.BlockQuantized:
		o.matrix = &o.blocked
		o.blocked, err = blockedOf[A](stage, name, v, shape...)
	case *backend.ExpertStack:
		o.matrix, err = stackedOf[A](stage, name, v, shape...)
	default:
		err = fmt.Errorf("%s: %s is a %T: %w", stage, name, v, backend.ErrUnsupported)
	}
	return err
}

// checkOperands is an error if an operand or a part of it is nil.
func checkOperands(stage string, operands ...backend.Value) error {
	for _, v := range operands {
		q, ok := v.(*backend.Quantized)
		b, inBlocks := v.(*backend.BlockQuantized)
		if v == nil || inBlocks && b == nil || ok && (q == nil || q.Codes == nil || q.Scales == nil) {
			return fmt.Errorf("%s: an operand is nil: %w", stage, backend.ErrValue)
		}
	}
	return nil
}

// dense is a tensor.
type dense[A accumulator] struct {
	elements floats[A]
	width    int
}

func denseOf[A accumulator](stage, operand string, v backend.Value, shape ...int) (dense[A], error) {
	elements, err := floatsOf[A](stage, operand, v, shape...)
	return dense[A]{elements, shape[len(shape)-1]}, err
}

func (m *dense[A]) row(i, lo, hi int, buf []A) []A {
	return m.elements.read(i*m.width+lo, i*m.width+hi, buf)
}

// scaled is a backend.Quantized: each code times its block's scale.
type scaled[A accumulator] struct {
	codes                []backend.F8E4M3
	scales               []float32
	width, scaleWidth    int
	rows, scaleRows      int // of each matrix of a stack
	blockRows, blockCols int
}

func scaledOf[A accumulator](stage, operand string, q *backend.Quantized, shape ...int) (m scaled[A], err error) {
	scaleShape, err := backend.ScaleShape(slices.Clone(shape), q.BlockRows, q.BlockCols) // the clone keeps shape off the heap for others
	if err != nil {
		return m, fmt.Errorf("%s: %s: %w", stage, operand, err)
	}
	n := len(shape)
	m = scaled[A]{
		width: shape[n-1], scaleWidth: scaleShape[n-1],
		rows: shape[n-2], scaleRows: scaleShape[n-2],
		blockRows: q.BlockRows, blockCols: q.BlockCols,
	}
	if m.codes, err = elementsOf[backend.F8E4M3](stage, operand, q.Codes, shape...); err != nil {
		return m, err
	}
	m.scales, err = elementsOf[float32](stage, operand+"'s scales", q.Scales, scaleShape...)
	return m, err
}

func (m *scaled[A]) row(i, lo, hi int, buf []A) []A {
	at := i/m.rows*m.scaleRows + i%m.rows/m.blockRows
	scales := m.scales[at*m.scaleWidth:][:m.scaleWidth]
	codes := m.codes[i*m.width:][:m.width]
	for k := lo; k < hi; {
		block := k / m.blockCols
		end := min((block+1)*m.blockCols, hi)
		scale := A(scales[block])
		part := buf[k-lo : end-lo]
		for c, code := range codes[k:end] {
			part[c] = A(code.Float32()) * scale
		}
		k = end
	}
	return buf[:hi-lo]
}

// stacked is a backend.ExpertStack.
type stacked[A accumulator] struct {
	blocks [][]matrix[A] // [expert][block]
	starts []int         // the first row of each block
	rows   int           // of each expert
}

func stackedOf[A accumulator](stage, operand string, s *backend.ExpertStack, shape ...int) (*stacked[A], error) {
	if err := checkShape(stage, operand, s, shape...); err != nil {
		return nil, err
	}
	m := &stacked[A]{blocks: make([][]matrix[A], shape[0]), rows: shape[1]}
	start := 0
	for _, b := range s.Expert(0) {
		m.starts = append(m.starts, start)
		start += b.Shape()[0]
	}
	for e := range m.blocks {
		for i, b := range s.Expert(e) {
			name := fmt.Sprintf("%s's expert %d, block %d", operand, e, i)
			block, err := partOf[A](stage, name, b, s.Expert(0)[i].Shape()...)
			if err != nil {
				return nil, err
			}
			m.blocks[e] = append(m.blocks[e], block)
		}
	}
	return m, nil
}

// partOf reads a part of a stack: a tensor or blocks.
func partOf[A accumulator](stage, operand string, v backend.Value, shape ...int) (matrix[A], error) {
	if q, ok := v.(*backend.BlockQuantized); ok {
		m, err := blockedOf[A](stage, operand, q, shape...)
		return &m, err
	}
	m, err := denseOf[A](stage, operand, v, shape...)
	return &m, err
}

func (m *stacked[A]) row(i, lo, hi int, buf []A) []A {
	expert, in := i/m.rows, i%m.rows
	b := len(m.starts) - 1
	for m.starts[b] > in {
		b--
	}
	return m.blocks[expert][b].row(in-m.starts[b], lo, hi, buf)
}

// Scratch memory, a pool for each type.
var scratch32, scratch64 sync.Pool

func scratchPool[A accumulator]() *sync.Pool {
	if _, double := any(A(0)).(float64); double {
		return &scratch64
	}
	return &scratch32
}

// leastScratch is the elements of scratch memory at least, so that small needs do not fill the pool with buffers too short for others.
const leastScratch = 1 << 12

// getScratch gives n elements of undefined contents, to be returned with putScratch.
func getScratch[A accumulator](n int) *[]A {
	buf, ok := scratchPool[A]().Get().(*[]A)
	if !ok || cap(*buf) < n {
		fresh := make([]A, n, max(n, leastScratch))
		return &fresh
	}
	*buf = (*buf)[:n]
	return buf
}

func putScratch[A accumulator](buf *[]A) { scratchPool[A]().Put(buf) }
