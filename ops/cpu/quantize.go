package cpu

import (
	"fmt"
	"math"

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
	shape := x.Shape()
	scaleShape, err := backend.ScaleShape(shape, q.BlockRows, q.BlockCols)
	if err != nil {
		return err
	}
	z := quantizer[A]{
		height: shape[len(shape)-2], width: shape[len(shape)-1], greatest: greatest,
	}
	z.blockRows, z.blockCols = min(q.BlockRows, z.height), min(q.BlockCols, z.width)
	if z.x, err = floatsOf[A]("quantize", "x", x, shape...); err != nil {
		return err
	}
	if z.codes, err = elementsOf[backend.F8E4M3]("quantize", "codes", q.Codes, shape...); err != nil {
		return err
	}
	if z.scales, err = elementsOf[float32]("quantize", "scales", q.Scales, scaleShape...); err != nil {
		return err
	}
	down, across := scaleShape[len(shape)-2], scaleShape[len(shape)-1]
	split(len(z.scales), 1<<12/max(z.blockRows*z.blockCols, 1), func(lo, hi int) {
		for b := lo; b < hi; b++ {
			z.block(b, b/across/down, b/across%down, b%across)
		}
	})
	return nil
}

type quantizer[A accumulator] struct {
	height, width        int // M, D
	blockRows, blockCols int
	greatest             A // finite magnitude

	x      floats[A]
	codes  []backend.F8E4M3
	scales []float32
}

// block quantizes block b: row i and column j of blocks in one matrix of the stack.
func (z *quantizer[A]) block(b, matrix, i, j int) {
	top := matrix*z.height + i*z.blockRows
	bottom := min(top+z.blockRows, (matrix+1)*z.height)
	left := j * z.blockCols
	right := min(left+z.blockCols, z.width)

	var buf [tile]A
	var largest A
	for r := top; r < bottom; r++ {
		for c := left; c < right; c += tile {
			x := z.x.read(r*z.width+c, r*z.width+min(c+tile, right), buf[:])
			largest = largestFinite(largest, x, z.greatest)
		}
	}
	scale := float32(min(largest/maxF8, math.MaxFloat32))
	if scale == 0 {
		scale = 1
	}
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
