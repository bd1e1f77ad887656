package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func addChecks(s backend.Add) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Add(out, in[0], in[1]) }
	var checks []check
	for _, dt := range floats {
		for _, shape := range [][]int{{0}, {1}, {3, 0}, {7}, {5, 127}, {130, 33}, {2, 3, 5}, {70001}} {
			for _, x := range []struct {
				name string
				draw func(*rand.Rand) float64
			}{
				{"normal", normal},
				{"special", mostly(normal, math.NaN(), math.Inf(1), math.Inf(-1), 6e4, -6e4)},
			} {
				checks = append(checks, check{fmt.Sprintf("%v/%s/%v", dt, x.name, shape), func(e *env) error {
					a, b := e.floats(dt, x.draw, shape...), e.floats(dt, x.draw, shape...)
					out, err := e.apply(call, template(dt, shape...), a.value, b.value)
					if err != nil {
						return err
					}
					return compare(out, sums(a, b))
				}})
			}
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/into an operand", dt), func(e *env) error { return e.addInPlace(s, dt) }},
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, template(dt, 5, 7), e.floats(dt, normal, 5, 7).value, e.floats(dt, normal, 5, 7).value)
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				return e.refuses(call, nil, e.misfits(template(dt, 5, 7), e.alloc(dt, 0, 5, 7), e.alloc(dt, 0, 5, 7))...)
			}},
		)
	}
	return checks
}

// sums are the exact sums; the narrow formats are added in float32 and rounded once more.
func sums(a, b operand) []approx {
	eps := accumulator(a.value.Dtype())
	out := make([]approx, len(a.f))
	for i, x := range a.f {
		sum := x + b.f[i]
		out[i] = exactly(sum)
		if dt := a.value.Dtype(); dt != tensor.Float32 && dt != tensor.Float64 && !math.IsInf(sum, 0) {
			out[i].tol = eps * math.Abs(sum)
		}
	}
	return out
}

// addInPlace lets the destination be either operand, or both.
func (e *env) addInPlace(s backend.Add, dt tensor.Dtype) error {
	for _, alias := range []struct {
		name string
		call func(out, other backend.Value) error
		sum  func(a, b operand) []approx
	}{
		{"a", func(out, other backend.Value) error { return s.Add(out, out, other) }, sums},
		{"b", func(out, other backend.Value) error { return s.Add(out, other, out) }, sums},
		{"a and b", func(out, _ backend.Value) error { return s.Add(out, out, out) }, func(a, _ operand) []approx { return sums(a, a) }},
	} {
		a, b := e.floats(dt, normal, 67, 130), e.floats(dt, normal, 67, 130)
		want := alias.sum(a, b)
		out, err := e.once(func(out backend.Value, in []backend.Value) error { return alias.call(out, in[0]) }, a.value, b.value)
		if err != nil {
			return declined(fmt.Errorf("destination is %s: %w", alias.name, err))
		}
		if err := compare(out, want); err != nil {
			return fmt.Errorf("destination is %s: %w", alias.name, err)
		}
	}
	return nil
}
