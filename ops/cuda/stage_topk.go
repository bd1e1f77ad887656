//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var topKKernels = newFamily("topk", "")

// TopK implements backend.TopK.
func (Portable) TopK(ids, logits backend.Value) error {
	c := call{stage: "topk"}
	defer c.done()
	l := c.operand("logits (T,E)", logits, 2)
	chosen := c.operand("ids (T,K)", ids, 2)
	t, e, k := l.shape[0], l.shape[1], chosen.shape[1]
	c.wantDtype(chosen, tensor.Int32)
	c.wantShape(chosen, t, k)
	if k > e {
		c.fail("ids have shape %v, want K ≤ E = %d", chosen.shape, e, backend.ErrShape)
	}
	kernel := topKKernels[c.float(l)]
	if c.err != nil || t*k == 0 {
		return c.err
	}
	return c.begin().pointers(chosen, l).ints(t, e, k).
		launch(kernel, shape{grid: [3]int{blocks(t, 8)}, block: 256})
}
