package cpu

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// maxF8 is the greatest value of an F8E4M3.
const maxF8 = 448

// Quantize implements backend.Quantize for x (…,M,D) F and codes of the same shape; blocks may be cut off at the edges. The
// scale of a block is that of its greatest finite magnitude, rounded to float32 (at most the greatest float32; 1 where
// the quotient is 0). A code is that of x divided by the rounded scale; for float64 the quotient is rounded to float32
// before it is rounded to F8E4M3. What is not finite does not change the scale and so not the rest of its block: an
// infinity becomes ±448, the greatest code, and a NaN the NaN of its sign.
func (Go) Quantize(q *backend.Quantized, x backend.Value) error {
	if q == nil || q.Codes == nil || q.Scales == nil || x == nil {
		return fmt.Errorf("quantize: an operand is nil: %w", backend.ErrValue)
	}
	if x.Dtype() == tensor.Float64 {
		return quantize(q, x, math.MaxFloat64)
	}
	return quantize[float32](q, x, math.MaxFloat32)
}

func quantize[A accumulator](q *backend.Quantized, x backend.Value, greatest A) error {
	l := getLoop[quantizer[A]]()
	defer l.free()
	z, shape := &l.s, x.Shape()
	var err error
	if z.blocks, err = blocksOf(q, shape); err != nil {
		return err
	}
	z.greatest = greatest
	if z.x, err = floatsOf[A]("quantize", "x", x, shape...); err != nil {
		return err
	}
	l.run(len(z.scales), z.grain())
	return nil
}

// blocks is where the blocks of a quantized value lie.
type blocks struct {
	height, width        int // M, D
	blockRows, blockCols int
	down, across         int // blocks of a matrix

	codes  []backend.F8E4M3
	scales []float32
}

func blocksOf(q *backend.Quantized, shape tensor.Shape) (b blocks, err error) {
	n := len(shape)
	if n < 2 || q.BlockRows < 1 || q.BlockCols < 1 {
		_, err := backend.ScaleShape(shape, q.BlockRows, q.BlockCols)
		return b, err
	}
	b.height, b.width = shape[n-2], shape[n-1]
	b.blockRows, b.blockCols = max(min(q.BlockRows, b.height), 1), max(min(q.BlockCols, b.width), 1)
	b.down, b.across = pieces(b.height, b.blockRows), pieces(b.width, b.blockCols)
	if b.codes, err = elementsOf[backend.F8E4M3]("quantize", "codes", q.Codes, shape...); err != nil {
		return b, err
	}
	scales := q.Scales.Shape()
	if len(scales) != n || !slices.Equal(scales[:n-2], shape[:n-2]) || scales[n-2] != b.down || scales[n-1] != b.across {
		want, err := backend.ScaleShape(shape, q.BlockRows, q.BlockCols)
		if err != nil {
			return b, err
		}
		return b, checkShape("quantize", "scales", q.Scales, want...)
	}
	b.scales, err = elementsOf[float32]("quantize", "scales", q.Scales, scales...)
	return b, err
}

// grain is the blocks that a core takes at a time at least.
func (b *blocks) grain() int { return 1 << 12 / (b.blockRows * b.blockCols) }

// block is the rows and columns of block i.
func (b *blocks) block(i int) (top, bottom, left, right int) {
	matrix, row, col := i/b.across/b.down, i/b.across%b.down, i%b.across
	top, left = matrix*b.height+row*b.blockRows, col*b.blockCols
	return top, min(top+b.blockRows, (matrix+1)*b.height), left, min(left+b.blockCols, b.width)
}

// scaleOf is the scale of a block, given the largest of its finite magnitudes.
func scaleOf[A accumulator](largest A) float32 {
	scale := float32(min(largest/maxF8, math.MaxFloat32))
	if scale == 0 {
		return 1
	}
	return scale
}

type quantizer[A accumulator] struct {
	blocks
	greatest A // finite magnitude
	x        floats[A]
}

func (z *quantizer[A]) span(lo, hi int) {
	for b := lo; b < hi; b++ {
		z.quantize(b)
	}
}

func (z *quantizer[A]) quantize(b int) {
	top, bottom, left, right := z.block(b)
	var buf [tile]A
	var largest A
	for r := top; r < bottom; r++ {
		for c := left; c < right; c += tile {
			x := z.x.read(r*z.width+c, r*z.width+min(c+tile, right), buf[:])
			largest = largestFinite(largest, x, z.greatest)
		}
	}
	scale := scaleOf(largest)
	z.scales[b] = scale
	for r := top; r < bottom; r++ {
		for c := left; c < right; c += tile {
			at := r*z.width + c
			for n, v := range z.x.read(at, r*z.width+min(c+tile, right), buf[:]) {
				z.codes[at+n] = backend.ToF8E4M3(float32(v / A(scale)))
			}
		}
	}
}

// largestFinite is the largest of m and the magnitudes in x that are at most greatest.
func largestFinite[A accumulator](m A, x []A, greatest A) A {
	for _, v := range x {
		if v > m && v <= greatest {
			m = v
		} else if -v > m && -v <= greatest {
			m = -v
		}
	}
	return m
}
