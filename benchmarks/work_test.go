package main

import (
	"errors"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cpu"
)

// Every work runs on small shapes, with all the dtypes that it says it takes, again and again.
func TestEveryWorkRuns(t *testing.T) {
	whole := shape{name: "whole", H: 16, F: 6, E: 4, K: 2, G: 4, Q: 2, P: 1, D: 8, V: 10}
	for i := range works {
		w := &works[i]
		t.Run(w.name, func(t *testing.T) {
			weights := w.weights
			if len(weights) == 0 {
				weights = []*dtype{f32}
			}
			for _, s := range []shape{small, whole} {
				for _, dt := range weights {
					cached := &store{}
					for _, activations := range w.activations {
						for n, tokens := range []int{1, 5} {
							o := &options{routing: routings[1], device: backend.Host, activations: activations, context: 3, layers: 2, align: 4, pack: n > 0}
							if o.rows = boundRows; n > 0 {
								o.rows = exactRows
							}
							b := benchmark{work: w, shape: s, tokens: tokens, dtype: dt, store: cached}
							_, run, err := b.prepare(o)
							var variant string
							for n := 0; n < 2 && err == nil; n++ {
								variant, err = w.variant(run)
							}
							if err == nil && variant == "" {
								err = errors.New("nobody took its stage")
							}
							if err != nil {
								t.Fatalf("%v, activations %s: %v", &b, activations.name, err)
							}
						}
					}
				}
			}
		})
	}
}

// picky is a backend that is asked first and takes bfloat16 alone.
type picky struct{}

func (picky) Name() string { return "picky" }

func (picky) Add(_, a, _ backend.Value) error {
	if a.Dtype() != backend.BFloat16 {
		return backend.ErrUnsupported
	}
	return nil
}

// A record names the backend that did the work, not the one that declined it.
func TestVariantIsWhoRan(t *testing.T) {
	backend.Register("picky", 1, picky{})
	backend.Register("picky", 0, cpu.Go{})
	add := func(dt tensor.Dtype) (string, error) {
		x := tensor.New(tensor.Of(dt), tensor.WithShape(2, 2))
		run := func() error {
			return backend.Dispatch(pickyDevice{backend.Host}, "add", func(b backend.Add) error { return b.Add(x, x, x) })
		}
		return (&work{stage: "add"}).variant(run)
	}
	for dt, want := range map[tensor.Dtype]string{tensor.Float32: "cpu/go", backend.BFloat16: "picky"} {
		if got, err := add(dt); got != want || err != nil {
			t.Errorf("%v: %q, error %v, want %q", dt, got, err, want)
		}
	}
	if got, err := (&work{peer: "other"}).variant(func() error { return nil }); got != "other" || err != nil {
		t.Errorf("a peer's work: %q, error %v", got, err)
	}
}

// pickyDevice is the host under another kind.
type pickyDevice struct{ backend.Device }

func (pickyDevice) Kind() string { return "picky" }

func TestSetupErrorsAreReported(t *testing.T) {
	narrow := shape{name: "narrow", H: 2, F: 3, E: 4, K: 1, G: 4, Q: 1, P: 1, D: 2, V: 3}
	for name, want := range map[string]string{"moe": "want H ≥ G", "layer": "want H ≥ G", "model": "vocabulary of 3"} {
		list, err := selectWorks(name)
		if err != nil {
			t.Fatal(err)
		}
		b := benchmark{work: list[0], shape: narrow, tokens: 5, dtype: f32, store: &store{}}
		o := &options{routing: routings[0], device: backend.Host, activations: f32, layers: 1, align: 1}
		if _, _, err := b.prepare(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
}

// The router of every layer sends the tokens where the routing says.
func TestModelFollowsTheRouting(t *testing.T) {
	for _, routing := range routings {
		s := shape{name: "s", H: 64, F: 32, E: 5, K: 3, G: 8, Q: 4, P: 2, D: 16, V: 30}
		ids, err := routing.ids(20, &s)
		if err != nil {
			t.Fatal(err)
		}
		p := &problem{shape: s, tokens: 20, context: 4, layers: 3, align: 1, weights: bf16, activations: f32, device: backend.Host, ids: ids, store: &store{}}
		m, err := newModel(p)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := m.run(); err != nil {
				t.Fatal(err)
			}
		}
		if len(m.routing) != 3 {
			t.Fatalf("%d layers, want 3", len(m.routing))
		}
		for i, r := range m.routing {
			got, err := backend.Slice[int32](r.Plan.Value().(*backend.Plan).Counts)
			if err != nil {
				t.Fatal(err)
			}
			for e, n := range p.counts() {
				if got[e] != n {
					t.Errorf("%s, layer %d: expert %d has %d rows, want %d", routing.name, i, e, got[e], n)
				}
			}
		}
	}
}

func TestWeightsAreKeptForTheNextCase(t *testing.T) {
	p := handProblem()
	a, b := p.w13(), p.w13()
	if a != b {
		t.Error("a weight is made twice")
	}
	p.weights = f32
	c := p.w13()
	if c == a || c.Dtype() != f32.of {
		t.Errorf("after a change of dtype: %v", c)
	}
	if p.weights = bf16; p.w13() == a {
		t.Error("the weights of the dtype before last are still kept")
	}
	plain := p.w2()
	if p.pack = true; p.w2() == plain {
		t.Error("a plain weight is taken for a packed one")
	}
	if p.err != nil {
		t.Fatal(p.err)
	}
}

func TestRandomNumbersFillTheTensor(t *testing.T) {
	for _, dt := range allDtypes {
		v, err := newRandom(backend.Host, dt, 0.5, 3, fillChunk/2+1)
		if err != nil {
			t.Fatal(err)
		}
		x := widened(t, v)
		var sum, big float32
		for _, f := range x {
			sum += f
			big = max(big, f, -f)
		}
		if mean := sum / float32(len(x)); mean < -0.01 || mean > 0.01 || big > 0.5 || big < 0.45 || x[len(x)-1] == 0 {
			t.Errorf("%s: mean %v, largest %v, last %v", dt.name, mean, big, x[len(x)-1])
		}
	}
}

// widened gives the elements of a tensor as float32.
func widened(t *testing.T, v backend.Value) []float32 {
	t.Helper()
	x := make([]float32, backend.Elements(v.Shape()))
	var err error
	switch v.Dtype() {
	case f32.of:
		err = widen[float32](x, v)
	case bf16.of:
		err = widen[backend.BF16](x, v)
	case f16.of:
		err = widen[backend.F16](x, v)
	default:
		err = widen[backend.F8E4M3](x, v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func widen[T backend.Number](dst []float32, v backend.Value) error {
	src, err := backend.Slice[T](v)
	backend.Widen(dst, src)
	return err
}
