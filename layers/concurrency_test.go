package layers_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// TestManyGoroutinesShareALayer: 64 goroutines run one layer, each in a graph of its own or without one on a plan that all share,
// while the number of processors goes up and down. Every result has the bits of a run alone.
func TestManyGoroutinesShareALayer(t *testing.T) {
	const tokens, h, f, experts, k, runs = 40, 96, 64, 8, 2, 3
	r := rand.New(rand.NewPCG(8, 8))
	x, router, weights := random(r, tokens, h), random(r, experts, h), randomExperts(r, experts, h, f)
	plain, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: k}, router, weights)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := plain.Pack()
	if err != nil {
		t.Fatal(err)
	}
	small, err := plain.QuantizeWeights(ops.Q4_0)
	if err != nil {
		t.Fatal(err)
	}
	composed := *plain
	composed.Fusion = layers.FusionNone
	for name, layer := range map[string]*layers.MoE{"plain": plain, "packed": packed, "q4_0": small, "composed": &composed} {
		t.Run(name, func(t *testing.T) {
			want := forward(t, layer, x)
			run := shared(t, layer, x)
			alone, err := run()
			if err != nil {
				t.Fatal(err)
			}

			stop, stopped := make(chan struct{}), make(chan struct{})
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
			go func() {
				defer close(stopped)
				for procs := 1; ; procs = procs%7 + 1 {
					select {
					case <-stop:
						return
					default:
						runtime.GOMAXPROCS(procs)
						runtime.Gosched()
					}
				}
			}()
			var all sync.WaitGroup
			for i := range 64 {
				all.Go(func() {
					do, want := func() ([]float32, error) { return tryForward(layer, x) }, want
					if i%2 == 1 {
						do, want = run, alone
					}
					for range runs {
						got, err := do()
						if err != nil {
							t.Error(err)
							return
						}
						if !slices.Equal(got, want) {
							t.Errorf("goroutine %d has another result than a run alone", i)
							return
						}
					}
				})
			}
			all.Wait()
			close(stop)
			<-stopped
		})
	}
}

// shared is Experts of a layer on one plan for all calls.
func shared(t *testing.T, l *layers.MoE, x *tensor.Dense) func() ([]float32, error) {
	logits, err := ops.EvalLinear(x, l.Router)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ops.EvalTopK(logits, l.TopK)
	if err != nil {
		t.Fatal(err)
	}
	gates, err := ops.EvalGates(logits, ids, l.Gates)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := ops.EvalPlan(ids, nil, ops.PlanConfig{Experts: l.W2.Shape()[0]})
	if err != nil {
		t.Fatal(err)
	}
	return func() ([]float32, error) {
		y, err := ops.EvalExperts(x, gates, plan, l.W13, l.W2)
		if err != nil {
			return nil, err
		}
		return backend.Slice[float32](y)
	}
}
