package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func topKChecks(s backend.TopK) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.TopK(out, in[0]) }
	nan, inf := math.NaN(), math.Inf(1)
	var checks []check
	for _, dt := range floats {
		for _, size := range []struct{ t, e, k int }{
			{0, 8, 2}, {1, 1, 1}, {2, 3, 2}, {67, 8, 2}, {5, 8, 8}, {33, 64, 6}, {9, 257, 32}, {300, 130, 4},
		} {
			for _, logits := range []struct {
				name string
				draw func(*rand.Rand) float64
			}{
				{"normal", normal},
				{"ties", oneOf(-1, 0, math.Copysign(0, -1), 2)},
				{"equal", constant(-3)},
				{"special", mostly(normal, nan, -nan, inf, -inf)},
				{"no number", oneOf(nan, math.Copysign(nan, -1), -inf)},
				{"huge", scaled(60000)},
				{"greatest", greatest(dt)},
			} {
				name := fmt.Sprintf("%v/%s/T=%d,E=%d,K=%d", dt, logits.name, size.t, size.e, size.k)
				checks = append(checks, check{name, func(e *env) error {
					x := e.floats(dt, logits.draw, size.t, size.e)
					out, err := e.apply(call, template(tensor.Int32, size.t, size.k), x.value)
					if err != nil {
						return err
					}
					return compareTopK(out, x, size.k)
				}})
			}
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, template(tensor.Int32, 5, 2), e.floats(dt, normal, 5, 9).value)
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				x := e.floats(dt, normal, 5, 9).value
				// Logits of another width are of another E, ids of another width of another K: no other operand tells.
				calls := append(without(e.misfits(template(tensor.Int32, 5, 2), x), "wrong shape of the destination", "wrong shape of source 0"),
					refusal{"K > E", template(tensor.Int32, 5, 10), []backend.Value{x}},
					refusal{"another number of tokens", template(tensor.Int32, 6, 2), []backend.Value{x}})
				return e.refuses(call, nil, calls...)
			}},
		)
	}
	return checks
}

// compareTopK holds ids (T,K) to the order of the K first experts: larger logits first, NaN last, equal ones by id.
func compareTopK(ids backend.Value, logits operand, k int) error {
	got, err := backend.Slice[int32](ids)
	if err != nil {
		return err
	}
	for t := range len(got) / k {
		l := logits.row(t)
		order := make([]int32, len(l))
		for e := range order {
			order[e] = int32(e)
		}
		slices.SortStableFunc(order, func(a, b int32) int {
			x, y := l[a], l[b]
			switch {
			case x > y, math.IsNaN(y) && !math.IsNaN(x):
				return -1
			case x < y, math.IsNaN(x) && !math.IsNaN(y):
				return 1
			}
			return 0
		})
		if row := got[t*k : (t+1)*k]; !slices.Equal(row, order[:k]) {
			return fmt.Errorf("token %d: ids %v, want %v", t, row, order[:k])
		}
	}
	return nil
}
