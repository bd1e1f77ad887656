package layers_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

func random(r *rand.Rand, shape ...int) *tensor.Dense {
	data := make([]float32, tensor.Shape(shape).TotalSize())
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

func randomExperts(r *rand.Rand, e, h, f int) []layers.Expert {
	out := make([]layers.Expert, e)
	for i := range out {
		out[i] = layers.Expert{W1: random(r, f, h), W3: random(r, f, h), W2: random(r, h, f)}
	}
	return out
}

func at(v backend.Value, i, j int) float64 {
	return float64(v.Data().([]float32)[i*v.Shape()[v.Shape().Dims()-1]+j])
}

func dot(w backend.Value, i int, x []float64) (sum float64) {
	for j := range x {
		sum += at(w, i, j) * x[j]
	}
	return sum
}

// denseMoE is the oracle: every expert that the token chose, one after the other, in float64. It also gives the sum of the
// magnitudes that went into each element.
func denseMoE(x, router backend.Value, experts []layers.Expert, k int, here []int32) (y, magnitude [][]float64) {
	for t := range x.Shape()[0] {
		row := make([]float64, x.Shape()[1])
		for j := range row {
			row[j] = at(x, t, j)
		}
		logits, order := make([]float64, router.Shape()[0]), make([]int, router.Shape()[0])
		for e := range logits {
			logits[e], order[e] = dot(router, e, row), e
		}
		slices.SortStableFunc(order, func(a, b int) int {
			if logits[a] > logits[b] {
				return -1
			}
			return 1
		})
		total := 0.0
		for _, e := range order[:k] {
			total += math.Exp(logits[e] - logits[order[0]])
		}
		out, size := make([]float64, len(row)), make([]float64, len(row))
		for _, e := range order[:k] {
			gate, local := math.Exp(logits[e]-logits[order[0]])/total, e
			if here != nil {
				local = int(here[e])
			}
			if local < 0 {
				continue
			}
			w := experts[local]
			h := make([]float64, w.W1.Shape()[0])
			for f := range h {
				v := dot(w.W1, f, row)
				h[f] = v / (1 + math.Exp(-v)) * dot(w.W3, f, row)
			}
			for j := range out {
				out[j] += gate * dot(w.W2, j, h)
				for f := range h {
					size[j] += gate * math.Abs(at(w.W2, j, f)*h[f])
				}
			}
		}
		y, magnitude = append(y, out), append(magnitude, size)
	}
	return y, magnitude
}

func TestMoEEqualsDenseOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(1, uint64(len(t.Name()))))
	for _, c := range []struct{ t, h, f, e, k, align int }{
		{1, 4, 3, 2, 1, 1}, {5, 7, 9, 4, 2, 1}, {17, 16, 5, 8, 2, 8}, {3, 130, 33, 16, 4, 16}, {40, 3, 2, 3, 3, 128}, {1, 1, 1, 1, 1, 1}, {0, 4, 3, 2, 1, 8},
	} {
		x, router, experts := random(r, c.t, c.h), random(r, c.e, c.h), randomExperts(r, c.e, c.h, c.f)
		want, size := denseMoE(x, router, experts, c.k, nil)
		var all [][]float32
		for _, fusion := range []layers.Fusion{layers.FusionAuto, layers.FusionNone, layers.FusionWhole} {
			layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: c.k, Align: c.align, Fusion: fusion}, router, experts)
			if err != nil {
				t.Fatal(err)
			}
			got := forward(t, layer, x)
			all = append(all, got)
			check(t, got, want, size, c.h+c.f)
		}
		for i := range all[0] {
			// FusionAuto builds the same node as FusionWhole. FusionNone rounds elsewhere; the oracle above holds all three.
			if all[0][i] != all[2][i] {
				t.Fatalf("%+v: element %d is %v by itself, %v fused", c, i, all[0][i], all[2][i])
			}
		}
	}
}

// check holds got to want within the float32 rounding of sums of n products whose magnitudes add up to size.
func check(t *testing.T, got []float32, want, size [][]float64, n int) {
	t.Helper()
	for i, row := range want {
		for j, w := range row {
			g := float64(got[i*len(row)+j])
			if bound := float64(n+8) * 0x1p-23 * (size[i][j] + 1e-30) * 4; math.IsNaN(g) || math.Abs(g-w) > bound {
				t.Fatalf("y[%d,%d] = %v, want %v ± %v", i, j, g, w, bound)
			}
		}
	}
}

