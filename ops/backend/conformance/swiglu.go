package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/gorgonia/moe/ops/backend"
)

func swiGLUChecks(s backend.SwiGLU) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.SwiGLU(out, in[0]) }
	var checks []check
	for _, dt := range floats {
		for _, size := range []struct{ r, f int }{{0, 8}, {3, 0}, {1, 1}, {2, 3}, {37, 65}, {5, 127}, {4, 130}, {300, 33}} {
			for _, x := range []struct {
				name string
				draw func(*rand.Rand) float64
			}{
				{"normal", normal},
				{"wide", scaled(40)},
				{"huge", oneOf(-6e4, -1000, -89, math.Copysign(0, -1), 0, 89, 1000, 6e4)},
				{"NaN", mostly(normal, math.NaN())},
				{"infinities", mostly(normal, math.Inf(1), math.Inf(-1))},
				{"zeros and denormals", oneOf(0, math.Copysign(0, -1), 1e-40, -1e-40, 3e-45, 6e-8, -6e-8, 0x1p-126, 1, -2)},
				{"steep", func(r *rand.Rand) float64 { return 220*r.Float64() - 110 }}, // from where e^−v overflows a float32 to where it vanishes
			} {
				checks = append(checks, check{fmt.Sprintf("%v/%s/R=%d,F=%d", dt, x.name, size.r, size.f), func(e *env) error {
					in := e.floats(dt, x.draw, size.r, 2*size.f)
					out, err := e.apply(call, template(dt, size.r, size.f), in.value)
					if err != nil {
						return err
					}
					eps := accumulator(dt)
					var want []approx
					for r := range size.r {
						row := in.row(r)
						for j := range size.f {
							want = append(want, times(silu(row[j], eps), exactly(row[size.f+j]), eps))
						}
					}
					return compare(out, want)
				}})
			}
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, template(dt, 5, 3), e.floats(dt, normal, 5, 6).value)
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				return e.refuses(call, nil, e.misfits(template(dt, 5, 3), e.floats(dt, normal, 5, 6).value)...)
			}},
		)
	}
	return checks
}
