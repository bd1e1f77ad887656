package cpu

import (
	"fmt"
	"math"
	"sync"

	"github.com/gorgonia/moe/ops/backend"
)

// Plan implements backend.Planner. It counts the rows of each expert in stretches of tokens, adds the counts up to the row
// where each stretch starts in each segment, and lets the stretches place their rows independently of each other: the
// tables do not depend on how many stretches there are. The same expert in several slots of a token has as many rows.
//
// The ExpertIDError is that of the first offending slot in the order of t·K+k.
func (Go) Plan(p *backend.Plan, ids, expertMap backend.Value) error {
	counting, placing := getLoop[counting](), getLoop[placing]()
	defer counting.free()
	defer placing.free()
	l := &counting.s.planning
	if err := l.operands(p, ids, expertMap); err != nil {
		return err
	}
	slots := len(l.ids)
	// A stretch has more slots than counters, so that adding up the counters is the lesser work.
	l.stretches = min(max(1, slots/max(1<<13, 4*p.Experts)), maxStretches)
	rows := rowCounts.Get().(*[]int32)
	defer rowCounts.Put(rows)
	*rows = grown(*rows, l.stretches*p.Experts)
	clear(*rows)
	l.rows = *rows

	counting.run(l.stretches, 1)
	if l.bad.found {
		return l.expertIDError(l.bad.at)
	}
	if err := l.layOut(l.rows); err != nil {
		return err
	}
	placing.s.planning = l
	placing.run(l.stretches, 1)
	l.pad()
	return nil
}

// rowCounts keeps the memory of counters.
var rowCounts = sync.Pool{New: func() any { return new([]int32) }}

// maxStretches bounds the memory for counters; it is more than enough to share the work out evenly.
const maxStretches = 64

type planning struct {
	p         *backend.Plan
	ids       []int32
	expertMap []int32 // nil if ids are the experts themselves

	slotRow, rowSlot, rowExpert, offsets, counts []int32

	stretches int
	rows      []int32 // by stretch and expert
	bad       fault
}

// counting and placing are the two loops over stretches.
type (
	counting struct{ planning }
	placing  struct{ *planning }
)

func (l *counting) span(from, to int) {
	for i := from; i < to; i++ {
		lo, hi, rows := l.stretch(i)
		if s, ok := l.count(lo, hi, rows); !ok {
			l.bad.report(s)
		}
	}
}

func (l *placing) span(from, to int) {
	for i := from; i < to; i++ {
		l.place(l.stretch(i))
	}
}

// stretch is the slots of a stretch and its counters.
func (l *planning) stretch(i int) (lo, hi int, rows []int32) {
	slots, experts := len(l.ids), l.p.Experts
	return i * slots / l.stretches, (i + 1) * slots / l.stretches, l.rows[i*experts : (i+1)*experts]
}

func (l *planning) operands(p *backend.Plan, ids, expertMap backend.Value) error {
	if err := checkPlan("plan", p); err != nil {
		return err
	}
	if p.Align < 1 || p.Align > math.MaxInt32 || p.Rows > math.MaxInt32 {
		return fmt.Errorf("plan: A = %d, R = %d, want A in [1,%d] and R ≤ %[3]d: %w",
			p.Align, p.Rows, math.MaxInt32, backend.ErrParameter)
	}
	l.p = p
	var err error
	if l.ids, err = elementsOf[int32]("plan", "ids", ids, p.Tokens, p.Slots); err != nil {
		return err
	}
	if len(l.ids) > math.MaxInt32 {
		return fmt.Errorf("plan: T·K = %d slots, want ≤ %d: %w", len(l.ids), math.MaxInt32, backend.ErrParameter)
	}
	if expertMap != nil {
		if len(expertMap.Shape()) != 1 {
			return fmt.Errorf("plan: expert map of shape %v, want one dimension: %w", expertMap.Shape(), backend.ErrShape)
		}
		if l.expertMap, err = elementsOf[int32]("plan", "expert map", expertMap, expertMap.Shape()[0]); err != nil {
			return err
		}
		if l.expertMap == nil {
			l.expertMap = []int32{} // a map of no experts is a map
		}
	}
	if l.slotRow, err = elementsOf[int32]("plan", "SlotRow", p.SlotRow, p.Tokens, p.Slots); err != nil {
		return err
	}
	if l.rowSlot, err = elementsOf[int32]("plan", "RowSlot", p.RowSlot, p.Rows); err != nil {
		return err
	}
	if l.rowExpert, err = elementsOf[int32]("plan", "RowExpert", p.RowExpert, p.Rows); err != nil {
		return err
	}
	if l.offsets, err = elementsOf[int32]("plan", "Offsets", p.Offsets, p.Experts+1); err != nil {
		return err
	}
	l.counts, err = elementsOf[int32]("plan", "Counts", p.Counts, p.Experts)
	return err
}

