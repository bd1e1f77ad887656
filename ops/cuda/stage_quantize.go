//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var (
	quantizeKernels     = newFamily("quantize", "")
	quantizeRowsKernels = newFamilyWithoutFloat64("quantize", "_rows")  // blocks of 1×128
	quantizeTileKernels = newFamilyWithoutFloat64("quantize", "_tiles") // blocks of 128×128
)

// Quantize implements backend.Quantize, for blocks of any size. Where x/scale is within rounding of a tie between two codes,
// either may be chosen. A NaN gives a NaN's code, an infinity the largest one; neither changes the scale.
func (Portable) Quantize(q *backend.Quantized, x backend.Value) error {
	c := call{stage: "quantize"}
	defer c.done()
	src := c.array("x (…,M,D)", x)
	if q == nil {
		c.fail("the destination is nil", backend.ErrValue)
	}
	if c.err != nil {
		return c.err
	}
	scaleShape, err := backend.ScaleShape(src.shape, q.BlockRows, q.BlockCols)
	if err != nil {
		return err
	}
	codes := c.tensor("codes (…,M,D)", q.Codes, backend.Float8E4M3, src.shape...)
	scales := c.tensor("scales", q.Scales, tensor.Float32, scaleShape...)
	dt, n := c.float(src), backend.Elements(src.shape)
	if c.err != nil || n == 0 {
		return c.err
	}
	rank := len(src.shape)
	m, d := src.shape[rank-2], src.shape[rank-1]
	c.begin().pointers(codes, scales, src).ints(n/(m*d), m, d, q.BlockRows, q.BlockCols)
	const wide = backend.QuantBlock
	switch size := src.elementSize(); {
	case src.dtype == tensor.Float64 || q.BlockCols != wide:
	case q.BlockRows == 1 && d%wide == 0:
		const threads = 128 // of 16 elements each
		return c.launch(quantizeRowsKernels[dt], shape{grid: [3]int{blocks(n, 16*threads)}, block: threads})
	case q.BlockRows == wide && d*size%16 == 0:
		return c.launch(quantizeTileKernels[dt], shape{grid: [3]int{backend.Elements(scaleShape)}, block: 256})
	}
	return c.launch(quantizeKernels[dt], shape{grid: [3]int{backend.Elements(scaleShape)}, block: 256})
}
