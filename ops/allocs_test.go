package ops_test

import (
	"runtime/debug"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// step is an op with the value of its register and its inputs.
type step struct {
	name string
	op   gorgonia.UsePreallocDoer
	out  gorgonia.Value
	in   []gorgonia.Value
}

// run computes the op into its register.
func (s *step) run(t *testing.T) {
	t.Helper()
	s.out = must[gorgonia.Value](t)(s.op.UsePreallocDo(s.out, s.in...))
}

// layerSteps are the ops of a MoE layer of E = 4, K = 2, whose registers hold values.
func layerSteps(t *testing.T, x *tensor.Dense, w13, w2 backend.Value) []*step {
	t.Helper()
	g := gorgonia.NewGraph()
	var list []*step
	run := func(n *gorgonia.Node, in ...gorgonia.Value) gorgonia.Value {
		s := &step{name: n.Op().String(), op: n.Op().(gorgonia.UsePreallocDoer), in: in}
		s.run(t)
		list = append(list, s)
		return s.out
	}
	do := must[*gorgonia.Node](t)
	router := tensor.New(tensor.Of(x.Dtype()), tensor.WithShape(4, x.Shape()[1]))
	tokens := node(g, "x", x)
	logits := do(ops.Linear(tokens, node(g, "router", router)))
	chosen := do(ops.TopK(logits, 2))
	gates := do(ops.Gates(logits, chosen, ops.SoftmaxTopK))
	plan := do(ops.Plan(chosen, nil, ops.PlanConfig{Experts: 4}))
	y := do(ops.Experts(tokens, gates, plan, node(g, "w13", w13), node(g, "w2", w2)))

	l := run(logits, x, router)
	i := run(chosen, l)
	run(y, x, run(gates, l, i), run(plan, i), w13, w2)
	return list
}

// TestLayerAllocatesNothingOfItsSize runs the ops of a layer into registers that hold values, for weights of all kinds that fused stages
// take: each op needs a few words for its own checks, of whatever kind and size its operands are, and the backend nothing.
func TestLayerAllocatesNothingOfItsSize(t *testing.T) {
	const h, f, few = 64, 96, 6
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool drop scratch memory at random")
	}
	fused := false
	defer backend.Observe(func(stage string, _ backend.Backend) { fused = fused || stage == "experts" })()
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		for _, kind := range []string{"f32", "bf16", "f16", "q8_0", "q4_0"} {
			w13, w2 := weightLike(t, kind, 4, 2*f, h), weightLike(t, kind, 4, h, f)
			for _, tokens := range []int{1, 40} {
				fused = false
				steps := layerSteps(t, tensor.New(tensor.Of(dt), tensor.WithShape(tokens, h)), w13, w2)
				if !fused {
					t.Skipf("no backend here has a fused stage for %v and %s", dt, kind)
				}
				for _, s := range steps {
					if n := testing.AllocsPerRun(20, func() { s.run(t) }); n > few {
						t.Errorf("%v, %s, %d tokens, %s: %v allocations, want at most %d", dt, kind, tokens, s.name, n, few)
					}
				}
			}
		}
	}
}

// weightLike is a weight of zeros.
func weightLike(t *testing.T, kind string, shape ...int) backend.Value {
	t.Helper()
	n := backend.Elements(shape)
	switch kind {
	case "f32":
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]float32, n)))
	case "bf16":
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]backend.BF16, n)))
	case "f16":
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(make([]backend.F16, n)))
	}
	format := map[string]backend.BlockFormat{"q8_0": ops.Q8_0, "q4_0": ops.Q4_0}[kind]
	return must[*backend.BlockQuantized](t)(ops.QuantizeBlocks(weightLike(t, "f32", shape...), format))
}
