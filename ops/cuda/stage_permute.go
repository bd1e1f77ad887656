//go:build cu && linux && cgo

package cuda

import (
	"math"
	"slices"

	"github.com/gorgonia/moe/ops/backend"
)

var permuteKernel = newKernel("permute_b")

const (
	permuteChunk  = 2048    // bytes of a row that a warp moves
	permuteGather = 8 << 20 // bytes of x up to which each row is read for itself: the GPU's cache holds them
)

// Permute implements backend.Permute, for every dtype.
func (Portable) Permute(rows, x backend.Value, p *backend.Plan) error {
	c := call{stage: "permute"}
	defer c.done()
	if c.wantPlan(p); c.err != nil {
		return c.err
	}
	rowSlot, slotRow := c.rowSlot(p), c.slotRow(p)
	from, to := c.array("x (T,…)", x), c.array("rows (R,…)", rows)
	if c.err == nil && len(from.shape) == 0 {
		c.fail("x has shape %v, want (T,…)", from.shape, backend.ErrShape)
	}
	if c.err != nil {
		return c.err
	}
	row := from.shape[1:]
	c.wantShape(from, slices.Concat([]int{p.Tokens}, row)...)
	c.wantShape(to, slices.Concat([]int{p.Rows}, row)...)
	c.wantDtype(to, from.dtype)
	width := backend.Elements(row) * from.elementSize()
	if c.err != nil || p.Rows*width == 0 {
		return c.err
	}
	chunks := blocks(width, permuteChunk)
	gather := 0
	s := shape{grid: [3]int{blocks(p.Tokens*chunks, 8) + blocks(blocks(p.Rows, 8)*chunks, 8)}, block: 256}
	if p.Tokens*width <= permuteGather && chunks <= math.MaxUint16 {
		gather = 1
		s.grid = [3]int{blocks(p.Rows, 8), chunks}
	}
	return c.begin().pointers(to, from).ints(width, 0, 0, 0).pointers(rowSlot, slotRow).
		ints(p.Tokens, p.Slots, p.Rows, gather).faults().
		launch(permuteKernel, s)
}
