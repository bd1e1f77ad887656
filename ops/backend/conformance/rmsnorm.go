package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func rmsNormChecks(s backend.RMSNorm) []check {
	var checks []check
	for _, dt := range floats {
		for _, dw := range []tensor.Dtype{dt, tensor.Float32} {
			if dw == dt && dt == tensor.Float32 {
				continue // that pair comes with the next dw
			}
			for _, size := range []struct{ t, h int }{{0, 8}, {3, 0}, {1, 1}, {2, 3}, {37, 127}, {5, 130}, {3, 4096}, {300, 65}} {
				for _, x := range []struct {
					name string
					draw func(*rand.Rand) float64
					eps  float64
				}{
					{"normal", normal, 1e-5},
					{"without eps", normal, 0},
					{"large eps", normal, 3},
					{"zero", constant(0), 1e-6},
					{"small", scaled(1e-4), 1e-5},
					{"large", scaled(15000), 1e-5}, // squares that no Float16 holds
					{"NaN", mostly(normal, math.NaN()), 1e-5},
					{"infinities", mostly(normal, math.Inf(1), math.Inf(-1)), 1e-5},
					{"denormal", oneOf(1e-40, -3e-42, 6e-8, math.Copysign(0, -1)), 1e-5},
				} {
					checks = append(checks, check{fmt.Sprintf("%v by %v/%s/T=%d,H=%d", dt, dw, x.name, size.t, size.h), func(e *env) error {
						return e.rmsNorm(s, e.floats(dt, x.draw, size.t, size.h), e.floats(dw, normal, size.h), x.eps)
					}})
				}
			}
			for _, special := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
				checks = append(checks,
					check{fmt.Sprintf("%v by %v/%v in one row", dt, dw, special), func(e *env) error {
						x := e.floats(dt, normal, 5, 33)
						x.set(special, 2*33+32)
						return e.rmsNorm(s, x, e.floats(dw, normal, 33), 1e-5)
					}},
					check{fmt.Sprintf("%v by %v/a weight that is %v", dt, dw, special), func(e *env) error {
						w := e.floats(dw, normal, 33)
						w.set(special, 17)
						return e.rmsNorm(s, e.floats(dt, normal, 5, 33), w, 1e-5)
					}})
			}
		}
		call := func(out backend.Value, in []backend.Value) error { return s.RMSNorm(out, in[0], in[1], 1e-5) }
		checks = append(checks,
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, template(dt, 5, 7), e.floats(dt, normal, 5, 7).value, e.floats(dt, normal, 7).value)
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				return e.refuses(call, nil, e.misfits(template(dt, 5, 7), e.floats(dt, normal, 5, 7).value, e.floats(dt, normal, 7).value)...)
			}},
		)
	}
	return checks
}

// rmsNorm runs the stage and compares. The terms of the mean of squares have one sign: its relative error is that of a sum,
// γ with the mean's division and eps as two more roundings. A square root halves it; root, reciprocal and two products add
// their own, of which a root's reciprocal in hardware takes up to expUnits.
func (e *env) rmsNorm(s backend.RMSNorm, x, w operand, eps float64) error {
	dt, t, h := x.value.Dtype(), x.value.Shape()[0], x.value.Shape()[1]
	call := func(out backend.Value, in []backend.Value) error { return s.RMSNorm(out, in[0], in[1], eps) }
	out, err := e.apply(call, template(dt, t, h), x.value, w.value)
	if err != nil {
		return err
	}
	acc := accumulator(dt)
	want := make([]approx, 0, t*h)
	for i := range t {
		if h == 0 {
			break
		}
		row := x.row(i)
		squares := dot(row, row, acc, 0).want / float64(h)
		for j, v := range row {
			exact := w.f[j] * v / math.Sqrt(squares+eps)
			want = append(want, approx{exact, math.Abs(exact) * (gamma(h+2, acc)/2 + (expUnits+3)*acc)})
		}
	}
	return compare(out, want)
}
