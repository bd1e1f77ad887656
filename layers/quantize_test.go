package layers_test

import (
	"errors"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// TestQuantizedMoEEqualsDenseOracle holds a quantised layer to the oracle of the weights that it stands for.
func TestQuantizedMoEEqualsDenseOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	x, router, experts := random(r, 19, 37), random(r, 4, 37), randomExperts(r, 4, 37, 33)
	for _, format := range []backend.BlockFormat{ops.Q8_0, ops.Q4_0} {
		rounded := make([]layers.Expert, len(experts))
		for e, w := range experts {
			rounded[e] = layers.Expert{W1: roundTrip(t, w.W1, format), W3: roundTrip(t, w.W3, format), W2: roundTrip(t, w.W2, format)}
		}
		want, size := denseMoE(x, router, rounded, 2, nil)
		for _, fusion := range []layers.Fusion{layers.FusionNone, layers.FusionWhole} {
			layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 2, Fusion: fusion}, router, experts)
			if err != nil {
				t.Fatal(err)
			}
			before := layer.W13
			quantized, err := layer.QuantizeWeights(format)
			if err != nil {
				t.Fatal(err)
			}
			if layer.W13 != before {
				t.Fatal("the layer itself was changed")
			}
			// What gates, ups and the second product are made of may be rounded by 2⁻¹⁶ of the largest element of a block, which
			// is about 4 times the mean: 3·4·2⁻¹⁶ is what check allows for 384 more terms.
			check(t, forward(t, quantized, x), want, size, 37+33+384)
			again, err := quantized.Pack()
			if err != nil || again.W13 != quantized.W13 {
				t.Fatalf("packing gives %v, error %v, want the blocks as they are", again.W13, err)
			}
		}
	}
}

// roundTrip is what is left of a weight in blocks.
func roundTrip(t *testing.T, w backend.Value, format backend.BlockFormat) backend.Value {
	t.Helper()
	q, err := ops.QuantizeBlocks(w, format)
	if err != nil {
		t.Fatal(err)
	}
	v, err := q.Unpack()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestQuantizedBlockIsNearTheBlock runs a decoder block in q8_0.
func TestQuantizedBlockIsNearTheBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	l, x := randomBlock(t, r), random(r, 11, hidden)
	q, err := l.QuantizeWeights(ops.Q8_0)
	if err != nil {
		t.Fatal(err)
	}
	run := func(l *layers.DecoderBlock) []float32 {
		cache, err := l.Attention.NewCache(11)
		if err != nil {
			t.Fatal(err)
		}
		return runBlock(t, l, cache, x, 0)
	}
	got, want := run(q), run(l)
	var distance, length float64
	for i := range want {
		distance += float64(got[i]-want[i]) * float64(got[i]-want[i])
		length += float64(want[i]) * float64(want[i])
	}
	if ratio := math.Sqrt(distance / length); ratio == 0 || !(ratio < 0.02) {
		t.Fatalf("the output is off by %v of its length, want some, below 0.02", ratio)
	}
}

func TestQuantizeWeightsRefuses(t *testing.T) {
	if _, err := (&layers.DecoderBlock{}).QuantizeWeights(ops.Q8_0); !errors.Is(err, backend.ErrValue) {
		t.Errorf("an incomplete block: error %v, want %v", err, backend.ErrValue)
	}
	w := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{1, float32(math.NaN())}))
	if _, err := (layers.Linear{Name: "l", Weight: w}).QuantizeWeights(ops.Q4_0); !errors.Is(err, backend.ErrValue) {
		t.Errorf("a NaN: error %v, want %v", err, backend.ErrValue)
	}
	for name, call := range map[string]func() error{
		`"moe"`: func() error {
			_, err := (&layers.MoE{MoEConfig: layers.MoEConfig{Name: "moe"}, W2: w}).QuantizeWeights(ops.Q8_0)
			return err
		},
		`"self_attn"`: func() error {
			_, err := (&layers.Attention{AttentionConfig: layers.AttentionConfig{Name: "self_attn"}, O: w}).QuantizeWeights(ops.Q8_0)
			return err
		},
		`"lm_head"`: func() error {
			_, err := (layers.Linear{Name: "lm_head", Weight: w}).QuantizeWeights(ops.Q8_0)
			return err
		},
	} {
		if err := call(); !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), name) {
			t.Errorf("a NaN in layer %s: error %v, want %v and the name", name, err, backend.ErrValue)
		}
	}
	if _, err := (&layers.MoE{W13: w}).QuantizeWeights(backend.BlockFormat(9)); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("an unknown format: error %v, want %v", err, backend.ErrParameter)
	}
	if empty, err := (layers.Linear{Name: "l"}).QuantizeWeights(ops.Q8_0); err != nil || empty.Weight != nil {
		t.Errorf("a layer without a weight: %v, %v", empty.Weight, err)
	}
}

// The experts' weights become 8.5 bits an element once, when the layer is made; the graph is built as before.
func ExampleMoE_QuantizeWeights() {
	matrix := func(rows, cols int, data ...float32) *tensor.Dense {
		return tensor.New(tensor.WithShape(rows, cols), tensor.WithBacking(data))
	}
	experts := []layers.Expert{
		{W1: matrix(1, 1, 50), W3: matrix(1, 1, 0.02), W2: matrix(1, 1, 3)},
		{W1: matrix(1, 1, 50), W3: matrix(1, 1, 0.02), W2: matrix(1, 1, -1)},
	}
	layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 1}, matrix(2, 1, 1, -1), experts)
	if err != nil {
		log.Fatal(err)
	}
	if layer, err = layer.QuantizeWeights(ops.Q8_0); err != nil {
		log.Fatal(err)
	}
	g := gorgonia.NewGraph()
	x := gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(3, 1), gorgonia.WithValue(matrix(3, 1, 1, 2, 4)))
	y, err := layer.Fwd(x)
	if err != nil {
		log.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	if err := machine.RunAll(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(layer.W2)
	fmt.Printf("%.2f\n", y.Value().Data())
	if err := machine.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// BlockQuantized{q8_0 (2, 1, 1)}
	// [3.00 12.00 48.01]
}
