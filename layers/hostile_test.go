package layers_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

// Gorgonia would take the second for the first, and give its numbers.
func TestTwoWeightsOfOneNameAreAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	g := gorgonia.NewGraph()
	x, err := layers.Input(g, "x", random(r, 2, 4))
	if err != nil {
		t.Fatal(err)
	}
	first, second := layers.Linear{Name: "w", Weight: random(r, 3, 4)}, layers.Linear{Name: "w", Weight: random(r, 3, 4)}
	y, err := first.Fwd(x)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := first.Fwd(x); err != nil || again != y {
		t.Errorf("the same layer on the same node again: %v, %v, want the node of the first time", again, err)
	}
	if _, err := second.Fwd(x); !errors.Is(err, backend.ErrValue) {
		t.Errorf("another weight of that name: error %v, want ErrValue", err)
	}
	if _, err := layers.Input(g, "x", random(r, 2, 4)); !errors.Is(err, backend.ErrValue) {
		t.Errorf("another input of that name: error %v, want ErrValue", err)
	}
}

// A layer that was put together by hand and lacks something says so.
func TestIncompleteLayersAreErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	g := gorgonia.NewGraph()
	x, err := layers.Input(g, "x", random(r, 2, 4))
	if err != nil {
		t.Fatal(err)
	}
	constant := gorgonia.NewConstant(tensor.New(tensor.WithShape(2, 4), tensor.Of(tensor.Float32)))
	for name, fwd := range map[string]func() (*gorgonia.Node, error){
		"linear of no node":     func() (*gorgonia.Node, error) { return layers.Linear{Weight: random(r, 4, 4)}.Fwd(nil) },
		"linear of a constant":  func() (*gorgonia.Node, error) { return layers.Linear{Weight: random(r, 4, 4)}.Fwd(constant) },
		"linear, no weight":     func() (*gorgonia.Node, error) { return layers.Linear{}.Fwd(x) },
		"norm of no node":       func() (*gorgonia.Node, error) { return layers.RMSNorm{Weight: random(r, 4)}.Fwd(nil) },
		"norm without a weight": func() (*gorgonia.Node, error) { return layers.RMSNorm{}.Fwd(x) },
		"embedding of no node":  func() (*gorgonia.Node, error) { return layers.Embedding{Table: random(r, 4, 4)}.Fwd(nil) },
		"attention of no node":  func() (*gorgonia.Node, error) { return (&layers.Attention{}).Fwd(nil, nil, nil) },
		"moe of no node":        func() (*gorgonia.Node, error) { return (&layers.MoE{}).Fwd(nil) },
		"moe without a router":  func() (*gorgonia.Node, error) { return (&layers.MoE{}).Fwd(x) },
		"moe without experts":   func() (*gorgonia.Node, error) { return (&layers.MoE{Router: random(r, 2, 4)}).Fwd(x) },
		"moe of nil tensors": func() (*gorgonia.Node, error) {
			return (&layers.MoE{Router: random(r, 2, 4), W13: (*tensor.Dense)(nil), W2: (*tensor.Dense)(nil)}).Fwd(x)
		},
		"moe with flat experts": func() (*gorgonia.Node, error) {
			return (&layers.MoE{Router: random(r, 2, 4), W13: random(r, 4, 4), W2: random(r, 4, 4)}).Fwd(x)
		},
	} {
		if n, err := fwd(); err == nil {
			t.Errorf("%s: %v and no error", name, n)
		}
	}
	block := &layers.DecoderBlock{AttentionNorm: layers.RMSNorm{Weight: random(r, 4)}}
	for name, do := range map[string]func() error{
		"forward":  func() error { _, _, err := block.Fwd(x, x, x); return err },
		"moving":   func() error { _, err := block.To(backend.Host); return err },
		"packing":  func() error { _, err := block.Pack(); return err },
		"rounding": func() error { _, err := block.QuantizeWeights(backend.Q8_0); return err },
		"a nil tensor": func() error {
			_, err := layers.Linear{Weight: (*tensor.Dense)(nil)}.To(backend.Host)
			return err
		},
		"a nil tensor as input": func() error { _, err := layers.Input(g, "nil", (*tensor.Dense)(nil)); return err },
	} {
		if err := do(); !errors.Is(err, backend.ErrValue) {
			t.Errorf("%s: error %v, want ErrValue", name, err)
		}
	}
	if _, err := (layers.Linear{Weight: random(r, 4, 4)}).To(nil); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("moving to no device: error %v, want ErrParameter", err)
	}
	none := (*tensor.Dense)(nil)
	moe := &layers.MoE{MoEConfig: layers.MoEConfig{Name: "m"}, W2: none}
	attention := &layers.Attention{AttentionConfig: layers.AttentionConfig{Name: "a"}, O: none}
	linear, norm := layers.Linear{Name: "l", Weight: none}, layers.RMSNorm{Name: "n", Weight: none}
	embedding := layers.Embedding{Name: "e", Table: none}
	for layer, calls := range map[string][]func() error{
		`moe "m"`: {
			func() error { _, err := moe.To(backend.Host); return err },
			func() error { _, err := moe.Pack(); return err },
		},
		`attention "a"`: {
			func() error { _, err := attention.To(backend.Host); return err },
			func() error { _, err := attention.Pack(); return err },
		},
		`linear "l"`: {
			func() error { _, err := linear.To(backend.Host); return err },
			func() error { _, err := linear.Pack(); return err },
		},
		`rmsnorm "n"`:   {func() error { _, err := norm.To(backend.Host); return err }},
		`embedding "e"`: {func() error { _, err := embedding.To(backend.Host); return err }},
	} {
		for i, call := range calls {
			if err := call(); !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), layer) {
				t.Errorf("%s, call %d: error %v, want ErrValue and the layer's name", layer, i, err)
			}
		}
	}
	for name, l := range map[string]*layers.Attention{
		"no weight": {AttentionConfig: layers.AttentionConfig{HeadDim: 2}},
		"no width":  {K: random(r, 4, 4)},
		"nil K":     {AttentionConfig: layers.AttentionConfig{HeadDim: 2}, K: (*tensor.Dense)(nil)},
	} {
		if c, err := l.NewCache(3); !errors.Is(err, backend.ErrParameter) {
			t.Errorf("a cache of an attention layer with %s: %v, error %v", name, c, err)
		}
	}
}

