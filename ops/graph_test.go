package ops_test

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// Every op alone in a graph, forward, against an oracle of a few lines in float64. Sizes divide nothing. That each backend
// computes each stage rightly for every dtype and edge is what package conformance tests.

const (
	nT, nH, nF, nE, nK = 11, 19, 7, 5, 3
	nD, nHeads, nKV    = 6, 4, 2 // attention: head width, query heads, key/value heads
)

// world is random data that the oracles read.
type world struct {
	x, logits, w13, w2, norm, gateUp, q, keys, values *tensor.Dense
	ids, positions                                    *tensor.Dense
	gates                                             *tensor.Dense
	plan                                              *backend.Plan
	rows                                              *tensor.Dense
}

func newWorld(t *testing.T) *world {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	random := func(shape ...int) *tensor.Dense {
		data := make([]float32, tensor.Shape(shape).TotalSize())
		for i := range data {
			data[i] = float32(r.NormFloat64())
		}
		return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
	}
	w := &world{
		x: random(nT, nH), logits: random(nT, nE), w13: random(nE, 2*nF, nH), w2: random(nE, nH, nF), norm: random(nH),
		gateUp: random(nT, 2*nF), q: random(nT, nHeads*nD), keys: random(nT, nKV*nD), values: random(nT, nKV*nD), gates: random(nT, nK),
	}
	choice := make([]int32, 0, nT*nK)
	position := make([]int32, nT)
	for t := range nT {
		for _, e := range r.Perm(nE)[:nK] {
			choice = append(choice, int32(e))
		}
		position[t] = int32(t)
	}
	choice[4] = -1 // token 1, slot 1 is not here
	w.ids = ids(nT, nK, choice...)
	w.positions = tensor.New(tensor.WithShape(nT), tensor.WithBacking(position))
	w.plan = must[*backend.Plan](t)(ops.EvalPlan(w.ids, nil, ops.PlanConfig{Experts: nE, Align: 4}))
	w.rows = random(w.plan.Rows, nH)
	return w
}

func num(v backend.Value, i, j int) float64 {
	return float64(v.Data().([]float32)[i*v.Shape()[len(v.Shape())-1]+j])
}

func int32s(v backend.Value) []int32 { return v.(*tensor.Dense).Data().([]int32) }

// inner is the product of row i of a with row j of b, both of width d.
func inner(a backend.Value, i int, b backend.Value, j, d int) (sum float64) {
	for k := range d {
		sum += num(a, i, k) * num(b, j, k)
	}
	return sum
}

