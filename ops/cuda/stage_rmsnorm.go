//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

var rmsNormKernels = newFamily("rmsnorm", "")

// RMSNorm implements backend.RMSNorm, for x and out of one dtype and w of any.
func (Portable) RMSNorm(out, x, w backend.Value, eps float64) error {
	c := call{stage: "rmsnorm"}
	defer c.done()
	if !(eps >= 0) {
		c.fail("eps is %v, want a number ≥ 0", eps, backend.ErrParameter)
	}
	src := c.operand("x (T,H)", x, 2)
	t, h := src.shape[0], src.shape[1]
	weight := c.operand("w (H)", w, 1)
	c.wantShape(weight, h)
	dst := c.tensor("out (T,H)", out, src.dtype, t, h)
	kernel, weightCode := rmsNormKernels[c.float(src)], c.float(weight)
	if c.err != nil || t*h == 0 {
		return c.err
	}
	threads, rowBytes := 256, h*src.elementSize()
	if rowBytes%16 == 0 {
		threads = min(32*blocks(rowBytes, 2048), threads)
	}
	return c.begin().pointers(dst, src, weight).ints(t, h, weightCode).number(eps).
		launch(kernel, shape{grid: [3]int{t}, block: threads})
}
