package conformance

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func attentionChecks(s backend.Attention) []check {
	var checks []check
	for _, dt := range floats {
		for _, cached := range []tensor.Dtype{dt, backend.BFloat16} {
			if cached == dt && dt == backend.BFloat16 || dt == tensor.Float64 && cached != dt {
				continue // the same pair again, or a float64 query on a narrow cache
			}
			for _, c := range []attentionCase{
				{tokens: 0, heads: 4, kvHeads: 2, d: 8, capacity: 5, scale: 1},
				{tokens: 1, heads: 1, kvHeads: 1, d: 1, capacity: 1, scale: 1},
				{tokens: 1, heads: 8, kvHeads: 2, d: 64, capacity: 300, scale: 1},
				{tokens: 33, heads: 4, kvHeads: 4, d: 16, capacity: 33, scale: 1},
				{tokens: 17, heads: 6, kvHeads: 3, d: 7, capacity: 70, scale: 1},
				{tokens: 5, heads: 12, kvHeads: 1, d: 130, capacity: 67, scale: 1},
				{tokens: 9, heads: 4, kvHeads: 2, d: 32, capacity: 65, window: 1, scale: 1},
				{tokens: 9, heads: 4, kvHeads: 2, d: 32, capacity: 65, window: 16, scale: 1},
				{tokens: 9, heads: 4, kvHeads: 2, d: 32, capacity: 65, window: 1000, scale: 1},
				{tokens: 9, heads: 4, kvHeads: 2, d: 32, capacity: 65, scale: 40}, // scores whose exponentials overflow
			} {
				checks = append(checks, check{fmt.Sprintf("%v on %v/%v", dt, cached, c), func(e *env) error {
					return e.attention(s, dt, cached, c, func(q, keys, values operand) {})
				}})
			}
			for _, c := range []attentionCase{
				{tokens: 9, heads: 4, kvHeads: 2, d: 16, capacity: 70, scale: 1},
				{tokens: 9, heads: 4, kvHeads: 2, d: 16, capacity: 70, window: 9, scale: 1},
				{tokens: 1, heads: 4, kvHeads: 2, d: 32, capacity: 700, scale: 1},
			} {
				width := c.kvHeads * c.d
				for _, special := range []struct {
					name string
					edit func(q, keys, values operand)
				}{
					{"a NaN query", func(q, _, _ operand) { q.set(math.NaN(), (c.tokens-1)*c.heads*c.d+c.d+3) }},
					{"a NaN key", func(_, keys, _ operand) { keys.set(math.NaN(), 5*width+c.d+7) }},
					{"a NaN value", func(_, _, values operand) { values.set(math.NaN(), 5*width+c.d+7) }},
					{"infinite values", func(_, _, values operand) { values.set(math.Inf(1), 0); values.set(math.Inf(-1), 5*width+c.d+7) }},
				} {
					checks = append(checks, check{fmt.Sprintf("%v on %v/%s/%v", dt, cached, special.name, c), func(e *env) error {
						return e.attention(s, dt, cached, c, special.edit)
					}})
				}
			}
		}
		checks = append(checks, check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
			cache := e.cache(dt, 10, 2, 4)
			for _, d := range leaves(cache) {
				set(must(backend.Bytes(d)), 0)
			}
			call := attentionKernel(s, 0)
			q, positions := e.alloc(dt, 0, 5, 16), e.ints(make([]int32, 5), 5)
			out := template(dt, 5, 16)
			calls := append(e.misfits(out, q, cache, positions),
				refusal{"heads that are no multiple of the cache's", template(dt, 5, 12), []backend.Value{e.alloc(dt, 0, 5, 12), cache, positions}},
				refusal{"a width that is no multiple of D", template(dt, 5, 18), []backend.Value{e.alloc(dt, 0, 5, 18), cache, positions}})
			if err := e.refuses(call, nil, calls...); err != nil {
				return err
			}
			return e.refuses(attentionKernel(s, -1), nil, refusal{"window -1", out, []backend.Value{q, cache, positions}})
		}})
	}
	for _, position := range []int32{-1, 10, math.MinInt32, math.MaxInt32} {
		checks = append(checks, check{fmt.Sprintf("position %d of 10", position), func(e *env) error {
			q, cache := e.floats(tensor.Float32, normal, 3, 8), e.cache(tensor.Float32, 10, 1, 8)
			return e.refuses(attentionKernel(s, 0), backend.ErrIndex,
				refusal{"position", template(tensor.Float32, 3, 8), []backend.Value{q.value, cache, e.ints([]int32{0, position, 2}, 3)}})
		}})
	}
	return append(checks, check{"views", func(e *env) error {
		cache := e.cache(tensor.Float32, 5, 1, 4)
		keys, values := e.floats(tensor.Float32, normal, 5, 4), e.floats(tensor.Float32, normal, 5, 4)
		cache.Keys, cache.Values = keys.value, values.value
		q := e.floats(tensor.Float32, normal, 3, 8)
		return e.views(attentionKernel(s, 0), template(tensor.Float32, 3, 8), q.value, cache, e.ints([]int32{4, 0, 2}, 3))
	}})
}

