//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var gatesKernels = newFamily("gates", "")

// Gates implements backend.Gates.
func (Portable) Gates(gates, logits, ids backend.Value, mode backend.GateMode) error {
	c := call{stage: "gates"}
	defer c.done()
	if mode < backend.SoftmaxTopK || mode > backend.SoftmaxRenormalized {
		c.fail("mode %d is unknown", int(mode), backend.ErrParameter)
	}
	l := c.operand("logits (T,E)", logits, 2)
	chosen := c.operand("ids (T,K)", ids, 2)
	t, e, k := l.shape[0], l.shape[1], chosen.shape[1]
	c.wantDtype(chosen, tensor.Int32)
	c.wantShape(chosen, t, k)
	out := c.tensor("gates (T,K)", gates, tensor.Float32, t, k)
	kernel := gatesKernels[c.float(l)]
	if c.err != nil || t*k == 0 {
		return c.err
	}
	tokensOfBlock := 4
	if mode == backend.SoftmaxTopK && k <= 8 {
		tokensOfBlock = 16
	}
	return c.begin().pointers(out, l, chosen).ints(t, e, k, int(mode)).faults().
		launch(kernel, shape{grid: [3]int{blocks(t, tokensOfBlock)}, block: 128})
}
