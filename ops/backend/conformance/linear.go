package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func linearChecks(s backend.Linear) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Linear(out, in[0], in[1]) }
	var checks []check
	for _, c := range floatCombinations() {
		run := func(e *env, t, d, n int, edit func(x, w operand)) error {
			_, x := c.x.make(e, t, d)
			_, w := c.w.make(e, n, d)
			edit(x, w)
			out, err := e.apply(call, template(c.out, t, n), x.value, w.value)
			if err != nil {
				return err
			}
			if d == 0 {
				return compare(out, make([]approx, t*n))
			}
			var want []approx
			for i := range t {
				want = rowsTimes(want, x.row(i), w.f, accumulator(c.x.dtype, c.w.dtype), 0)
			}
			return compare(out, want)
		}
		for _, size := range []struct{ t, d, n int }{
			{0, 3, 5}, {3, 0, 5}, {3, 5, 0}, {1, 1, 1}, {1, 130, 127}, {2, 3, 130}, {33, 127, 3}, {67, 130, 65}, {16, 64, 32}, {4, 1000, 8},
		} {
			checks = append(checks, check{fmt.Sprintf("%v/T=%d,D=%d,N=%d", c, size.t, size.d, size.n), func(e *env) error {
				return run(e, size.t, size.d, size.n, func(x, w operand) {})
			}})
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/a NaN row", c), func(e *env) error {
				return run(e, 9, 37, 11, func(x, w operand) { x.set(math.NaN(), 4*37+36) })
			}},
			check{fmt.Sprintf("%v/a NaN weight", c), func(e *env) error {
				return run(e, 9, 37, 11, func(x, w operand) { w.set(math.NaN(), 10*37) })
			}},
			check{fmt.Sprintf("%v/an infinite number", c), func(e *env) error {
				return run(e, 9, 37, 11, func(x, w operand) { x.set(math.Inf(-1), 36) })
			}},
		)
	}
	checks = append(checks, blockLinearChecks(call)...)
	return append(checks,
		check{"views", func(e *env) error {
			x, w := e.floats(tensor.Float32, normal, 5, 7), e.floats(tensor.Float32, normal, 3, 7)
			return e.views(call, template(tensor.Float32, 5, 3), x.value, w.value)
		}},
		check{"misfits", func(e *env) error {
			x, w := e.floats(tensor.Float32, normal, 5, 7), e.floats(tensor.Float32, normal, 3, 7)
			calls := append(e.misfits(template(tensor.Float32, 5, 3), x.value, w.value),
				refusal{"another height of w", template(tensor.Float32, 5, 3), []backend.Value{x.value, e.alloc(tensor.Float32, 0, 4, 7)}},
				refusal{"another height of x", template(tensor.Float32, 5, 3), []backend.Value{e.alloc(tensor.Float32, 0, 6, 7), w.value}})
			return e.refuses(call, nil, calls...)
		}},
	)
}
