package layers_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

func TestPackedMoEEqualsDenseOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	x, router, experts := random(r, 19, 37), random(r, 4, 37), randomExperts(r, 4, 37, 33)
	want, size := denseMoE(x, router, experts, 2, nil)
	for _, fusion := range []layers.Fusion{layers.FusionNone, layers.FusionWhole} {
		layer, err := layers.NewMoE(layers.MoEConfig{Name: "moe", TopK: 2, Fusion: fusion}, router, experts)
		if err != nil {
			t.Fatal(err)
		}
		before := layer.W13
		packed, err := layer.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if layer.W13 != before {
			t.Fatal("the layer itself was changed")
		}
		check(t, forward(t, packed, x), want, size, 37+33)
	}
}

func TestPackedBlockEqualsUnpacked(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	l, x := randomBlock(t, r), random(r, 11, hidden)
	p, err := l.Pack()
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
	got, want := run(p), run(l)
	for i := range want {
		if d := got[i] - want[i]; !(d*d <= 1e-8*(1+want[i]*want[i])) {
			t.Fatalf("element %d is %v packed, %v unpacked", i, got[i], want[i])
		}
	}
}

func TestPackOfAnIncompleteBlockIsAnError(t *testing.T) {
	if _, err := (&layers.DecoderBlock{}).Pack(); !errors.Is(err, backend.ErrValue) {
		t.Fatalf("error %v, want %v", err, backend.ErrValue)
	}
}

func TestPackedLinearKeepsItsWeight(t *testing.T) {
	w := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	l, err := layers.Linear{Name: "l", Weight: w}.Pack()
	if err != nil {
		t.Fatal(err)
	}
	if !l.Weight.Shape().Eq(w.Shape()) || l.Weight.Dtype() != w.Dtype() {
		t.Fatalf("packed: %v %v, want %v %v", l.Weight.Dtype(), l.Weight.Shape(), w.Dtype(), w.Shape())
	}
	if p, ok := l.Weight.(backend.Packed); ok {
		plain, err := p.Unpack()
		if err != nil {
			t.Fatal(err)
		}
		for i, x := range plain.Data().([]float32) {
			if x != float32(i+1) {
				t.Fatalf("element %d is %v", i, x)
			}
		}
	}
	if empty, err := (layers.Linear{Name: "l"}).Pack(); err != nil || empty.Weight != nil {
		t.Fatalf("a layer without a weight: %v, %v", empty.Weight, err)
	}
}