func attentionKernel(s backend.Attention, window int) kernel {
	return func(out backend.Value, in []backend.Value) error {
		return s.Attention(out, in[0], in[1].(*backend.KVCache), in[2], window)
	}
}

// attentionCase is the sizes of a case; scale is the standard deviation of queries and keys.
type attentionCase struct {
	tokens, heads, kvHeads, d, capacity, window int
	scale                                       float64
}

func (c attentionCase) String() string {
	return fmt.Sprintf("T=%d,heads=%d/%d,D=%d,capacity=%d,window=%d,scale=%g", c.tokens, c.heads, c.kvHeads, c.d, c.capacity, c.window, c.scale)
}

// cache is a host cache whose memory has margins and holds NaN.
func (e *env) cache(dt tensor.Dtype, capacity, kvHeads, headDim int) *backend.KVCache {
	c := must(backend.NewKVCache(backend.Host, dt, capacity, kvHeads, headDim))
	return e.poisoned(c, garbageNaN).(*backend.KVCache)
}

// attention runs the stage on edited operands and compares. Positions of the cache that no query sees hold NaN.
func (e *env) attention(s backend.Attention, dt, cached tensor.Dtype, c attentionCase, edit func(q, keys, values operand)) error {
	positions := e.positions(c.tokens, c.capacity)
	cache := e.cache(cached, c.capacity, c.kvHeads, c.d)
	q := e.floats(dt, scaled(c.scale), c.tokens, c.heads*c.d)
	keys, values := e.floats(cached, scaled(c.scale), c.capacity, c.kvHeads*c.d), e.floats(cached, normal, c.capacity, c.kvHeads*c.d)
	edit(q, keys, values)
	seen := make([]bool, c.capacity)
	for _, p := range positions {
		for j := c.first(p); j <= int(p); j++ {
			seen[j] = true
		}
	}
	var unseen []int
	for j := range seen {
		if !seen[j] {
			unseen = append(unseen, j)
		}
	}
	for _, cached := range []operand{keys, values} {
		cached.set(math.NaN(), elementsOfRows(unseen, c.kvHeads*c.d)...)
	}
	cache.Keys, cache.Values = keys.value, values.value
	out, err := e.apply(attentionKernel(s, c.window), template(dt, c.tokens, c.heads*c.d), q.value, cache, e.ints(positions, c.tokens))
	if err != nil {
		return err
	}
	var want []approx
	for t, p := range positions {
		for h := range c.heads {
			want = append(want, c.oracle(dt, q.row(t)[h*c.d:(h+1)*c.d], keys, values, h/(c.heads/c.kvHeads), int(p))...)
		}
	}
	return compare(out, want)
}

// first is the first position that a query at position p sees.
func (c attentionCase) first(p int32) int {
	if c.window == 0 {
		return 0
	}
	return max(0, int(p)-c.window+1)
}

// oracle is one head's output. A score that is off by δ makes its probability off by a factor of e^δ at most, and so do all
// together with the normalization: e^2δ with the largest δ. The exponentials and the sum are those of softmax. A backend that
// goes through the keys in tiles rescales what it has before each: up to one exponential and one product for each key. It may
// round the probabilities to the queries' dtype once, for tensor cores multiply nothing else.
func (c attentionCase) oracle(dt tensor.Dtype, q []float64, keys, values operand, group, p int) []approx {
	eps := accumulator(dt)
	from, to := c.first(int32(p)), p+1
	scores, worst := make([]float64, 0, to-from), 0.0
	for j := from; j < to; j++ {
		s := dot(q, keys.row(j)[group*c.d:(group+1)*c.d], eps, 2) // with the root's rounding and that of the division
		scores = append(scores, s.want/math.Sqrt(float64(c.d)))
		worst = math.Max(worst, s.tol/math.Sqrt(float64(c.d)))
	}
	n := len(scores)
	probabilities := softmax(scores, eps)
	spread := slices.Max(scores) - slices.Min(scores)
	tiles := (2*spread + expUnits*float64(n)) * eps
	out := make([]approx, c.d)
	for i := range out {
		for j, prob := range probabilities {
			v := values.row(from + j)[group*c.d+i]
			off := prob.tol + prob.want*(math.Expm1(2*worst)+tiles+gamma(n, eps)+formatOf(dt).unit)
			out[i].want += prob.want * v
			out[i].tol += off * math.Abs(v)
		}
	}
	return out
}
