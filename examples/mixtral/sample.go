package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// sampler chooses tokens by their logits. It is for one goroutine.
type sampler struct {
	temperature float64 // 0: the likeliest token
	topP        float64 // draw from the fewest likeliest tokens whose probabilities sum to at least this
	rng         *rand.Rand
	candidates  []candidate
}

type candidate struct {
	id     int32
	weight float64 // its probability times the sum of all weights
}

// newSampler makes a sampler that draws the same tokens for the same seed and logits.
func newSampler(temperature, topP float64, seed uint64) *sampler {
	return &sampler{temperature: temperature, topP: topP, rng: rand.New(rand.NewPCG(seed, 0))}
}

// next chooses a token. Of equal logits the lower id counts as the likelier. It fails if there is no likeliest one: for no
// logits, a NaN, or a greatest logit that is infinite.
func (s *sampler) next(logits []float32) (int32, error) {
	best := 0
	for i, l := range logits {
		if l != l {
			return 0, fmt.Errorf("the logit of token %d is %v", i, l)
		}
		if l > logits[best] {
			best = i
		}
	}
	if len(logits) == 0 {
		return 0, fmt.Errorf("there are no logits to choose a token by")
	}
	if math.IsInf(float64(logits[best]), 0) {
		return 0, fmt.Errorf("the greatest logit, of token %d, is %v", best, logits[best])
	}
	if s.temperature == 0 {
		return int32(best), nil
	}
	return s.draw(logits, float64(logits[best])), nil
}

// draw takes a token from softmax(logits/temperature), cut to the likeliest ones.
func (s *sampler) draw(logits []float32, greatest float64) int32 {
	s.candidates = s.candidates[:0]
	var total float64
	for i, l := range logits {
		w := math.Exp((float64(l) - greatest) / s.temperature)
		total += w
		s.candidates = append(s.candidates, candidate{int32(i), w})
	}
	if s.topP < 1 {
		total = s.cut(total)
	}
	x := s.rng.Float64() * total
	for _, c := range s.candidates {
		if x < c.weight {
			return c.id
		}
		x -= c.weight
	}
	return s.lastPossible()
}

// cut keeps the fewest likeliest candidates whose weights sum to topP·total, and returns their sum.
func (s *sampler) cut(total float64) float64 {
	// Those whose share is below (1−topP)/n sum to less than 1−topP, so none of them is needed: only the rest is sorted.
	least := (1 - s.topP) / float64(len(s.candidates)) * total
	s.candidates = slices.DeleteFunc(s.candidates, func(c candidate) bool { return c.weight < least })
	slices.SortStableFunc(s.candidates, func(a, b candidate) int { return cmp.Compare(b.weight, a.weight) })
	var sum float64
	for i, c := range s.candidates {
		if sum += c.weight; sum >= s.topP*total {
			s.candidates = s.candidates[:i+1]
			break
		}
	}
	return sum
}

// lastPossible is the last candidate of a weight above 0: what a draw comes to that rounding carried past the end.
func (s *sampler) lastPossible() int32 {
	for _, c := range slices.Backward(s.candidates) {
		if c.weight > 0 {
			return c.id
		}
	}
	return s.candidates[0].id
}
