//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

var (
	rmsNormKernels    = newFamily("rmsnorm", "")
	rmsNormFewKernels = newFamily("rmsnorm", "_few") // for up to two rows an SM, or short ones
)

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
	dt, weightCode := c.float(src), c.float(weight)
	if c.err != nil || t*h == 0 {
		return c.err
	}
	accesses := h // of a row
	if rowBytes := h * src.elementSize(); rowBytes%16 == 0 {
		accesses = rowBytes / 16
	}
	kernel := rmsNormKernels[dt]
	if t <= 2*c.dev.sms || accesses <= 256 {
		kernel = rmsNormFewKernels[dt]
	}
	threads := 32 * blocks(min(blocks(accesses, 2), 1024), 32)
	return c.begin().pointers(dst, src, weight).ints(t, h, weightCode).number(eps).
		launch(kernel, shape{grid: [3]int{t}, block: threads})
}
