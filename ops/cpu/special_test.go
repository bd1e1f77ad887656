package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TestVariantsAreNotFiniteWherePlainGoIsNot puts NaNs, infinities and zeros of both signs among the operands of the stages
// that compute, at any rate, and holds the variants to plain Go: what is NaN, +Inf or −Inf there is the same here, and nothing else is.
// The queries see up to four chunks of a cache, by a window or without; positions of Rotary are any int32.
func TestVariantsAreNotFiniteWherePlainGoIsNot(t *testing.T) {
	const kvHeads, heads, d = 2, 4, 32
	rounds := 200
	if testing.Short() {
		rounds = 50
	}
	rng := rand.New(rand.NewPCG(51, 52))
	among := func(list ...tensor.Dtype) tensor.Dtype { return list[rng.IntN(len(list))] }
	draw := func(dt tensor.Dtype, rate int, shape ...int) *tensor.Dense {
		special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), 100, -100}
		x := make([]float64, backend.Elements(shape))
		for i := range x {
			x[i] = rng.NormFloat64()
			if rng.IntN(rate) == 0 {
				x[i] = special[rng.IntN(len(special))]
			}
		}
		return floatTensor(t, dt, shape, x...)
	}
	for range rounds {
		rate := []int{3, 20, 200, 2000}[rng.IntN(4)]
		dt := among(tensor.Float32, backend.BFloat16)
		tokens, hidden, columns, capacity := 1+rng.IntN(5), 1+rng.IntN(200), 1+rng.IntN(70), 1+rng.IntN(900)
		window := rng.IntN(3) * rng.IntN(400)
		x, pairs, q := draw(dt, rate, tokens, hidden), draw(dt, rate, tokens, 2*hidden), draw(dt, rate, tokens, heads*d)
		norm := draw(among(tensor.Float32, dt), rate, hidden)
		w := draw(among(tensor.Float32, backend.BFloat16, backend.Float16), rate, columns, hidden)
		cache := &backend.KVCache{Capacity: capacity, KVHeads: kvHeads, HeadDim: d}
		cache.Keys, cache.Values = draw(dt, rate, capacity, kvHeads*d), draw(dt, rate, capacity, kvHeads*d)
		seen, turned := make([]int32, tokens), make([]int32, tokens)
		for i := range seen {
			seen[i], turned[i] = int32(rng.IntN(capacity)), int32(rng.Uint32())>>rng.IntN(20)
		}
		positions, turns := hostTensor(t, []int{tokens}, seen...), hostTensor(t, []int{tokens}, turned...)
		type stages interface {
			rowStages
			backend.Linear
		}
		for _, stage := range []struct {
			name  string
			width int
			run   func(s stages, out backend.Value) error
		}{
			{"SwiGLU", hidden, func(s stages, out backend.Value) error { return s.SwiGLU(out, pairs) }},
			{"RMSNorm", hidden, func(s stages, out backend.Value) error { return s.RMSNorm(out, x, norm, 1e-5) }},
			{"Rotary", heads * d, func(s stages, out backend.Value) error { return s.Rotary(out, q, turns, d, 1e4) }},
			{"Linear", columns, func(s stages, out backend.Value) error { return s.Linear(out, x, w) }},
			{"Attention", heads * d, func(s stages, out backend.Value) error { return s.Attention(out, q, cache, positions, window) }},
		} {
			expected := poisoned(t, dt, tokens, stage.width)
			if err := stage.run(Go{}, expected); err != nil {
				t.Fatal(err)
			}
			want := floatsIn(t, expected)
			for _, s := range someVariants(t, func(k *kernels) bool { return hasVectors(k) && hasFormats(k) }) {
				out := floatTensor(t, dt, []int{tokens, stage.width}, make([]float64, tokens*stage.width)...)
				if err := stage.run(s, out); err != nil {
					t.Fatal(err)
				}
				for i, got := range floatsIn(t, out) {
					if finite := got-got == 0; finite != (want[i]-want[i] == 0) || !finite && got != want[i] && !(math.IsNaN(got) && math.IsNaN(want[i])) {
						t.Fatalf("%s, %s, %v, T=%d, window %d of %d, one in %d special: element %d is %v, in plain Go %v",
							s.name, stage.name, dt, tokens, window, capacity, rate, i, got, want[i])
					}
				}
			}
		}
	}
}
