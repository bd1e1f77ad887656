package cpu

import (
	"runtime"
	"slices"
	"testing"

	"gorgonia.org/tensor"
)

// TestTasksKeepAllWorkersBusy hands the tasks of a product out one by one, each to the worker that is done first, as the pool does: from
// the first worker's end to the last one's no more than a tenth of the work of one passes, be it one hot expert that has all rows or
// many experts with a few.
func TestTasksKeepAllWorkersBusy(t *testing.T) {
	const n, d, workers = 512, 256, 8
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(workers))
	for name, c := range map[string]struct {
		experts, tokens int
		expert          func(token int) int
	}{
		"one hot expert":         {64, 512, func(int) int { return 17 }},
		"128 experts of 4":       {128, 512, func(token int) int { return token % 128 }},
		"128 experts of 1":       {128, 128, func(token int) int { return token }},
		"a hot one among others": {64, 700, func(token int) int { return max(token-600, 0) % 64 }},
	} {
		ids := make([]int32, c.tokens)
		for i := range ids {
			ids[i] = int32(c.expert(i))
		}
		p := planOf(t, c.tokens, 1, c.experts, 1, ids...)
		zeros := func(shape ...int) *tensor.Dense {
			return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(shape...))
		}
		for _, v := range someVariants(t, hasAll) {
			g := getGEMM(v.k)
			if !g.operands(zeros(p.Rows, n), zeros(p.Rows, d), zeros(c.experts, n, d)) || !g.cutPlan(p) {
				t.Fatal("the operands are declined")
			}
			if placed := g.place(0); placed != len(g.strips) {
				t.Fatalf("%d of %d strips have a place", placed, len(g.strips))
			}
			g.divide(g.strips)
			busy, total := make([]int, workers), 0
			for _, task := range g.tasks {
				first := slices.Index(busy, slices.Min(busy))
				busy[first] += g.weight(task.strip) * task.cols
				total += g.weight(task.strip) * task.cols
			}
			if idle := slices.Max(busy) - slices.Min(busy); idle > total/workers/10 {
				t.Errorf("%s, %s: %d tasks, a worker waits for %d of %d", name, v.name, len(g.tasks), idle, total/workers)
			}
			g.put()
		}
	}
}
