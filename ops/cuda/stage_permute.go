//go:build cu && linux && cgo

package cuda

import (
	"math"
	"slices"

	"github.com/gorgonia/moe/ops/backend"
)

// The second kernel of each pair moves two tensors.
var (
	permuteGatherKernels  = [2]*kernel{newKernel("permute_gather"), newKernel("permute_gather_two")}
	permuteScatterKernels = [2]*kernel{newKernel("permute_scatter"), newKernel("permute_scatter_two")}
)

const (
	permuteChunk  = 2048    // bytes of a row that a warp scatters
	gatherChunk   = 1024    // bytes of a row that a warp gathers
	permuteGather = 5 << 20 // bytes of x below which each row is read for itself
	permuteSecond = 512     // bytes of a row of scales that the warp of its codes moves too
	permuteChecks = 1 << 16 // chunks of rows up to which a warp checks 8 rows, above that 32
)

// Permute implements backend.Permute, for every dtype and for Quantized.
func (Portable) Permute(rows, x backend.Value, p *backend.Plan) error {
	c := call{stage: "permute"}
	defer c.done()
	if c.wantPlan(p); c.err != nil {
		return c.err
	}
	rowSlot, slotRow := c.rowSlot(p), c.slotRow(p)
	q, ok := x.(*backend.Quantized)
	if !ok {
		return c.permute(p, rowSlot, slotRow, c.moved("x", x, "rows", rows, p), moved{})
	}
	to, err := backend.PermutedQuantized(rows, q)
	if err != nil {
		return err
	}
	codes := c.moved("the codes of x", q.Codes, "the codes of rows", to.Codes, p)
	scales := c.moved("the scales of x", q.Scales, "the scales of rows", to.Scales, p)
	if scales.width <= permuteSecond {
		return c.permute(p, rowSlot, slotRow, codes, scales)
	}
	if err := c.permute(p, rowSlot, slotRow, codes, moved{}); err != nil {
		return err
	}
	return c.permute(p, rowSlot, slotRow, scales, moved{})
}

// moved is a tensor whose rows Permute moves.
type moved struct {
	from, to operand
	width    int // bytes of a row
}

// moved looks a source (T,…) and its destination (R,…) up.
func (c *call) moved(fromWhat string, from backend.Value, toWhat string, to backend.Value, p *backend.Plan) moved {
	m := moved{from: c.array(fromWhat, from), to: c.array(toWhat, to)}
	if c.err == nil && len(m.from.shape) == 0 {
		c.fail("%s has shape %v, want (T,…)", fromWhat, m.from.shape, backend.ErrShape)
	}
	if c.err != nil {
		return m
	}
	row := m.from.shape[1:]
	c.wantShape(m.from, slices.Concat([]int{p.Tokens}, row)...)
	c.wantShape(m.to, slices.Concat([]int{p.Rows}, row)...)
	c.wantDtype(m.to, m.from.dtype)
	m.width = backend.Elements(row) * m.from.elementSize()
	return m
}

// permute moves the rows of one tensor, or of two in one launch.
func (c *call) permute(p *backend.Plan, rowSlot, slotRow operand, first, second moved) error {
	if c.err != nil || p.Rows*first.width == 0 {
		return c.err
	}
	two := 0
	if second.width > 0 {
		two = 1
	}
	chunks, group := blocks(first.width, permuteChunk), 8
	if p.Rows*chunks > permuteChecks {
		group = 32
	}
	kernel := permuteScatterKernels[two]
	s := shape{grid: [3]int{blocks(p.Tokens*chunks, 8) + blocks(blocks(p.Rows, group)*chunks, 8)}, block: 256}
	if gathered := blocks(first.width, gatherChunk); p.Tokens*first.width < permuteGather && gathered <= math.MaxUint16 {
		kernel, s.grid = permuteGatherKernels[two], [3]int{blocks(p.Rows, 8), gathered}
	}
	return c.begin().pointers(first.to, first.from).ints(first.width).pointers(second.to, second.from).ints(second.width).
		pointers(rowSlot, slotRow).ints(p.Tokens, p.Slots, p.Rows, group).faults().
		launch(kernel, s)
}
