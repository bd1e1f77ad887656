//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

// Linear implements backend.Linear: x and w are F or Quantized, out is F, in any mixture. Products of BFloat16 or Float16 with
// themselves run on tensor cores if D is a multiple of 8.
func (Portable) Linear(out, x, w backend.Value) error {
	c := call{stage: "linear"}
	defer c.done()
	dst := c.operand("out (T,N)", out, 2)
	t, n, d := dst.shape[0], dst.shape[1], 0
	if x != nil && len(x.Shape()) == 2 {
		d = x.Shape()[1]
	}
	src := c.factor("x (T,D)", x, t, d)
	weight := c.factor("w (N,D)", w, n, d)
	return c.multiply(dst, src, weight, [4]int{t, n, d, 1}, t, operand{}, operand{})
}
