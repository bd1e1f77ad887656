//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

var swiGLUKernels = newFamily("swiglu", "")

// SwiGLU implements backend.SwiGLU, for x and out of one dtype.
func (Portable) SwiGLU(out, x backend.Value) error {
	c := call{stage: "swiglu"}
	defer c.done()
	dst := c.operand("out (R,F)", out, 2)
	r, f := dst.shape[0], dst.shape[1]
	src := c.tensor("x (R,2F)", x, dst.dtype, r, 2*f)
	kernel := swiGLUKernels[c.float(src)]
	if c.err != nil || r*f == 0 {
		return c.err
	}
	return c.begin().pointers(dst, src).ints(r, f).
		launch(kernel, chunked(r, f*src.elementSize(), 8))
}
