package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// sortedExperts are all experts in the order of TopK, by a stable sort.
func sortedExperts(logits []float64) []int32 {
	ids := make([]int32, len(logits))
	for e := range ids {
		ids[e] = int32(e)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		x, y := logits[a], logits[b]
		switch {
		case x > y, math.IsNaN(y) && !math.IsNaN(x):
			return -1
		case x < y, math.IsNaN(x) && !math.IsNaN(y):
			return 1
		}
		return 0
	})
	return ids
}

func TestTopKIsPrefixOfStableSort(t *testing.T) {
	// Few different values, so that ties abound.
	values := []float64{math.NaN(), math.Inf(-1), -1, math.Copysign(0, -1), 0, 1, 2, math.Inf(1)}
	rng := rand.New(rand.NewPCG(1, 2))
	for _, size := range []struct{ tokens, experts, slots int }{
		{3, 1, 1}, {5, 8, 2}, {7, 40, 32}, {4, tile + 1, 8}, {3, 3*tile - 5, tile + 9}, {2, 17, 17}, {3, 8, 0}, {0, 8, 2},
	} {
		logits := make([]float64, size.tokens*size.experts)
		for i := range logits {
			logits[i] = values[rng.IntN(len(values))]
		}
		var want []int32
		for t := range size.tokens {
			want = append(want, sortedExperts(logits[t*size.experts : (t+1)*size.experts])[:size.slots]...)
		}
		for _, dt := range floatDtypes {
			ids := hostTensor[int32](t, []int{size.tokens, size.slots})
			l := floatTensor(t, dt, []int{size.tokens, size.experts}, logits...)
			if err := (Go{}).TopK(ids, l); err != nil {
				t.Fatal(err)
			}
			if got := elementsIn[int32](t, ids); !slices.Equal(got, want) {
				t.Errorf("%v, %+v: got %v, want %v", dt, size, got, want)
			}
		}
	}
}

func TestTopKOfNaNsAndAscending(t *testing.T) {
	const experts, slots = 100, 33
	ascending, nans, want := make([]float64, experts), make([]float64, experts), make([]int32, 2*slots)
	for e := range experts {
		ascending[e], nans[e] = float64(e), math.NaN()
	}
	for k := range slots {
		want[k], want[slots+k] = int32(experts-1-k), int32(k)
	}
	ids := hostTensor[int32](t, []int{2, slots})
	if err := (Go{}).TopK(ids, floatTensor(t, tensor.Float32, []int{2, experts}, slices.Concat(ascending, nans)...)); err != nil {
		t.Fatal(err)
	}
	if got := elementsIn[int32](t, ids); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTopKComparesFloat64(t *testing.T) {
	ids := hostTensor[int32](t, []int{1, 2})
	if err := (Go{}).TopK(ids, hostTensor(t, []int{1, 3}, 1, 1+0x1p-50, 1+0x1p-52)); err != nil {
		t.Fatal(err)
	}
	if got := elementsIn[int32](t, ids); !slices.Equal(got, []int32{1, 2}) {
		t.Errorf("got %v, want [1 2]", got)
	}
}

func TestTopKErrors(t *testing.T) {
	logits := hostTensor[float32](t, []int{3, 4})
	ids := hostTensor[int32](t, []int{3, 2})
	for name, c := range map[string]struct {
		ids, logits backend.Value
		want        error
	}{
		"more slots than experts": {hostTensor[int32](t, []int{3, 5}), logits, backend.ErrShape},
		"tokens":                  {hostTensor[int32](t, []int{4, 2}), logits, backend.ErrShape},
		"rank":                    {ids, hostTensor[float32](t, []int{12}), backend.ErrShape},
		"dtype of logits":         {ids, hostTensor[int32](t, []int{3, 4}), backend.ErrDtype},
		"dtype of ids":            {hostTensor[int64](t, []int{3, 2}), logits, backend.ErrDtype},
		"nil logits":              {ids, nil, backend.ErrValue},
	} {
		if err := (Go{}).TopK(c.ids, c.logits); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
