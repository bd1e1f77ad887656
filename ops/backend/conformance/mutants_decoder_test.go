package conformance

import (
	"errors"
	"math"

	"github.com/gorgonia/moe/ops/backend"
)

// numericMutants break Quantize and RMSNorm.
var numericMutants = []mutant{
	{"one scale for all blocks of a row", "Quantize", quantizeMutant{f: func(r reference, q *backend.Quantized, x backend.Value) error {
		if err := r.Quantize(q, x); err != nil {
			return err
		}
		n := lastDim(q.Scales)
		return editFloats(q.Scales, func(s []float64) {
			for i := range s {
				s[i] = s[i-i%n]
			}
		})
	}}},
	{"codes are cut off and not rounded", "Quantize", quantizeMutant{f: func(r reference, q *backend.Quantized, x backend.Value) error {
		if err := r.Quantize(q, x); err != nil {
			return err
		}
		codes, scales, f := must(backend.Slice[backend.F8E4M3](q.Codes)), must(load(q.Scales)), must(load(x))
		for i, c := range codes {
			if math.Abs(float64(c.Float32())) > math.Abs(f[i]/scales[scaleIndex(q, i)]) {
				codes[i]--
			}
		}
		return nil
	}}},
	{"a block of zeros has scale 0", "Quantize", quantizeMutant{f: func(r reference, q *backend.Quantized, x backend.Value) error {
		if err := r.Quantize(q, x); err != nil {
			return err
		}
		f := must(load(x))
		zero := make([]bool, backend.Elements(q.Scales.Shape()))
		for i := range zero {
			zero[i] = true
		}
		for i, v := range f {
			zero[scaleIndex(q, i)] = zero[scaleIndex(q, i)] && v == 0
		}
		return editFloats(q.Scales, func(s []float64) {
			for i := range s {
				if zero[i] {
					s[i] = 0
				}
			}
		})
	}}},
	{"NaN becomes 0", "Quantize", quantizeMutant{f: func(r reference, q *backend.Quantized, x backend.Value) error {
		return r.Quantize(q, edited(x, func(v float64) float64 { return orElse(v, 0) }))
	}}},

	{"eps outside the root", "RMSNorm", rmsNormMutant{f: func(r reference, out, x, w backend.Value, eps float64) error {
		return r.RMSNorm(out, x, w, eps*eps)
	}}},
	{"squares are in Float16", "RMSNorm", rmsNormMutant{f: func(r reference, out, x, w backend.Value, eps float64) error {
		return r.RMSNorm(out, edited(x, func(v float64) float64 {
			return math.Copysign(math.Sqrt(float64(backend.ToF16(float32(v*v)).Float32())), v)
		}), w, eps)
	}}},
	{"infinities are the greatest numbers", "RMSNorm", rmsNormMutant{f: func(r reference, out, x, w backend.Value, eps float64) error {
		return r.RMSNorm(out, edited(x, func(v float64) float64 { return max(-65504, min(v, 65504)) }), w, eps)
	}}},
	{"the weight is added", "RMSNorm", rmsNormMutant{f: func(r reference, out, x, w backend.Value, eps float64) error {
		return r.RMSNorm(out, x, edited(w, func(v float64) float64 { return 1 + v }), eps)
	}}},
}

