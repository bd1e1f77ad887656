//go:build cu && linux && cgo

package cuda

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// A kernel's blocks take a slice of the slots each. A block of plan_small has 256 threads, of the others 1024.
var (
	planSmall = newSharedKernel("plan_small", planShared)
	planCount = newSharedKernel("plan_count", planShared)
	planPlace = newSharedKernel("plan_place", planShared)
)

const (
	planShared       = 98304 // bytes of shared memory for a block's tables; larger ones lie in scratch memory
	planSmallMax     = 2048  // slots that plan_small takes
	planPlaceMax     = 8192  // slots that plan_place takes without plan_count
	planPadding      = 4096  // rows for which there is a block to mark padding, of 1024 threads
	planPaddingSmall = 512   // the same, of 256 threads
)

// Plan implements backend.Planner. Of several offending slots the ExpertIDError names the first, or among more than 256 slots
// one of them.
func (Portable) Plan(p *backend.Plan, ids, expertMap backend.Value) error {
	c := call{stage: "plan"}
	defer c.done()
	t := c.tables(p)
	if c.err != nil {
		return c.err
	}
	chosen := c.tensor("ids (T,K)", ids, tensor.Int32, p.Tokens, p.Slots)
	experts, mapped := operand{}, -1
	if expertMap != nil {
		experts = c.operand("expert map", expertMap, 1)
		c.wantDtype(experts, tensor.Int32)
		mapped = experts.shape[0]
	}
	n := p.Tokens * p.Slots
	if p.Align < 1 || p.Align > math.MaxInt32 || p.Rows > math.MaxInt32 || n > math.MaxInt32 {
		c.fail("A = %d, R = %d, T·K = %d, want A in [1,%d] and R, T·K ≤ %[4]d", p.Align, p.Rows, n, math.MaxInt32, backend.ErrParameter)
	}
	if c.err != nil {
		return c.err
	}
	launch := func(k *kernel, threads, slice, count int, sliceCounts operand) error {
		words := threads/32*(p.Experts|1) + 4*p.Experts + 4
		s, tables := shape{grid: [3]int{count}, block: threads, shared: 4 * words}, operand{}
		if s.shared > planShared {
			tables, s.shared = c.scratch(16*blocks(words, 4)*count), 0
		}
		return c.begin().pointers(t.slotRow, t.rowSlot, t.rowExpert, t.offsets, t.counts, chosen, experts).
			ints(mapped, n, p.Slots, p.Experts, p.Align, p.Rows, slice).pointers(sliceCounts, tables).faults().
			launch(k, s)
	}
	padding := func(rows int) int { return min(max(blocks(p.Rows, rows), 1), c.dev.sms) }
	switch {
	case n <= planSmallMax:
		return launch(planSmall, 256, 256, max(blocks(n, 256), padding(planPaddingSmall)), operand{})
	case n <= planPlaceMax:
		return launch(planPlace, 1024, 1024, max(blocks(n, 1024), padding(planPadding)), operand{})
	}
	slice := 1024 * blocks(blocks(n, min(blocks(n, 1024), c.dev.sms)), 1024)
	count := blocks(n, slice)
	sliceCounts := c.scratch(4 * p.Experts * count)
	if err := launch(planCount, 1024, slice, count, sliceCounts); err != nil {
		return err
	}
	return launch(planPlace, 1024, slice, count, sliceCounts)
}

// planTables are the tables of a plan.
type planTables struct{ slotRow, rowSlot, rowExpert, offsets, counts operand }

// tables looks all tables of a plan up.
func (c *call) tables(p *backend.Plan) (t planTables) {
	if c.wantPlan(p); c.err != nil {
		return t
	}
	t.slotRow, t.rowSlot = c.slotRow(p), c.rowSlot(p)
	t.rowExpert = c.tensor("RowExpert (R)", p.RowExpert, tensor.Int32, p.Rows)
	t.offsets = c.tensor("Offsets (E+1)", p.Offsets, tensor.Int32, p.Experts+1)
	t.counts = c.tensor("Counts (E)", p.Counts, tensor.Int32, p.Experts)
	return t
}

func (c *call) slotRow(p *backend.Plan) operand {
	return c.tensor("SlotRow (T,K)", p.SlotRow, tensor.Int32, p.Tokens, p.Slots)
}

func (c *call) rowSlot(p *backend.Plan) operand {
	return c.tensor("RowSlot (R)", p.RowSlot, tensor.Int32, p.Rows)
}

// wantPlan checks that there is a plan with sizes that make sense.
func (c *call) wantPlan(p *backend.Plan) {
	switch {
	case p == nil:
		c.fail("the plan is nil", backend.ErrValue)
	case min(p.Tokens, p.Slots, p.Experts, p.Rows) < 0:
		c.fail("T = %d, K = %d, E = %d, R = %d, want no negative number", p.Tokens, p.Slots, p.Experts, p.Rows, backend.ErrParameter)
	}
}
