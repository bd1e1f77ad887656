//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
)

// normals makes a host tensor of float32 from the standard normal distribution.
func normals(rng *rand.Rand, shape ...int) *tensor.Dense {
	elements := make([]float32, backend.Elements(shape))
	for i := range elements {
		elements[i] = float32(rng.NormFloat64())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(elements))
}

// routed is a graph from logits to the tokens' rows there and back: the stages of a layer but for the products.
type routed struct {
	graph     *gorgonia.ExprGraph
	x, logits *gorgonia.Node
	y         *gorgonia.Node
}

func newRouted(t testing.TB, x, logits backend.Value) routed {
	t.Helper()
	r := routed{graph: gorgonia.NewGraph()}
	node := func(v backend.Value, name string) *gorgonia.Node {
		return gorgonia.NewMatrix(r.graph, v.Dtype(), gorgonia.WithName(name), gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v))
	}
	r.x, r.logits = node(x, "x"), node(logits, "logits")
	ids := must(ops.TopK(r.logits, 2))(t)
	gates := must(ops.Gates(r.logits, ids, ops.SoftmaxTopK))(t)
	plan := must(ops.Plan(ids, nil, ops.PlanConfig{Experts: logits.Shape()[1], Align: 8}))(t)
	rows := must(ops.Permute(r.x, plan))(t)
	r.y = must(ops.Unpermute(rows, gates, plan))(t)
	return r
}

// TestTapeMachineIsCapturedOnce runs a graph of Gorgonia's on the GPU, then captures the run and replays it with new inputs.
func TestTapeMachineIsCapturedOnce(t *testing.T) {
	d := computingDevice(t)
	rng := rand.New(rand.NewPCG(8, 9))
	x := must(d.Upload(normals(rng, 37, 24)))(t).(*Array)
	logits := must(d.Upload(normals(rng, 37, 5)))(t).(*Array)
	r := newRouted(t, x, logits)
	machine := gorgonia.NewTapeMachine(r.graph)
	defer machine.Close()

	check := func(what string) {
		t.Helper()
		got := must(d.Download(r.y.Value()))(t).Data().([]float32)
		host := newRouted(t, must(d.Download(x))(t), must(d.Download(logits))(t))
		machine := gorgonia.NewTapeMachine(host.graph)
		defer machine.Close()
		if err := machine.RunAll(); err != nil {
			t.Fatal(err)
		}
		for i, want := range host.y.Value().Data().([]float32) {
			if diff := got[i] - want; diff > 1e-5 || diff < -1e-5 {
				t.Fatalf("%s: y[%d] = %v, on the CPU %v", what, i, got[i], want)
			}
		}
	}
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	check("run")

	machine.Reset()
	g := must(Capture(d, machine.RunAll))(t)
	defer g.Close()
	for range 3 {
		if err := errors.Join(x.CopyFrom(normals(rng, 37, 24)), logits.CopyFrom(normals(rng, 37, 5)), g.Replay()); err != nil {
			t.Fatal(err)
		}
		check("replay")
	}
}

// TestBadIDsAreReportedOnce has an op fail on the GPU: the run succeeds, the next synchronisation reports it.
func TestBadIDsAreReportedOnce(t *testing.T) {
	d := computingDevice(t)
	ids := must(d.Upload(tensor.New(tensor.WithShape(3, 2), tensor.WithBacking([]int32{0, 1, -1, 2, 1, 7}))))(t)
	plan := must(ops.EvalPlan(ids, nil, ops.PlanConfig{Experts: 3}))(t)
	_, err := d.Download(plan.Counts)
	var bad *backend.ExpertIDError
	if !errors.As(err, &bad) || *bad != (backend.ExpertIDError{Token: 2, Slot: 1, ID: 7, Experts: 3}) {
		t.Errorf("error %v, want one that names token 2, slot 1, id 7 and 3 experts", err)
	}
	if err := d.Sync(); err != nil {
		t.Errorf("reported twice: %v", err)
	}
	must(d.Download(plan.Counts))(t)
}

// TestManyGoroutinesCompute has 64 goroutines run the same graph, each its own machine, on the same operands.
func TestManyGoroutinesCompute(t *testing.T) {
	d := computingDevice(t)
	rng := rand.New(rand.NewPCG(10, 11))
	x, logits := must(d.Upload(normals(rng, 65, 130)))(t), must(d.Upload(normals(rng, 65, 9)))(t)
	results := make([]backend.Value, 64)
	var wg sync.WaitGroup
	for i := range results {
		r := newRouted(t, x, logits)
		wg.Go(func() {
			machine := gorgonia.NewTapeMachine(r.graph)
			defer machine.Close()
			for range 10 {
				if err := machine.RunAll(); err != nil {
					t.Error(err)
					return
				}
				got, err := d.Download(r.y.Value())
				if err != nil {
					t.Error(err)
					return
				}
				if results[i] != nil && !sameBytes(results[i], got) {
					t.Errorf("goroutine %d: two runs differ", i)
				}
				results[i] = got
				machine.Reset()
			}
		})
	}
	wg.Wait()
	for i := range results {
		if !sameBytes(results[i], results[0]) {
			t.Errorf("goroutines %d and 0 differ", i)
		}
	}
}

// TestRunsLeakNothing runs stages whose results nobody keeps.
func TestRunsLeakNothing(t *testing.T) {
	d := testDevice(t)
	rng := rand.New(rand.NewPCG(12, 13))
	x, logits := must(d.Upload(normals(rng, 64, 256)))(t), must(d.Upload(normals(rng, 64, 8)))(t)
	run := func(n int) int64 {
		for range n {
			ids := must(ops.EvalTopK(logits, 2))(t)
			plan := must(ops.EvalPlan(ids, nil, ops.PlanConfig{Experts: 8, Align: 16}))(t)
			must(ops.EvalPermute(x, plan))(t)
		}
		if err := errors.Join(d.Sync(), d.Trim()); err != nil {
			t.Fatal(err)
		}
		m := must(d.Memory())(t)
		return m.Total - m.Free
	}
	before := run(100)
	if after := run(5000); after > before+16<<20 {
		t.Errorf("%d bytes of the GPU are taken after 5000 runs, %d after 100", after, before)
	}
}
