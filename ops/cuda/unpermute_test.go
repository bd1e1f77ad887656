//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// TestUnpermuteGroups lets warps have 1, 2 and 4 tokens, with all slots here and with about one of each token's. All numbers are
// small integers or halves, so that the host's sums are exact.
func TestUnpermuteGroups(t *testing.T) {
	for _, c := range []struct {
		tokens, slots, hidden int
		sparse                bool
		group                 int
	}{
		{3, 2, 8, false, 1},
		{257, 8, 264, true, 1},
		{5001, 8, 264, true, 1},
		{1001, 33, 8200, true, 1}, // more slots of a token than lanes
		{7001, 3, 520, false, 2},  // the second chunk of a row is short, the last group has one token
		{28003, 8, 264, true, 4},  // the last group has three
		{28003, 2, 262, true, 4},  // rows of no multiple of 16 bytes
		{2003, 33, 8200, true, 4}, // more slots of a token than lanes
	} {
		t.Run(fmt.Sprintf("T=%d/K=%d/H=%d", c.tokens, c.slots, c.hidden), func(t *testing.T) {
			testUnpermuteGroup(t, c.tokens, c.slots, c.hidden, c.sparse, c.group)
		})
	}
}

func testUnpermuteGroup(t *testing.T, tokens, slots, hidden int, sparse bool, group int) {
	const experts = 5
	d := computingDevice(t)
	rng := rand.New(rand.NewPCG(uint64(tokens), uint64(hidden)))
	ids, gates := make([]int32, tokens*slots), make([]float32, tokens*slots)
	counts := make([]int32, experts)
	for i := range ids {
		ids[i], gates[i] = -1, []float32{-1, 0.5, 1, 2}[rng.IntN(4)]
		if !sparse || rng.IntN(slots+1) == 0 {
			ids[i] = int32(rng.IntN(experts))
			counts[ids[i]]++
		}
	}
	upload := func(v *tensor.Dense) *Array { return must(d.Upload(v))(t).(*Array) }
	matrix := func(rows, cols int, backing any) *tensor.Dense {
		return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(backing))
	}
	r := must(backend.RowsForCounts(counts, 1))(t)
	plan := must(ops.EvalPlan(upload(matrix(tokens, slots, ids)), nil, ops.PlanConfig{Experts: experts, Rows: r}))(t)
	if got := unpermuteGroup(plan, 2*hidden); got != group {
		t.Fatalf("a warp has %d tokens, want %d", got, group)
	}
	rows := make([]backend.BF16, r*hidden)
	for i := range rows {
		rows[i] = backend.ToBF16(float32(rng.IntN(9) - 4))
	}
	y := must(d.New(backend.BFloat16, tensor.Shape{tokens, hidden}))(t).(*Array)
	err := errors.Join(y.poison(), Portable{}.Unpermute(y, upload(matrix(r, hidden, rows)), upload(matrix(tokens, slots, gates)), plan), d.Sync())
	if err != nil {
		t.Fatal(err)
	}
	got := must(backend.Slice[backend.BF16](must(d.Download(y))(t)))(t)
	slotRow := must(backend.Slice[int32](must(d.Download(plan.SlotRow))(t)))(t)
	sum := make([]float32, hidden)
	for token := range tokens {
		clear(sum)
		for slot := token * slots; slot < (token+1)*slots; slot++ {
			if row := slotRow[slot]; row >= 0 {
				for i, x := range rows[int(row)*hidden:][:hidden] {
					sum[i] += gates[slot] * x.Float32()
				}
			}
		}
		for i, want := range sum {
			if got := got[token*hidden+i]; got != backend.ToBF16(want) {
				t.Fatalf("y[%d,%d] = %v, want %v", token, i, got, want)
			}
		}
	}
}
