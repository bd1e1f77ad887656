package conformance

import (
	"fmt"
	"math"

	"github.com/gorgonia/moe/ops/backend"
)

func planChecks(s backend.Planner) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Plan(out.(*backend.Plan), in[0], in[1]) }
	var checks []check
	for _, r := range append([]routing{
		{3, 0, 8, 16, distinct, rowsSpare},
		{300, 4, 8, 128, distinct, rowsBound},
		{300, 2, 257, 64, partial, rowsExact},
		{2000, 8, 64, 16, distinct, rowsBound},
		{1000, 32, 130, 8, repeated, rowsExact},
		{3000, 1, 1, 64, oneExpert, rowsExact},
	}, routings...) {
		checks = append(checks, check{r.String(), func(e *env) error {
			ids := r.ids(e.rng)
			return e.checkPlan(call, r, r.rows(ids), e.ints(ids, r.tokens, r.slots), nil)
		}}, check{"map/" + r.String(), func(e *env) error { return e.checkMappedPlan(call, r) }})
	}
	checks = append(checks, check{"a routing that needs all of the bound", func(e *env) error {
		// One row more than a multiple of A for each of two experts, one row for the others.
		r := routing{tokens: 2*16 + 8, slots: 1, experts: 8, align: 16}
		var ids []int32
		for expert := range int32(8) {
			ids = append(ids, expert)
		}
		for range 16 {
			ids = append(ids, 2, 5)
		}
		rows := must(backend.RowBound(r.tokens, r.slots, r.experts, r.align))
		return e.checkPlan(call, r, rows, e.ints(ids, r.tokens, 1), nil)
	}})
	return append(checks, planErrorChecks(call)...)
}

// checkPlan makes the plan of ids and holds it to its promises.
func (e *env) checkPlan(call kernel, r routing, rows int, ids, expertMap backend.Value) error {
	out, err := e.apply(call, e.newPlan(r, rows), ids, expertMap)
	if err != nil {
		return err
	}
	return CheckPlan(out.(*backend.Plan), ids, expertMap)
}

// checkMappedPlan makes the plan of ids of twice as many experts, about half of which a map sends to one here. Two may be
// sent to the same.
func (e *env) checkMappedPlan(call kernel, r routing) error {
	ranks := r
	ranks.experts *= 2
	ids, expertMap := ranks.ids(e.rng), make([]int32, ranks.experts)
	for i := range expertMap {
		expertMap[i] = int32(max(-1, e.rng.IntN(2*r.experts)-r.experts))
	}
	local := make([]int32, len(ids))
	for i, id := range ids {
		local[i] = -1
		if id >= 0 {
			local[i] = expertMap[id]
		}
	}
	return e.checkPlan(call, r, r.rows(local), e.ints(ids, r.tokens, r.slots), e.ints(expertMap, len(expertMap)))
}

func planErrorChecks(call kernel) []check {
	r := routing{tokens: 40, slots: 3, experts: 5, align: 8}
	var checks []check
	bad := func(what string, slot int, id int32, expertMap []int32, want backend.ExpertIDError) {
		checks = append(checks, check{fmt.Sprintf("%s in slot %d", what, slot), func(e *env) error {
			ids := make([]int32, 120)
			ids[slot] = id
			var m backend.Value
			if expertMap != nil {
				m = e.ints(expertMap, len(expertMap))
			}
			want.Token, want.Slot = slot/3, slot%3
			_, err := e.once(call, e.newPlan(r, 200), e.ints(ids, 40, 3), m)
			return wantExpertID(err, want)
		}})
	}
	for _, slot := range []int{0, 61, 119} {
		for _, id := range []int32{-2, 5, 1 << 16, math.MinInt32, math.MaxInt32} {
			bad(fmt.Sprintf("id %d", id), slot, id, nil, backend.ExpertIDError{ID: int(id), Experts: 5})
			bad(fmt.Sprintf("id mapped to %d", id), slot, 6, []int32{4, -1, 0, 1, 2, 3, id}, backend.ExpertIDError{ID: int(id), Experts: 5, Mapped: true})
		}
		for _, id := range []int32{-2, 7, 1 << 16, math.MinInt32, math.MaxInt32} {
			bad(fmt.Sprintf("id %d for a map of 7", id), slot, id, []int32{4, -1, 0, 1, 2, 3, -1}, backend.ExpertIDError{ID: int(id), Experts: 7})
		}
	}
	return append(checks,
		check{"R too small by one row", func(e *env) error {
			small := routing{tokens: 40, slots: 3, experts: 5, align: 1}
			ids := distinctIDs(e, small)
			return e.refuses(call, backend.ErrShape, refusal{"R", e.newPlan(small, 119), []backend.Value{e.ints(ids, 40, 3), nil}})
		}},
		check{"R too small for the padding", func(e *env) error {
			ids := distinctIDs(e, r)
			counted := r
			counted.size = rowsExact
			rows := counted.rows(ids) - 1
			return e.refuses(call, backend.ErrShape, refusal{"R", e.newPlan(r, rows), []backend.Value{e.ints(ids, 40, 3), nil}})
		}},
		check{"views", func(e *env) error {
			return e.views(call, e.newPlan(r, 200), e.ints(distinctIDs(e, r), 40, 3), nil)
		}},
		check{"misfits", func(e *env) error {
			ids, expertMap := e.ints(make([]int32, 120), 40, 3), e.ints(make([]int32, 7), 7)
			// A map of another length is of another number of experts, which no other operand tells.
			return e.refuses(call, nil, without(e.misfits(e.newPlan(r, 200), ids, expertMap), "wrong shape of source 1")...)
		}},
	)
}

func distinctIDs(e *env, r routing) []int32 {
	r.pattern = distinct
	return r.ids(e.rng)
}
