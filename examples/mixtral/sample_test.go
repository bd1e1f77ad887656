package main

import (
	"math"
	"testing"
)

func TestGreedyTakesTheLowestOfEqualLogits(t *testing.T) {
	inf := float32(math.Inf(-1))
	for _, c := range []struct {
		logits []float32
		want   int32
	}{
		{[]float32{7}, 0},
		{[]float32{-3, -1, -2}, 1},
		{[]float32{2, 5, 5, 5}, 1},
		{[]float32{inf, inf, -1e38}, 2},
	} {
		if got, err := newSampler(0, 1, 0).next(c.logits); err != nil || got != c.want {
			t.Errorf("of %v: %d, %v, want %d", c.logits, got, err, c.want)
		}
	}
}

func TestNoLikeliestToken(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, logits := range [][]float32{nil, {nan}, {1, nan, 2}, {1, inf}, {-inf, -inf}} {
		for _, temperature := range []float64{0, 1} {
			if got, err := newSampler(temperature, 0.9, 0).next(logits); err == nil {
				t.Errorf("of %v at temperature %v: %d, want an error", logits, temperature, got)
			}
		}
	}
}

// frequencies draws n times and returns each token's share.
func frequencies(t *testing.T, s *sampler, logits []float32, n int) []float64 {
	t.Helper()
	share := make([]float64, len(logits))
	for range n {
		id, err := s.next(logits)
		if err != nil {
			t.Fatal(err)
		}
		share[id] += 1 / float64(n)
	}
	return share
}

// logs are logits whose softmax is p.
func logs(p ...float64) []float32 {
	var logits []float32
	for _, x := range p {
		logits = append(logits, float32(math.Log(x)+3)) // a shift changes nothing
	}
	return logits
}

func TestDrawsFollowTheProbabilities(t *testing.T) {
	const n = 100_000
	for _, c := range []struct {
		name              string
		temperature, topP float64
		logits            []float32
		want              []float64
	}{
		{"one token", 1, 1, logs(1), []float64{1}},
		{"temperature 1", 1, 1, logs(0.2, 0.5, 0, 0.3), []float64{0.2, 0.5, 0, 0.3}},
		{"temperature 2 takes roots", 2, 1, logs(0.64, 0.04, 0.16), []float64{0.8 / 1.4, 0.2 / 1.4, 0.4 / 1.4}},
		{"temperature 1/2 takes squares", 0.5, 1, logs(0.6, 0.4), []float64{36. / 52, 16. / 52}},
		{"almost no temperature", 1e-9, 1, logs(0.3, 0.4, 0.3), []float64{0, 1, 0}},
		{"a huge temperature", 1e30, 1, logs(0.9, 0.1), []float64{0.5, 0.5}},
		{"top-p between two sums", 1, 0.6, logs(0.2, 0.5, 0.3), []float64{0, 0.625, 0.375}},
		{"top-p below the greatest", 1, 0.1, logs(0.2, 0.5, 0.3), []float64{0, 1, 0}},
		{"top-p of almost all", 1, 0.99, logs(0.2, 0.5, 0.3), []float64{0.2, 0.5, 0.3}},
		{"top-p of equal tokens takes the first", 1, 0.45, logs(0.25, 0.25, 0.25, 0.25), []float64{0.5, 0.5, 0, 0}},
		{"top-p with a long tail", 1, 0.85, logs(0.01, 0.01, 0.02, 0.9, 0.02, 0.04), []float64{0, 0, 0, 1, 0, 0}},
	} {
		got := frequencies(t, newSampler(c.temperature, c.topP, 1), c.logits, n)
		for i, p := range c.want {
			// Five standard deviations; nothing at all where the probability is 0 or 1.
			if math.Abs(got[i]-p) > 5*math.Sqrt(p*(1-p)/n)+1e-9 {
				t.Errorf("%s: token %d has frequency %v, want %v", c.name, i, got[i], p)
			}
		}
	}
}

func TestSeedsRepeat(t *testing.T) {
	logits := make([]float32, 1000)
	draws := func(seed uint64) (ids [20]int32) {
		s := newSampler(1, 0.9, seed)
		for i := range ids {
			id, err := s.next(logits)
			if err != nil {
				t.Fatal(err)
			}
			ids[i] = id
		}
		return ids
	}
	first, again, other := draws(5), draws(5), draws(6)
	if first != again || first == other {
		t.Errorf("seeds 5, 5, 6 draw %v, %v, %v", first, again, other)
	}
}
