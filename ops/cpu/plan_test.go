package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func newTestPlan(t testing.TB, tokens, slots, experts, align, rows int) *backend.Plan {
	t.Helper()
	p, err := backend.NewPlan(backend.Host, tokens, slots, experts, align, rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range p.Parts() { // what a planner leaves unwritten shows
		table := elementsIn[int32](t, part)
		for i := range table {
			table[i] = math.MinInt32
		}
	}
	return p
}

// checkPlanOf holds p to the promises of backend.Plan for slots whose local experts are the given ones.
func checkPlanOf(p *backend.Plan, local []int32) error {
	var tables [5][]int32
	for i, part := range p.Parts() {
		var err error
		if tables[i], err = backend.Slice[int32](part); err != nil {
			return err
		}
	}
	slotRow, rowSlot, rowExpert, offsets, counts := tables[0], tables[1], tables[2], tables[3], tables[4]
	if offsets[0] != 0 || int(offsets[p.Experts]) > p.Rows {
		return fmt.Errorf("offsets go from %d to %d, want from 0 to at most R = %d", offsets[0], offsets[p.Experts], p.Rows)
	}
	owner := make([]int32, p.Rows) // the slot of each row, by the promises alone
	for r := range owner {
		owner[r] = -1
	}
	for e := range p.Experts {
		row := offsets[e]
		for s, expert := range local {
			if int(expert) == e {
				owner[row] = int32(s)
				row++
			}
		}
		if counts[e] != row-offsets[e] {
			return fmt.Errorf("expert %d: count %d, want %d", e, counts[e], row-offsets[e])
		}
		if size := int(offsets[e+1] - offsets[e]); size%p.Align != 0 || size < int(counts[e]) || size >= int(counts[e])+p.Align {
			return fmt.Errorf("expert %d: a segment of %d rows for %d rows in multiples of %d", e, size, counts[e], p.Align)
		}
	}
	for r, s := range owner {
		expert := int32(-1)
		if s >= 0 {
			expert = local[s]
		}
		if rowSlot[r] != s || rowExpert[r] != expert {
			return fmt.Errorf("row %d: slot %d of expert %d, want slot %d of expert %d", r, rowSlot[r], rowExpert[r], s, expert)
		}
		if s >= 0 && int(slotRow[s]) != r {
			return fmt.Errorf("slot %d: row %d, want %d", s, slotRow[s], r)
		}
	}
	for s, expert := range local {
		if expert == -1 && slotRow[s] != -1 {
			return fmt.Errorf("slot %d is not here and has row %d", s, slotRow[s])
		}
	}
	return nil
}

// TestPlanOfManyStretches has sizes for which the slots are counted in several stretches.
func TestPlanOfManyStretches(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ tokens, slots, experts, align int }{
		{30_001, 3, 5, 16}, {9_999, 8, 1, 1}, {40_000, 1, 300, 128}, {1, 70_000, 7, 8},
	} {
		local := make([]int32, c.tokens*c.slots)
		for s := range local {
			local[s] = int32(rng.IntN(c.experts+1)) - 1
		}
		rows, err := backend.RowBound(c.tokens, c.slots, c.experts, c.align)
		if err != nil {
			t.Fatal(err)
		}
		p := newTestPlan(t, c.tokens, c.slots, c.experts, c.align, rows)
		if err := (Go{}).Plan(p, hostTensor(t, []int{c.tokens, c.slots}, local...), nil); err != nil {
			t.Fatal(err)
		}
		if err := checkPlanOf(p, local); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestPlanNamesFirstBadID(t *testing.T) {
	const tokens, slots, experts = 50_000, 2, 4
	expertMap := hostTensor[int32](t, []int{6}, 0, 3, -1, 4, -2, 1)
	for _, c := range []struct {
		id        int32
		expertMap backend.Value
		want      backend.ExpertIDError
	}{
		{experts, nil, backend.ExpertIDError{ID: experts, Experts: experts}},
		{-2, nil, backend.ExpertIDError{ID: -2, Experts: experts}},
		{math.MinInt32, nil, backend.ExpertIDError{ID: math.MinInt32, Experts: experts}},
		{math.MaxInt32, nil, backend.ExpertIDError{ID: math.MaxInt32, Experts: experts}},
		{6, expertMap, backend.ExpertIDError{ID: 6, Experts: 6}},
		{-2, expertMap, backend.ExpertIDError{ID: -2, Experts: 6}},
		{3, expertMap, backend.ExpertIDError{ID: 4, Experts: experts, Mapped: true}},
		{4, expertMap, backend.ExpertIDError{ID: -2, Experts: experts, Mapped: true}},
	} {
		c.want.Token, c.want.Slot = 30_000, 1
		ids := hostTensor[int32](t, []int{tokens, slots})
		table := elementsIn[int32](t, ids)
		table[99_999], table[60_001], table[60_002], table[90_000] = c.id, c.id, c.id, c.id
		err := (Go{}).Plan(newTestPlan(t, tokens, slots, experts, 1, tokens*slots), ids, c.expertMap)
		var bad *backend.ExpertIDError
		if !errors.As(err, &bad) || !errors.Is(err, backend.ErrExpertID) {
			t.Fatalf("%+v: got error %v", c.want, err)
		}
		if *bad != c.want {
			t.Errorf("got %+v, want %+v", *bad, c.want)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	ids := hostTensor[int32](t, []int{3, 2}, 0, 1, 0, 1, 0, 1)
	with := func(change func(p *backend.Plan)) *backend.Plan {
		p := newTestPlan(t, 3, 2, 2, 4, 8)
		change(p)
		return p
	}
	good := with(func(*backend.Plan) {})
	for name, c := range map[string]struct {
		p              *backend.Plan
		ids, expertMap backend.Value
		want           error
	}{
		"too few rows":         {newTestPlan(t, 3, 2, 2, 4, 7), ids, nil, backend.ErrShape},
		"align 0":              {with(func(p *backend.Plan) { p.Align = 0 }), ids, nil, backend.ErrParameter},
		"huge align":           {with(func(p *backend.Plan) { p.Align = math.MaxInt32 }), ids, nil, backend.ErrShape},
		"negative experts":     {with(func(p *backend.Plan) { p.Experts = -1 }), ids, nil, backend.ErrShape},
		"other table":          {with(func(p *backend.Plan) { p.RowSlot = p.Counts }), ids, nil, backend.ErrShape},
		"table missing":        {with(func(p *backend.Plan) { p.Offsets = nil }), ids, nil, backend.ErrValue},
		"plan missing":         {nil, ids, nil, backend.ErrValue},
		"ids' shape":           {good, hostTensor[int32](t, []int{2, 3}), nil, backend.ErrShape},
		"ids' dtype":           {good, hostTensor[int64](t, []int{3, 2}), nil, backend.ErrDtype},
		"map of no experts":    {good, ids, hostTensor[int32](t, []int{0}), backend.ErrExpertID},
		"map's rank":           {good, ids, hostTensor[int32](t, []int{1, 2}), backend.ErrShape},
		"map's dtype":          {good, ids, hostTensor[float32](t, []int{2}), backend.ErrDtype},
		"map to beyond expert": {good, ids, hostTensor[int32](t, []int{2}, 0, 2), backend.ErrExpertID},
	} {
		if err := (Go{}).Plan(c.p, c.ids, c.expertMap); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
	err := Go{}.Plan(newTestPlan(t, 3, 2, 2, 4, 7), ids, nil)
	if err == nil || !strings.Contains(err.Error(), "8 rows") || !strings.Contains(err.Error(), "R = 7") {
		t.Errorf("8 rows in 7: got error %v, which does not name both", err)
	}
}

func TestPlanReadsContiguousIDsOnly(t *testing.T) {
	wide := hostTensor[int32](t, []int{3, 4}, 0, 9, 1, 9, 0, 9, 1, 9, 0, 9, 1, 9)
	ids, err := wide.Slice(nil, tensor.S(0, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := (Go{}).Plan(newTestPlan(t, 3, 2, 2, 4, 8), ids, nil); !errors.Is(err, backend.ErrValue) {
		t.Errorf("a view with gaps: got error %v, want %v", err, backend.ErrValue)
	}
}

func TestPlanSendsIDsThroughMap(t *testing.T) {
	p := newTestPlan(t, 2, 3, 2, 2, 8)
	ids := hostTensor[int32](t, []int{2, 3}, 3, 0, -1, 1, 3, 2)
	if err := (Go{}).Plan(p, ids, hostTensor[int32](t, []int{4}, -1, 1, -1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := checkPlanOf(p, []int32{0, -1, -1, 1, 0, -1}); err != nil {
		t.Fatal(err)
	}
	if got, want := elementsIn[int32](t, p.RowSlot), []int32{0, 4, 3, -1, -1, -1, -1, -1}; !slices.Equal(got, want) {
		t.Errorf("RowSlot is %v, want %v", got, want)
	}
}