func TestOpsInAGraph(t *testing.T) {
	w := newWorld(t)
	rowSlot, rowExpert, slotRow := int32s(w.plan.RowSlot), int32s(w.plan.RowExpert), int32s(w.plan.SlotRow)
	type nodes = map[string]*gorgonia.Node
	cases := []struct {
		name   string
		in     map[string]gorgonia.Value
		build  func(n nodes) (*gorgonia.Node, error)
		oracle func(i, j int) float64
		shape  tensor.Shape
	}{
		{"Gates", map[string]gorgonia.Value{"logits": w.logits, "ids": w.ids},
			func(n nodes) (*gorgonia.Node, error) { return ops.Gates(n["logits"], n["ids"], ops.SoftmaxTopK) },
			func(i, j int) float64 {
				sum := 0.0
				for _, e := range int32s(w.ids)[i*nK : (i+1)*nK] {
					if e >= 0 {
						sum += math.Exp(num(w.logits, i, int(e)))
					}
				}
				if e := int32s(w.ids)[i*nK+j]; e >= 0 {
					return math.Exp(num(w.logits, i, int(e))) / sum
				}
				return 0
			}, tensor.Shape{nT, nK}},
		{"Permute", map[string]gorgonia.Value{"x": w.x, "plan": w.plan},
			func(n nodes) (*gorgonia.Node, error) { return ops.Permute(n["x"], n["plan"]) },
			func(i, j int) float64 {
				if rowSlot[i] < 0 {
					return 0
				}
				return num(w.x, int(rowSlot[i])/nK, j)
			}, tensor.Shape{w.plan.Rows, nH}},
		{"GroupedMatMul", map[string]gorgonia.Value{"rows": w.rows, "w": w.w13, "plan": w.plan},
			func(n nodes) (*gorgonia.Node, error) { return ops.GroupedMatMul(n["rows"], n["w"], n["plan"]) },
			func(i, j int) float64 {
				if rowExpert[i] < 0 {
					return 0
				}
				return inner(w.rows, i, w.w13, int(rowExpert[i])*2*nF+j, nH)
			}, tensor.Shape{w.plan.Rows, 2 * nF}},
		{"SwiGLU", map[string]gorgonia.Value{"x": w.gateUp},
			func(n nodes) (*gorgonia.Node, error) { return ops.SwiGLU(n["x"]) },
			func(i, j int) float64 {
				v := num(w.gateUp, i, j)
				return v / (1 + math.Exp(-v)) * num(w.gateUp, i, nF+j)
			}, tensor.Shape{nT, nF}},
		{"Unpermute", map[string]gorgonia.Value{"rows": w.rows, "gates": w.gates, "plan": w.plan},
			func(n nodes) (*gorgonia.Node, error) { return ops.Unpermute(n["rows"], n["gates"], n["plan"]) },
			func(i, j int) (sum float64) {
				for k := range nK {
					if r := slotRow[i*nK+k]; r >= 0 {
						sum += num(w.gates, i, k) * num(w.rows, int(r), j)
					}
				}
				return sum
			}, tensor.Shape{nT, nH}},
		{"Experts", map[string]gorgonia.Value{"x": w.x, "gates": w.gates, "plan": w.plan, "w13": w.w13, "w2": w.w2},
			func(n nodes) (*gorgonia.Node, error) {
				return ops.Experts(n["x"], n["gates"], n["plan"], n["w13"], n["w2"])
			},
			func(i, j int) (sum float64) {
				for k := range nK {
					e := int(int32s(w.ids)[i*nK+k])
					for f := 0; e >= 0 && f < nF; f++ {
						v := inner(w.x, i, w.w13, e*2*nF+f, nH)
						h := v / (1 + math.Exp(-v)) * inner(w.x, i, w.w13, e*2*nF+nF+f, nH)
						sum += num(w.gates, i, k) * h * num(w.w2, e*nH+j, f)
					}
				}
				return sum
			}, tensor.Shape{nT, nH}},
		{"Linear", map[string]gorgonia.Value{"x": w.logits, "w": w.logits},
			func(n nodes) (*gorgonia.Node, error) { return ops.Linear(n["x"], n["w"]) },
			func(i, j int) float64 { return inner(w.logits, i, w.logits, j, nE) }, tensor.Shape{nT, nT}},
		{"RMSNorm", map[string]gorgonia.Value{"x": w.x, "w": w.norm},
			func(n nodes) (*gorgonia.Node, error) { return ops.RMSNorm(n["x"], n["w"], 1e-5) },
			func(i, j int) float64 {
				return num(w.norm, 0, j) * num(w.x, i, j) / math.Sqrt(inner(w.x, i, w.x, i, nH)/nH+1e-5)
			}, tensor.Shape{nT, nH}},
		{"Rotary", map[string]gorgonia.Value{"x": w.q, "positions": w.positions},
			func(n nodes) (*gorgonia.Node, error) { return ops.Rotary(n["x"], n["positions"], nD, 1e4) },
			func(i, j int) float64 {
				head, c := j/nD*nD, j%nD
				s, cos := math.Sincos(float64(i) * math.Pow(1e4, -float64(c%(nD/2))/(nD/2)))
				if c < nD/2 {
					return num(w.q, i, j)*cos - num(w.q, i, head+c+nD/2)*s
				}
				return num(w.q, i, j)*cos + num(w.q, i, head+c-nD/2)*s
			}, tensor.Shape{nT, nHeads * nD}},
		{"Attention", map[string]gorgonia.Value{"q": w.q, "k": w.keys, "v": w.values, "positions": w.positions,
			"cache": must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, nT+2, nKV, nD))},
			func(n nodes) (*gorgonia.Node, error) {
				cache, err := ops.CacheAppend(n["cache"], n["k"], n["v"], n["positions"])
				if err != nil {
					return nil, err
				}
				return ops.Attention(n["q"], cache, n["positions"], ops.AttentionConfig{HeadDim: nD, Window: 5})
			},
			func(i, j int) float64 {
				head, kv := j/nD*nD, j/nD/(nHeads/nKV)*nD
				var sum, total float64
				for p := max(0, i-4); p <= i; p++ {
					score := 0.0
					for c := range nD {
						score += num(w.q, i, head+c) * num(w.keys, p, kv+c)
					}
					e := math.Exp(score / math.Sqrt(nD))
					sum, total = sum+e*num(w.values, p, kv+j%nD), total+e
				}
				return sum / total
			}, tensor.Shape{nT, nHeads * nD}},
		{"Embedding", map[string]gorgonia.Value{"table": w.x, "ids": w.positions},
			func(n nodes) (*gorgonia.Node, error) { return ops.Embedding(tensor.Float32, n["table"], n["ids"]) },
			func(i, j int) float64 { return num(w.x, i, j) }, tensor.Shape{nT, nH}},
		{"Add", map[string]gorgonia.Value{"a": w.x, "b": w.x},
			func(n nodes) (*gorgonia.Node, error) { return ops.Add(n["a"], n["b"]) },
			func(i, j int) float64 { return 2 * num(w.x, i, j) }, tensor.Shape{nT, nH}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := gorgonia.NewGraph()
			n := nodes{}
			for name, v := range c.in {
				n[name] = node(g, name, v)
			}
			out := must[*gorgonia.Node](t)(c.build(n))
			run(t, g)
			if !out.Shape().Eq(c.shape) || !out.Value().Shape().Eq(c.shape) {
				t.Fatalf("shape %v in the graph, %v of the value, want %v", out.Shape(), out.Value().Shape(), c.shape)
			}
			for i := range c.shape[0] {
				for j := range c.shape[1] {
					got, want := num(out.Value(), i, j), c.oracle(i, j)
					if !(math.Abs(got-want) <= 2e-5*(1+math.Abs(want))) {
						t.Fatalf("[%d,%d] = %v, want %v", i, j, got, want)
					}
				}
			}
		})
	}
}

