package cpu

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// stageCall is a stage with operands of some size bound to it.
type stageCall struct {
	name string
	run  func() error
	out  backend.Value
}

// stageCalls are the stages that route and move rows of T tokens, to be run in this order.
func stageCalls(t testing.TB, dt tensor.Dtype, tokens int) []stageCall {
	const hidden, experts, slots, align = 40, 24, 3, 4
	rng := rand.New(rand.NewPCG(7, 8))
	random := func(shape ...int) *tensor.Dense {
		x := make([]float64, backend.Elements(shape))
		for i := range x {
			x[i] = rng.NormFloat64()
		}
		return floatTensor(t, dt, shape, x...)
	}
	bound, err := backend.RowBound(tokens, slots, experts, align)
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPlan(t, tokens, slots, experts, align, bound)
	q, err := backend.NewQuantized(backend.Host, tensor.Shape{tokens, hidden}, 1, 16)
	if err != nil {
		t.Fatal(err)
	}
	x, logits, ids := random(tokens, hidden), random(tokens, experts), hostTensor[int32](t, []int{tokens, slots})
	gates := hostTensor[float32](t, []int{tokens, slots})
	rows, y := floatTensor(t, dt, []int{bound, hidden}), floatTensor(t, dt, []int{tokens, hidden})
	activated := floatTensor(t, dt, []int{bound, hidden / 2})
	calls := []stageCall{{"TopK", func() error { return Go{}.TopK(ids, logits) }, ids}}
	for _, mode := range gateModes {
		calls = append(calls, stageCall{"Gates " + mode.String(), func() error { return Go{}.Gates(gates, logits, ids, mode) }, gates})
	}
	return append(calls,
		stageCall{"Plan", func() error { return Go{}.Plan(p, ids, nil) }, p},
		stageCall{"Permute", func() error { return Go{}.Permute(rows, x, p) }, rows},
		stageCall{"SwiGLU", func() error { return Go{}.SwiGLU(activated, rows) }, activated},
		stageCall{"Unpermute", func() error { return Go{}.Unpermute(y, rows, gates, p) }, y},
		stageCall{"Quantize", func() error { return Go{}.Quantize(q, x) }, q},
	)
}

func bytesIn(t testing.TB, v backend.Value) []byte {
	t.Helper()
	if c, ok := v.(backend.Composite); ok {
		var all []byte
		for _, part := range c.Parts() {
			all = append(all, bytesIn(t, part)...)
		}
		return all
	}
	b, err := backend.Bytes(v)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b)
}

func TestStagesDoNotDependOnGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, dt := range floatDtypes {
		var want [][]byte
		for _, procs := range []int{1, 2, 3, 8} {
			runtime.GOMAXPROCS(procs)
			for i, call := range stageCalls(t, dt, 10_007) {
				if err := call.run(); err != nil {
					t.Fatal(err)
				}
				got := bytesIn(t, call.out)
				if i == len(want) {
					want = append(want, got)
				} else if !bytes.Equal(got, want[i]) {
					t.Errorf("%v, %s: other bits for GOMAXPROCS = %d", dt, call.name, procs)
				}
			}
		}
	}
}

// TestStagesDoNotAllocatePerRow: a stage may allocate for the call and for the few pieces of its loop.
func TestStagesDoNotAllocatePerRow(t *testing.T) {
	for _, dt := range floatDtypes {
		for _, call := range stageCalls(t, dt, 5_000) {
			if err := call.run(); err != nil {
				t.Fatal(err)
			}
			allocs := testing.AllocsPerRun(5, func() {
				if err := call.run(); err != nil {
					t.Error(err)
				}
			})
			if allocs > 40 {
				t.Errorf("%v, %s: %v allocations for 5000 tokens, want at most 40", dt, call.name, allocs)
			}
		}
	}
}
