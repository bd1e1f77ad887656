package cpu

import (
	"errors"
	"math"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// planOf is the plan for ids (T,K), of as few rows as they need.
func planOf(t testing.TB, tokens, slots, experts, align int, ids ...int32) *backend.Plan {
	t.Helper()
	counts := make([]int32, experts)
	for _, e := range ids {
		if e >= 0 {
			counts[e]++
		}
	}
	rows, err := backend.RowsForCounts(counts, align)
	if err != nil {
		t.Fatal(err)
	}
	p := newTestPlan(t, tokens, slots, experts, align, rows)
	if err := (Go{}).Plan(p, hostTensor(t, []int{tokens, slots}, ids...), nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// permuted checks Permute of x, three rows of the given shape, by the plan with rows 1, 2, 0, padding.
func permuted[E comparable](t *testing.T, row []int, x ...E) {
	t.Helper()
	p := planOf(t, 3, 1, 2, 2, 1, 0, 0)
	rows := hostTensor[E](t, append([]int{p.Rows}, row...))
	if len(x) > 0 { // a destination's contents are undefined
		got := elementsIn[E](t, rows)
		for i := range got {
			got[i] = x[0]
		}
	}
	if err := (Go{}).Permute(rows, hostTensor(t, append([]int{3}, row...), x...), p); err != nil {
		t.Fatal(err)
	}
	n := len(x) / 3
	want := slices.Concat(x[n:], x[:n], make([]E, n))
	if got := elementsIn[E](t, rows); !slices.Equal(got, want) {
		t.Errorf("%T: got %v, want %v", x, got, want)
	}
}

func TestPermuteCopiesRowsOfAnyType(t *testing.T) {
	permuted(t, nil, int64(1), 2, 3)
	permuted(t, []int{1}, true, false, true)
	permuted(t, []int{3}, backend.F8E4M3(1), 2, 3, 4, 5, 6, 7, 8, 9)
	permuted(t, []int{1, 2}, backend.BF16(1), 2, 3, 4, 5, 6)
	permuted(t, []int{2, 1, 1}, 1+2i, 3, 4, 5, 6, 7i)
	permuted[float32](t, []int{0})
	permuted[float64](t, []int{4, 0})
}

func TestPermuteKeepsPayloadOfNaN(t *testing.T) {
	p := planOf(t, 1, 2, 2, 1, 1, 0)
	rows := hostTensor[float32](t, []int{2, 1})
	const bits = 0xff81_2345 // a signalling NaN
	if err := (Go{}).Permute(rows, hostTensor(t, []int{1, 1}, math.Float32frombits(bits)), p); err != nil {
		t.Fatal(err)
	}
	for r, v := range elementsIn[float32](t, rows) {
		if got := math.Float32bits(v); got != bits {
			t.Errorf("row %d: bits %#x, want %#x", r, got, uint32(bits))
		}
	}
}

func TestPermuteErrors(t *testing.T) {
	x := hostTensor[float32](t, []int{2, 3})
	rows := hostTensor[float32](t, []int{4, 3})
	good := planOf(t, 2, 2, 1, 1, 0, 0, 0, 0)
	withSlot := func(s int32) *backend.Plan {
		p := planOf(t, 2, 2, 1, 1, 0, 0, 0, 0)
		elementsIn[int32](t, p.RowSlot)[2] = s
		return p
	}
	noSlots := *good
	noSlots.Slots = 0
	wide := hostTensor[float32](t, []int{2, 6})
	view, err := wide.Slice(nil, tensor.S(0, 3))
	if err != nil {
		t.Fatal(err)
	}
	quantized, err := backend.NewQuantized(backend.Host, tensor.Shape{2, 3}, 1, 128)
	if err != nil {
		t.Fatal(err)
	}
	tall, err := backend.NewQuantized(backend.Host, tensor.Shape{2, 3}, 2, 128)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rows, x backend.Value
		p       *backend.Plan
		want    error
	}{
		"slot too large":      {rows, x, withSlot(4), backend.ErrIndex},
		"slot below -1":       {rows, x, withSlot(-2), backend.ErrIndex},
		"least slot":          {rows, x, withSlot(math.MinInt32), backend.ErrIndex},
		"no slots":            {rows, x, &noSlots, backend.ErrIndex},
		"tokens":              {rows, hostTensor[float32](t, []int{3, 3}), good, backend.ErrShape},
		"rows":                {hostTensor[float32](t, []int{5, 3}), x, good, backend.ErrShape},
		"width":               {hostTensor[float32](t, []int{4, 2}), x, good, backend.ErrShape},
		"rank":                {hostTensor[float32](t, []int{4, 3, 1}), x, good, backend.ErrShape},
		"scalar":              {rows, hostTensor[float32](t, nil), good, backend.ErrShape},
		"dtype":               {hostTensor[float64](t, []int{4, 3}), x, good, backend.ErrDtype},
		"pointers":            {hostTensor[string](t, []int{4, 3}), hostTensor[string](t, []int{2, 3}), good, backend.ErrDtype},
		"not contiguous":      {rows, view, good, backend.ErrValue},
		"quantized x only":    {rows, quantized, good, backend.ErrValue},
		"quantized rows only": {quantized, x, planOf(t, 2, 1, 1, 1, 0, 0), backend.ErrDtype},
		"tall blocks":         {tall, tall, planOf(t, 2, 1, 1, 1, 0, 0), backend.ErrValue},
		"no x":                {rows, nil, good, backend.ErrValue},
		"no rows":             {nil, x, good, backend.ErrValue},
		"no plan":             {rows, x, nil, backend.ErrValue},
	} {
		if err := (Go{}).Permute(c.rows, c.x, c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
