package cpu

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Attention implements backend.Attention for q and out (T, Heads·D) and a cache, each of any dtype F. Everything is widened
// first; products and sums run in float32, in float64 where q or the cache are float64, and are rounded to out's dtype. The
// weights are exp(s − max s)/Σ, so that no exponential overflows. Each token and head is computed on its own: a row's result
// is the same whatever other rows there are.
//
// The first position outside [0,Capacity) is an ErrIndex, a negative window an ErrParameter, both before anything is written.
func (Go) Attention(out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
	if err := checkOperands("attention", out, q, positions); err != nil {
		return err
	}
	if err := checkCache("attention", c); err != nil {
		return err
	}
	if window < 0 {
		return fmt.Errorf("attention: a window of %d positions, want 0 (none) or more: %w", window, backend.ErrParameter)
	}
	for _, v := range []backend.Value{q, c.Keys} {
		if v.Dtype() == tensor.Float64 {
			return attend(out, q, c, positions, window, math.Exp)
		}
	}
	return attend(out, q, c, positions, window, func(x float32) float32 { return float32(expf(float64(x))) })
}

func attend[A accumulator](out, q backend.Value, c *backend.KVCache, positions backend.Value, window int, exp func(A) A) error {
	tokens, width, err := matrixDims("attention", "q", q)
	if err != nil {
		return err
	}
	if width%(c.KVHeads*c.HeadDim) != 0 {
		return fmt.Errorf("attention: q has shape %v, want a multiple of the cache's %d heads of width %d in a row: %w",
			q.Shape(), c.KVHeads, c.HeadDim, backend.ErrShape)
	}
	l := getLoop[attention[A]]()
	defer l.free()
	a := &l.s
	a.heads, a.perGroup, a.d = width/c.HeadDim, width/(c.KVHeads*c.HeadDim), c.HeadDim
	a.window, a.exp = window, exp
	if a.q, err = floatsOf[A]("attention", "q", q, tokens, width); err != nil {
		return err
	}
	if a.out, err = floatsOf[A]("attention", "out", out, tokens, width); err != nil {
		return err
	}
	a.keys.width, a.values.width = c.KVHeads*c.HeadDim, c.KVHeads*c.HeadDim
	if a.keys.elements, err = floatsOf[A]("attention", "the cache's keys", c.Keys, c.Capacity, a.keys.width); err != nil {
		return err
	}
	if a.values.elements, err = floatsOf[A]("attention", "the cache's values", c.Values, c.Capacity, a.values.width); err != nil {
		return err
	}
	if a.positions, err = indicesOf("attention", "positions", positions, tokens, c.Capacity); err != nil {
		return err
	}
	l.run(tokens*a.heads, 1)
	return nil
}

type attention[A accumulator] struct {
	q, out       floats[A]
	keys, values dense[A]
	positions    []int32
	heads        int
	perGroup     int // heads that share a head of the cache
	d, window    int
	exp          func(A) A
}

func (a *attention[A]) span(lo, hi int) {
	for i := lo; i < hi; i++ {
		a.head(i/a.heads, i%a.heads)
	}
}

// head computes the output of token t and head h.
func (a *attention[A]) head(t, h int) {
	to, from := int(a.positions[t])+1, 0
	if a.window > 0 {
		from = max(0, to-a.window)
	}
	scratch := getScratch[A](to - from + (1+group)*a.d)
	defer putScratch(scratch)
	weights, sum, buf := (*scratch)[:to-from], (*scratch)[to-from:][:a.d], (*scratch)[to-from+a.d:]

	at := (t*a.heads + h) * a.d
	lo := h / a.perGroup * a.d
	a.scores(weights, a.q.read(at, at+a.d, sum), from, lo, buf)
	total := softmax(weights, a.exp)
	a.mix(sum, weights, from, lo, buf)
	for i := range sum {
		sum[i] /= total
	}
	a.out.write(at, sum)
}

// scores sets each score to the dot of q with the key of its position, from on, over √D. lo is where the key's head begins.
func (a *attention[A]) scores(scores, q []A, from, lo int, buf []A) {
	root := A(math.Sqrt(float64(a.d)))
	var keys [group][]A
	for j := 0; j < len(scores); j += group {
		here := scores[j:min(j+group, len(scores))]
		rowsOf(&keys, &a.keys, from+j, len(here), lo, lo+a.d, buf)
		dots := dot6(q, &keys)
		for i := range here {
			here[i] = dots[i] / root
		}
	}
}

// mix sets sum to the sum of the values of the positions from on, each times its weight. lo is where the value's head begins.
func (a *attention[A]) mix(sum, weights []A, from, lo int, buf []A) {
	clear(sum)
	var values [group][]A
	for ; len(weights) >= group; weights, from = weights[group:], from+group {
		rowsOf(&values, &a.values, from, group, lo, lo+a.d, buf)
		addScaled6(sum, (*[group]A)(weights), &values)
	}
	for j, w := range weights {
		addScaled(sum, w, a.values.row(from+j, lo, lo+a.d, buf))
	}
}

// addScaled6 adds six vectors that are as long as sum or longer, each times its weight.
func addScaled6[A accumulator](sum []A, weights *[group]A, v *[group][]A) {
	n := len(sum)
	v0, v1, v2, v3, v4, v5 := v[0][:n], v[1][:n], v[2][:n], v[3][:n], v[4][:n], v[5][:n]
	a0, a1, a2, a3, a4, a5 := weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
	for i := range sum {
		sum[i] += (a0*v0[i] + a1*v1[i]) + (a2*v2[i] + a3*v3[i]) + (a4*v4[i] + a5*v5[i])
	}
}

// softmax replaces each score by exp(score − max) and gives the sum of them.
func softmax[A accumulator](scores []A, exp func(A) A) A {
	largest := A(math.Inf(-1))
	for _, s := range scores {
		largest = max(largest, s)
	}
	var total float64
	for i, s := range scores {
		scores[i] = exp(s - largest)
		total += float64(scores[i])
	}
	return A(total)
}