// A batch of no tokens runs, again and again, and a token that is not finite keeps its NaN to itself.
func TestEmptyAndBrokenBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	router, experts := random(r, 4, 6), randomExperts(r, 4, 6, 5)
	for _, fusion := range []layers.Fusion{layers.FusionNone, layers.FusionWhole} {
		layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 2, Fusion: fusion}, router, experts)
		if err != nil {
			t.Fatal(err)
		}
		x := random(r, 3, 6)
		want := forward(t, layer, x)
		x.Data().([]float32)[6] = float32(math.NaN()) // token 1
		got := forward(t, layer, x)
		for j := range 6 {
			if got[j] != want[j] || got[12+j] != want[12+j] || got[6+j] == got[6+j] {
				t.Errorf("fusion %v: column %d is %v, %v, %v, want %v, NaN, %v", fusion, j, got[j], got[6+j], got[12+j], want[j], want[12+j])
			}
		}

		g := gorgonia.NewGraph()
		n, err := layers.Input(g, "x", tensor.New(tensor.WithShape(0, 6), tensor.Of(tensor.Float32)))
		if err != nil {
			t.Fatal(err)
		}
		y, err := layer.Fwd(n)
		if err != nil {
			t.Fatal(err)
		}
		m := gorgonia.NewTapeMachine(g)
		defer m.Close()
		for range 2 {
			if err := m.RunAll(); err != nil || !y.Value().Shape().Eq(tensor.Shape{0, 6}) {
				t.Errorf("fusion %v: no tokens give shape %v, error %v", fusion, y.Value().Shape(), err)
			}
			m.Reset()
		}
	}
}
