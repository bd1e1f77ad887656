//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var (
	unpermuteKernels     = newFamily("unpermute", "")
	unpermuteFewKernels  = newFamily("unpermute", "_few")
	unpermuteManyKernels = newFamily("unpermute", "_many")
)

const (
	unpermuteFew  = 1024 // blocks up to which the GPU waits for each token's slots, so that more are read at once
	unpermuteMany = 7000 // warps from which on each has several tokens
)

// Unpermute implements backend.Unpermute, for rows and y of one dtype.
func (Portable) Unpermute(y, rows, gates backend.Value, p *backend.Plan) error {
	c := call{stage: "unpermute"}
	defer c.done()
	if c.wantPlan(p); c.err != nil {
		return c.err
	}
	slotRow := c.slotRow(p)
	from := c.operand("rows (R,H)", rows, 2)
	h := from.shape[1]
	c.wantShape(from, p.Rows, h)
	weights := c.tensor("gates (T,K)", gates, tensor.Float32, p.Tokens, p.Slots)
	out := c.tensor("y (T,H)", y, from.dtype, p.Tokens, h)
	dt := c.float(from)
	if c.err != nil || p.Tokens*h == 0 {
		return c.err
	}
	rowBytes := h * from.elementSize()
	group := unpermuteGroup(p, rowBytes)
	kernel, s := unpermuteKernels[dt], chunked(blocks(p.Tokens, group), rowBytes, 4)
	switch {
	case group > 1:
		kernel = unpermuteManyKernels[dt]
	case p.Slots > 2 && s.grid[0] <= unpermuteFew:
		kernel = unpermuteFewKernels[dt]
	}
	return c.begin().pointers(out, from, weights, slotRow).ints(p.Tokens, p.Slots, p.Rows, h, group).faults().
		launch(kernel, s)
}

// unpermuteGroup is how many tokens a warp has: 1, or where there are many 2, or 4 if R says that these have about a row each.
func unpermuteGroup(p *backend.Plan, rowBytes int) int {
	group := 2
	if p.Rows < 2*p.Tokens {
		group = 4
	}
	if blocks(p.Tokens, group)*blocks(rowBytes, packedBytes) < unpermuteMany {
		return 1
	}
	return group
}