func TestTopKInAGraph(t *testing.T) {
	w := newWorld(t)
	g := gorgonia.NewGraph()
	out := must[*gorgonia.Node](t)(ops.TopK(node(g, "logits", w.logits), nK))
	run(t, g)
	for i := range nT {
		order := make([]int, nE)
		for e := range order {
			order[e] = e
		}
		sort.SliceStable(order, func(a, b int) bool { return num(w.logits, i, order[a]) > num(w.logits, i, order[b]) })
		for k := range nK {
			if got := int32s(out.Value())[i*nK+k]; int(got) != order[k] {
				t.Errorf("token %d, slot %d: expert %d, want %d", i, k, got, order[k])
			}
		}
	}
}

func TestPlanInAGraph(t *testing.T) {
	w := newWorld(t)
	expertMap := tensor.New(tensor.WithShape(nE), tensor.WithBacking([]int32{1, -1, 0, -1, 2}))
	g := gorgonia.NewGraph()
	out := must[*gorgonia.Node](t)(ops.Plan(node(g, "ids", w.ids), node(g, "map", expertMap), ops.PlanConfig{Experts: 3, Align: 8}))
	run(t, g)
	p := out.Value().(*backend.Plan)
	row := 0
	for e := range 3 {
		for slot, id := range int32s(w.ids) {
			if id >= 0 && int(int32s(expertMap)[id]) == e {
				if int(int32s(p.RowSlot)[row]) != slot || int(int32s(p.SlotRow)[slot]) != row || int(int32s(p.RowExpert)[row]) != e {
					t.Fatalf("row %d is slot %d of expert %d, want slot %d of expert %d", row,
						int32s(p.RowSlot)[row], int32s(p.RowExpert)[row], slot, e)
				}
				row++
			}
		}
		for ; row%8 != 0; row++ {
			if int32s(p.RowSlot)[row] != -1 || int32s(p.RowExpert)[row] != -1 {
				t.Fatalf("row %d is padding and not marked so", row)
			}
		}
	}
	if out.Shape()[0] != p.Rows || p.Rows < row {
		t.Errorf("R = %d in the graph, %d in the plan, %d rows are used", out.Shape()[0], p.Rows, row)
	}
}

func TestQuantizedRowsTravelWithTheirScales(t *testing.T) {
	w := newWorld(t)
	g := gorgonia.NewGraph()
	x, plan := node(g, "x", w.x), node(g, "plan", w.plan)
	n1 := must[*gorgonia.Node](t)
	q := n1(ops.Quantize(x))
	whole := n1(ops.Permute(q, plan))
	codes, scales := n1(ops.Permute(n1(ops.Codes(q)), plan)), n1(ops.Permute(n1(ops.Scales(q)), plan))
	run(t, g)
	rows := whole.Value().(*backend.Quantized)
	for i, c := range rows.Codes.Data().([]backend.F8E4M3) {
		if c != codes.Value().Data().([]backend.F8E4M3)[i] {
			t.Fatalf("code %d differs between the value moved whole and in parts", i)
		}
	}
	for r := range w.plan.Rows {
		scale := num(scales.Value(), r, 0)
		if scale != num(rows.Scales, r, 0) {
			t.Fatalf("scale %d differs between the value moved whole and in parts", r)
		}
		slot := int(int32s(w.plan.RowSlot)[r])
		for j := 0; slot >= 0 && j < nH; j++ {
			got, want := float64(rows.Codes.Data().([]backend.F8E4M3)[r*nH+j].Float32())*scale, num(w.x, slot/nK, j)
			if math.Abs(got-want) > math.Max(math.Abs(want)/16, scale*0x1p-10)*1.0001 { // half a step of three mantissa bits
				t.Fatalf("row %d, column %d: %v, want about %v", r, j, got, want)
			}
		}
	}
}
