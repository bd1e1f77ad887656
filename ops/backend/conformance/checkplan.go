package conformance

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// CheckPlan holds a filled plan to all that backend.Plan promises for ids (T,K) int32 and expertMap (E global) int32 or nil.
// The values may be on any device. The error says which promise is broken where; it is an ExpertIDError if ids or map hold
// what a Planner must refuse.
func CheckPlan(p *backend.Plan, ids, expertMap backend.Value) error {
	local, err := localExperts(p, ids, expertMap)
	if err != nil {
		return err
	}
	host, err := backend.To(backend.Host, p)
	if err != nil {
		return fmt.Errorf("download the plan: %w", err)
	}
	tables, err := tablesOf(host.(*backend.Plan))
	if err != nil {
		return err
	}
	if err := tables.checkSegments(p, local); err != nil {
		return err
	}
	return tables.checkRows(p, local)
}

// localExperts is the expert of each slot here, −1 for none.
func localExperts(p *backend.Plan, ids, expertMap backend.Value) ([]int32, error) {
	slots, err := hostInts(ids, "ids", p.Tokens, p.Slots)
	if err != nil {
		return nil, err
	}
	global := p.Experts
	var mapped []int32
	if expertMap != nil {
		if mapped, err = hostInts(expertMap, "expert map", backend.Elements(expertMap.Shape())); err != nil {
			return nil, err
		}
		global = len(mapped)
	}
	local := make([]int32, len(slots))
	for i, id := range slots {
		bad := backend.ExpertIDError{Token: i / p.Slots, Slot: i % p.Slots, ID: int(id), Experts: global}
		if id < -1 || int(id) >= global {
			return nil, &bad
		}
		if id >= 0 && mapped != nil {
			if id = mapped[id]; id < -1 || int(id) >= p.Experts {
				bad.ID, bad.Experts, bad.Mapped = int(id), p.Experts, true
				return nil, &bad
			}
		}
		local[i] = id
	}
	return local, nil
}

// hostInts downloads an int32 tensor and checks its shape.
func hostInts(v backend.Value, what string, shape ...int) ([]int32, error) {
	if !slices.Equal(v.Shape(), tensor.Shape(shape)) {
		return nil, fmt.Errorf("plan: %s of shape %v, want %v: %w", what, v.Shape(), tensor.Shape(shape), backend.ErrShape)
	}
	host, err := backend.To(backend.Host, v)
	if err != nil {
		return nil, fmt.Errorf("plan: download %s: %w", what, err)
	}
	ints, err := backend.Slice[int32](host)
	if err != nil {
		return nil, fmt.Errorf("plan: %s: %w", what, err)
	}
	return ints, nil
}

// planTables are the tables of a plan on the host.
type planTables struct{ slotRow, rowSlot, rowExpert, offsets, counts []int32 }

func tablesOf(p *backend.Plan) (planTables, error) {
	var t planTables
	for _, part := range []struct {
		to    *[]int32
		from  backend.Value
		name  string
		shape []int
	}{
		{&t.slotRow, p.SlotRow, "SlotRow", []int{p.Tokens, p.Slots}},
		{&t.rowSlot, p.RowSlot, "RowSlot", []int{p.Rows}},
		{&t.rowExpert, p.RowExpert, "RowExpert", []int{p.Rows}},
		{&t.offsets, p.Offsets, "Offsets", []int{p.Experts + 1}},
		{&t.counts, p.Counts, "Counts", []int{p.Experts}},
	} {
		var err error
		if *part.to, err = hostInts(part.from, part.name, part.shape...); err != nil {
			return t, err
		}
	}
	return t, nil
}

// checkSegments checks Counts and Offsets: each expert's segment begins where the one before ends, and is its rows rounded up
// to the alignment, no more.
func (t planTables) checkSegments(p *backend.Plan, local []int32) error {
	counts := make([]int32, p.Experts)
	for _, e := range local {
		if e >= 0 {
			counts[e]++
		}
	}
	if t.offsets[0] != 0 {
		return fmt.Errorf("plan: Offsets[0] = %d, want 0", t.offsets[0])
	}
	for e, n := range counts {
		if t.counts[e] != n {
			return fmt.Errorf("plan: Counts[%d] = %d, want %d", e, t.counts[e], n)
		}
		segment := (int(n) + p.Align - 1) / p.Align * p.Align
		if want := int(t.offsets[e]) + segment; int(t.offsets[e+1]) != want {
			return fmt.Errorf("plan: Offsets[%d] = %d, want %d after %d rows from %d on at alignment %d",
				e+1, t.offsets[e+1], want, n, t.offsets[e], p.Align)
		}
	}
	if end := int(t.offsets[p.Experts]); end > p.Rows {
		return fmt.Errorf("plan: Offsets[%d] = %d is beyond R = %d", p.Experts, end, p.Rows)
	}
	return nil
}

// checkRows checks SlotRow, RowSlot and RowExpert: the slots of each expert in ascending order, −1 for the rest.
func (t planTables) checkRows(p *backend.Plan, local []int32) error {
	next := slices.Clone(t.offsets[:p.Experts])
	taken := make([]bool, p.Rows)
	for slot, e := range local {
		token, k := slot/p.Slots, slot%p.Slots
		if e < 0 {
			if t.slotRow[slot] != -1 {
				return fmt.Errorf("plan: SlotRow[%d,%d] = %d for a slot that is not here, want -1", token, k, t.slotRow[slot])
			}
			continue
		}
		r := next[e]
		next[e]++
		taken[r] = true
		switch {
		case t.slotRow[slot] != r:
			return fmt.Errorf("plan: SlotRow[%d,%d] = %d, want %d, the next row of expert %d in ascending order of slots", token, k, t.slotRow[slot], r, e)
		case t.rowSlot[r] != int32(slot):
			return fmt.Errorf("plan: RowSlot[%d] = %d, want %d, the slot whose SlotRow it is", r, t.rowSlot[r], slot)
		case t.rowExpert[r] != e:
			return fmt.Errorf("plan: RowExpert[%d] = %d, want %d", r, t.rowExpert[r], e)
		}
	}
	for r, ok := range taken {
		if !ok && (t.rowSlot[r] != -1 || t.rowExpert[r] != -1) {
			return fmt.Errorf("plan: padding row %d has slot %d and expert %d, want -1 and -1", r, t.rowSlot[r], t.rowExpert[r])
		}
	}
	return nil
}