// decoderMutants break the stages around the experts.
var decoderMutants = []mutant{
	{"pairs of neighbours", "Rotary", rotaryMutant{f: func(r reference, out, x, positions backend.Value, d int, base float64) error {
		if d < 2 || d%2 != 0 {
			return r.Rotary(out, x, positions, d, base)
		}
		split := func(i int) int { return i - i%d + i%d%2*(d/2) + i%d/2 } // where element i of the pairs lies in the halves
		join := func(i int) int { return i - i%d + i%d%(d/2)*2 + i%d/(d/2) }
		if err := r.Rotary(out, rearranged(x, join), positions, d, base); err != nil {
			return err
		}
		turned := must(load(out))
		return editFloats(out, func(f []float64) {
			for i := range f {
				f[i] = turned[split(i)]
			}
		})
	}}},
	{"frequencies twice as dense", "Rotary", rotaryMutant{f: func(r reference, out, x, positions backend.Value, d int, base float64) error {
		return r.Rotary(out, x, positions, d, base*base)
	}}},
	{"a position's sign is dropped", "Rotary", rotaryMutant{f: func(r reference, out, x, positions backend.Value, d int, base float64) error {
		return r.Rotary(out, x, editedInts(positions, func(p int32) int32 { return max(p, -p) }), d, base)
	}}},
	{"the other direction", "Rotary", rotaryMutant{f: func(r reference, out, x, positions backend.Value, d int, base float64) error {
		return r.Rotary(out, x, editedInts(positions, func(p int32) int32 { return -p }), d, base)
	}}},

	{"a value of the last position is dropped", "CacheAppend", cacheMutant{f: func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error {
		if n := backend.Elements(values.Shape()); n > 0 {
			values = editedAt(values, func(i int, x float64) float64 {
				if i == n-1 {
					return 0
				}
				return x
			})
		}
		return r.CacheAppend(c, keys, values, positions)
	}}},
	{"keys and values change places", "CacheAppend", cacheMutant{f: func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error {
		return r.CacheAppend(c, values, keys, positions)
	}}},
	{"values of another dtype are keys", "CacheAppend", cacheMutant{f: func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error {
		if values.Dtype() != keys.Dtype() {
			values = keys
		}
		return r.CacheAppend(c, keys, values, positions)
	}}},
	{"positions are clamped", "CacheAppend", cacheMutant{f: func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error {
		return r.CacheAppend(c, keys, values, clampedTo(positions, c.Capacity))
	}}},
	{"the rest of the cache is cleared", "CacheAppend", cacheMutant{f: func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error {
		for _, part := range leaves(c) {
			set(must(backend.Bytes(part)), 0)
		}
		return r.CacheAppend(c, keys, values, positions)
	}}},

	{"the window is one too wide", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		if window > 0 {
			window++
		}
		return r.Attention(out, q, c, positions, window)
	}}},
	{"scores are not scaled", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		return r.Attention(out, edited(q, func(x float64) float64 { return x * math.Sqrt(float64(c.HeadDim)) }), c, positions, window)
	}}},
	{"heads take the cache's heads in turn", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		n, d := lastDim(q), c.HeadDim
		if n == 0 || n%(c.KVHeads*d) != 0 {
			return r.Attention(out, q, c, positions, window)
		}
		group := n / d / c.KVHeads
		place := func(i int) int { // where head h lies if the heads of each group are put side by side
			h := i % n / d
			return i - i%n + (h%c.KVHeads*group+h/c.KVHeads)*d + i%d
		}
		from := make([]int, backend.Elements(q.Shape()))
		for i := range from {
			from[place(i)] = i
		}
		if err := r.Attention(out, rearranged(q, func(i int) int { return from[i] }), c, positions, window); err != nil {
			return err
		}
		sorted := must(load(out))
		return editFloats(out, func(f []float64) {
			for i := range f {
				f[i] = sorted[place(i)]
			}
		})
	}}},
	{"NaN in the cache counts as 0", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		finite := *c
		zero := func(x float64) float64 {
			if math.IsNaN(x) {
				return 0
			}
			return x
		}
		finite.Keys, finite.Values = edited(c.Keys, zero), edited(c.Values, zero)
		return r.Attention(out, q, &finite, positions, window)
	}}},
	{"the query's own position is not seen", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		return r.Attention(out, q, c, editedInts(positions, func(p int32) int32 {
			if p > 0 && int(p) < c.Capacity {
				p--
			}
			return p
		}), window)
	}}},
	{"positions are clamped", "Attention", attentionMutant{f: func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
		return r.Attention(out, q, c, clampedTo(positions, c.Capacity), window)
	}}},

	{"the last column is dropped", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		return r.Linear(out, withoutLastColumn(x), w)
	}}},
	{"operands are rounded to BFloat16", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		return r.Linear(out, edited(x, roundBF16), w)
	}}},
	{"ids are clamped", "Embedding", embeddingMutant{f: func(r reference, out, table, ids backend.Value) error {
		if table.Shape().Dims() == 0 {
			return r.Embedding(out, table, ids)
		}
		return r.Embedding(out, table, clampedTo(ids, table.Shape()[0]))
	}}},
	{"infinities are the greatest numbers", "Embedding", embeddingMutant{f: func(r reference, out, table, ids backend.Value) error {
		return r.Embedding(out, edited(table, func(x float64) float64 { return max(-3e4, min(x, 3e4)) }), ids)
	}}},
	{"the destination is cleared first", "Add", addMutant{f: func(r reference, out, a, b backend.Value) error {
		if isFloat(out.Dtype()) && out.Dtype() == a.Dtype() && a.Dtype() == b.Dtype() {
			set(must(backend.Bytes(out)), 0)
		}
		return r.Add(out, a, b)
	}}},
	{"the sum saturates", "Add", addMutant{f: func(r reference, out, a, b backend.Value) error {
		return errors.Join(r.Add(out, a, b), editFloats(out, func(f []float64) {
			each(f, func(x float64) float64 { return max(-6.5e4, min(x, 6.5e4)) })
		}))
	}}},
}

// clampedTo is positions with each moved into [0,n).
func clampedTo(positions backend.Value, n int) backend.Value {
	return editedInts(positions, func(p int32) int32 { return max(0, min(p, int32(n-1))) })
}

type quantizeMutant struct {
	reference
	f func(r reference, q *backend.Quantized, x backend.Value) error
}

func (m quantizeMutant) Quantize(q *backend.Quantized, x backend.Value) error {
	return m.f(m.reference, q, x)
}

type rmsNormMutant struct {
	reference
	f func(r reference, out, x, w backend.Value, eps float64) error
}

func (m rmsNormMutant) RMSNorm(out, x, w backend.Value, eps float64) error {
	return m.f(m.reference, out, x, w, eps)
}

type rotaryMutant struct {
	reference
	f func(r reference, out, x, positions backend.Value, headDim int, base float64) error
}

func (m rotaryMutant) Rotary(out, x, positions backend.Value, headDim int, base float64) error {
	return m.f(m.reference, out, x, positions, headDim, base)
}

type cacheMutant struct {
	reference
	f func(r reference, c *backend.KVCache, keys, values, positions backend.Value) error
}

func (m cacheMutant) CacheAppend(c *backend.KVCache, keys, values, positions backend.Value) error {
	return m.f(m.reference, c, keys, values, positions)
}

type attentionMutant struct {
	reference
	f func(r reference, out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error
}

func (m attentionMutant) Attention(out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
	return m.f(m.reference, out, q, c, positions, window)
}

type linearMutant struct {
	reference
	f func(r reference, out, x, w backend.Value) error
}

func (m linearMutant) Linear(out, x, w backend.Value) error { return m.f(m.reference, out, x, w) }

type embeddingMutant struct {
	reference
	f func(r reference, out, table, ids backend.Value) error
}

func (m embeddingMutant) Embedding(out, table, ids backend.Value) error {
	return m.f(m.reference, out, table, ids)
}

type addMutant struct {
	reference
	f func(r reference, out, a, b backend.Value) error
}

func (m addMutant) Add(out, a, b backend.Value) error { return m.f(m.reference, out, a, b) }
