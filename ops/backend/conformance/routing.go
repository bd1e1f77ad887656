package conformance

import (
	"fmt"
	"math/rand/v2"

	"github.com/gorgonia/moe/ops/backend"
)

// pattern draws the expert ids of one token.
type pattern struct {
	name string
	draw func(r *rand.Rand, ids []int32, experts int)
}

var (
	// distinct experts, as TopK chooses them; −1 where there are fewer experts than slots.
	distinct = pattern{"distinct", func(r *rand.Rand, ids []int32, experts int) {
		order := r.Perm(experts)
		for k := range ids {
			ids[k] = -1
			if k < experts {
				ids[k] = int32(order[k])
			}
		}
	}}
	// one expert has every slot, the others none.
	oneExpert = pattern{"one expert", func(_ *rand.Rand, ids []int32, experts int) {
		for k := range ids {
			ids[k] = int32(experts - 1)
		}
	}}
	// few experts have the slots, and a token has the same one several times.
	repeated = pattern{"repeated", func(r *rand.Rand, ids []int32, experts int) {
		for k := range ids {
			ids[k] = int32(r.IntN((experts + 1) / 2))
		}
	}}
	// some slots are not here.
	partial = pattern{"partial", func(r *rand.Rand, ids []int32, experts int) {
		distinct.draw(r, ids, experts)
		for k := range ids {
			if r.IntN(2) == 0 {
				ids[k] = -1
			}
		}
	}}
	// no slot is here.
	absent = pattern{"absent", func(_ *rand.Rand, ids []int32, _ int) {
		for k := range ids {
			ids[k] = -1
		}
	}}
)

// routing is the sizes of a plan and what its ids look like.
type routing struct {
	tokens, slots, experts, align int
	pattern                       pattern
	size                          rowsChoice
}

// rowsChoice is how R is chosen.
type rowsChoice int

const (
	rowsBound rowsChoice = iota // RowBound
	rowsExact                   // RowsForCounts
	rowsSpare                   // three rows more than the bound, which is no multiple of most alignments
)

func (r routing) String() string {
	size := [...]string{"bound", "exact", "spare"}[r.size]
	return fmt.Sprintf("%s/T=%d,K=%d,E=%d,A=%d,R=%s", r.pattern.name, r.tokens, r.slots, r.experts, r.align, size)
}

// routings are small cases that together have every alignment, pattern and choice of R.
var routings = []routing{
	{0, 2, 8, 16, distinct, rowsBound},
	{0, 2, 8, 16, distinct, rowsSpare},
	{1, 1, 1, 1, distinct, rowsExact},
	{1, 2, 8, 128, distinct, rowsBound},
	{5, 4, 3, 8, distinct, rowsBound},
	{33, 2, 8, 16, distinct, rowsExact},
	{130, 1, 3, 64, distinct, rowsSpare},
	{7, 32, 257, 1, distinct, rowsBound},
	{19, 4, 257, 8, repeated, rowsSpare},
	{50, 2, 8, 128, oneExpert, rowsBound},
	{31, 4, 8, 1, repeated, rowsExact},
	{33, 3, 8, 16, partial, rowsBound},
	{9, 2, 8, 64, absent, rowsBound},
	{9, 2, 8, 1, absent, rowsExact},
}

// ids draws the ids of all tokens.
func (r routing) ids(rng *rand.Rand) []int32 {
	ids := make([]int32, r.tokens*r.slots)
	for t := range r.tokens {
		r.pattern.draw(rng, ids[t*r.slots:(t+1)*r.slots], r.experts)
	}
	return ids
}

// rows is R for these local experts of the slots.
func (r routing) rows(local []int32) int {
	if r.size == rowsExact {
		counts := make([]int32, r.experts)
		for _, e := range local {
			if e >= 0 {
				counts[e]++
			}
		}
		return must(backend.RowsForCounts(counts, r.align))
	}
	rows := must(backend.RowBound(r.tokens, r.slots, r.experts, r.align))
	if r.size == rowsSpare {
		rows += 3
	}
	return rows
}

// newPlan makes a host plan of these sizes; its tables have margins.
func (e *env) newPlan(r routing, rows int) *backend.Plan {
	return e.poisoned(must(backend.NewPlan(backend.Host, r.tokens, r.slots, r.experts, r.align, rows)), garbageNaN).(*backend.Plan)
}

// routed is a filled host plan with its tables at hand.
type routed struct {
	*backend.Plan
	slotRow, rowSlot, rowExpert []int32
}

// plan draws ids and makes the plan of them.
func (e *env) plan(r routing) routed {
	ids := r.ids(e.rng)
	p := e.newPlan(r, r.rows(ids))
	fillPlan(p, ids)
	return routed{p, must(backend.Slice[int32](p.SlotRow)), must(backend.Slice[int32](p.RowSlot)), must(backend.Slice[int32](p.RowExpert))}
}

// padding lists the rows that are nobody's.
func (p routed) padding() []int {
	var rows []int
	for r, slot := range p.rowSlot {
		if slot < 0 {
			rows = append(rows, r)
		}
	}
	return rows
}

// elementsOfRows lists the elements of some rows of a matrix.
func elementsOfRows(rows []int, width int) []int {
	var at []int
	for _, r := range rows {
		for j := range width {
			at = append(at, r*width+j)
		}
	}
	return at
}