func forward(t *testing.T, layer *layers.MoE, x backend.Value) []float32 {
	t.Helper()
	y, err := tryForward(layer, x)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

func tryForward(layer *layers.MoE, x backend.Value) ([]float32, error) {
	in, err := layers.Input(gorgonia.NewGraph(), "x", x)
	if err != nil {
		return nil, err
	}
	y, err := layer.Fwd(in)
	if err != nil {
		return nil, err
	}
	return tryRun(y)
}

// run executes y's graph once and gives the elements of y.
func run(t *testing.T, y *gorgonia.Node) []float32 {
	t.Helper()
	out, err := tryRun(y)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryRun(y *gorgonia.Node) ([]float32, error) {
	m := gorgonia.NewTapeMachine(y.Graph())
	defer m.Close()
	if err := m.RunAll(); err != nil {
		return nil, err
	}
	return backend.Slice[float32](y.Value())
}

// Two ranks with half of the experts each add up to the whole.
func TestExpertMapSplitsALayer(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 3))
	x, router, experts := random(r, 9, 6), random(r, 4, 6), randomExperts(r, 4, 6, 5)
	halves := []struct {
		here    []int32
		experts []layers.Expert
	}{
		{[]int32{-1, 0, -1, 1}, []layers.Expert{experts[1], experts[3]}},
		{[]int32{1, -1, 0, -1}, []layers.Expert{experts[2], experts[0]}},
	}
	sum := make([]float32, 9*6)
	for _, half := range halves {
		layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 2, ExpertMap: half.here}, router, half.experts)
		if err != nil {
			t.Fatal(err)
		}
		want, size := denseMoE(x, router, half.experts, 2, half.here)
		got := forward(t, layer, x)
		check(t, got, want, size, 11)
		for i, v := range got {
			sum[i] += v
		}
	}
	whole, size := denseMoE(x, router, experts, 2, nil)
	check(t, sum, whole, size, 11)
}

func TestBadLayersAreErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	router, experts := random(r, 3, 4), randomExperts(r, 3, 4, 5)
	if _, err := layers.NewMoE(layers.MoEConfig{}, router, nil); !errors.Is(err, backend.ErrShape) {
		t.Errorf("no experts: %v", err)
	}
	if _, err := layers.NewMoE(layers.MoEConfig{}, router, []layers.Expert{{W1: experts[0].W1}}); !errors.Is(err, backend.ErrValue) {
		t.Errorf("an expert without w2: %v", err)
	}
	other := slices.Clone(experts)
	other[2].W1 = random(r, 6, 4)
	if _, err := layers.NewMoE(layers.MoEConfig{}, router, other); !errors.Is(err, backend.ErrShape) {
		t.Errorf("experts of two widths: %v", err)
	}
	for name, c := range map[string]struct {
		config  layers.MoEConfig
		experts []layers.Expert
		want    error
	}{
		"fewer experts than the router knows": {layers.MoEConfig{TopK: 1}, experts[:2], backend.ErrShape},
		"a short expert map":                  {layers.MoEConfig{TopK: 1, ExpertMap: []int32{0, 1}}, experts, backend.ErrShape},
		"k = 0":                               {layers.MoEConfig{}, experts, backend.ErrParameter},
		"k > E":                               {layers.MoEConfig{TopK: 4}, experts, backend.ErrParameter},
		"gates of an unknown mode":            {layers.MoEConfig{TopK: 1, Gates: ops.SoftmaxRenormalized + 1}, experts, backend.ErrParameter},
		"an unknown fusion":                   {layers.MoEConfig{TopK: 1, Fusion: layers.FusionWhole + 1}, experts, backend.ErrParameter},
	} {
		layer, err := layers.NewMoE(c.config, router, c.experts)
		if err != nil {
			t.Fatal(err)
		}
		g := gorgonia.NewGraph()
		x, err := layers.Input(g, "x", random(r, 2, 4))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := layer.Fwd(x); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := layers.Input(gorgonia.NewGraph(), "x", nil); !errors.Is(err, backend.ErrValue) {
		t.Errorf("an input without a value: %v", err)
	}
}