// count adds the rows of the slots [lo,hi) to rows, by expert, and leaves each slot's expert in slotRow. Where an id is out
// of range it returns the slot and false.
func (l *planning) count(lo, hi int, rows []int32) (slot int, ok bool) {
	for s := lo; s < hi; s++ {
		e := l.ids[s]
		if e >= 0 && l.expertMap != nil {
			if int(e) >= len(l.expertMap) {
				return s, false
			}
			e = l.expertMap[e]
		}
		if e < -1 || int(e) >= len(rows) {
			return s, false
		}
		l.slotRow[s] = e
		if e >= 0 {
			rows[e]++
		}
	}
	return 0, true
}

func (l *planning) expertIDError(slot int) error {
	err := &backend.ExpertIDError{
		Token: slot / l.p.Slots, Slot: slot % l.p.Slots, ID: int(l.ids[slot]), Experts: l.p.Experts,
	}
	if l.expertMap != nil {
		err.Experts = len(l.expertMap)
		if err.ID >= 0 && err.ID < len(l.expertMap) {
			err.ID, err.Experts, err.Mapped = int(l.expertMap[err.ID]), l.p.Experts, true
		}
	}
	return fmt.Errorf("plan: %w", err)
}

// layOut fills offsets and counts from the rows by stretch and expert, and turns those into the row where the stretch
// starts to place rows of the expert.
func (l *planning) layOut(rows []int32) error {
	experts, align := l.p.Experts, int64(l.p.Align)
	var end int64
	for e := range experts {
		start := end
		for i := e; i < len(rows); i += experts {
			rows[i], end = int32(min(end, math.MaxInt32)), end+int64(rows[i])
		}
		l.offsets[e] = int32(min(start, math.MaxInt32))
		l.counts[e] = int32(end - start)
		end = pieces(end, align) * align
	}
	if end > int64(l.p.Rows) {
		return fmt.Errorf("plan: the routing fills %d rows in segments of multiples of %d, the plan has R = %d: %w",
			end, align, l.p.Rows, backend.ErrShape)
	}
	l.offsets[experts] = int32(end)
	return nil
}

// place gives the slots [lo,hi) their rows, the next of each expert being in next.
func (l *planning) place(lo, hi int, next []int32) {
	for s := lo; s < hi; s++ {
		e := l.slotRow[s]
		if e < 0 {
			continue
		}
		r := next[e]
		next[e]++
		l.slotRow[s], l.rowSlot[r], l.rowExpert[r] = r, int32(s), e
	}
}

// pad marks the rows between the end of an expert's rows and the next segment, and behind the last one.
func (l *planning) pad() {
	mark := func(lo, hi int) {
		for r := lo; r < hi; r++ {
			l.rowSlot[r], l.rowExpert[r] = -1, -1
		}
	}
	for e, n := range l.counts {
		mark(int(l.offsets[e]+n), int(l.offsets[e+1]))
	}
	mark(int(l.offsets[l.p.Experts]), l.p.Rows)
}
