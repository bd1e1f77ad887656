package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func rotaryChecks(s backend.Rotary) []check {
	var checks []check
	for _, dt := range floats {
		for _, size := range []struct {
			t, heads, d int
			base        float64
		}{
			{0, 2, 8, 1e4}, {3, 0, 8, 1e4}, {1, 1, 2, 1e4}, {5, 3, 6, 1e6}, {33, 1, 130, 1e4}, {7, 8, 64, 1e6}, {2, 2, 128, 5e5}, {67, 4, 16, 1e4},
		} {
			for _, positions := range []struct {
				name  string
				limit int
				sign  int32
			}{{"start", 1, 1}, {"prompt", 200, 1}, {"far", 131072, 1}, {"negative", 200, -1}, {"far negative", 131073, -1}} {
				checks = append(checks, check{fmt.Sprintf("%v/%s/T=%d,heads=%d,D=%d,base=%g", dt, positions.name, size.t, size.heads, size.d, size.base), func(e *env) error {
					at := e.positions(size.t, positions.limit)
					for i := range at {
						at[i] *= positions.sign
					}
					return e.rotary(s, e.floats(dt, normal, size.t, size.heads*size.d), at, size.d, size.base)
				}})
			}
		}
		for _, special := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			checks = append(checks, check{fmt.Sprintf("%v/%v in one pair", dt, special), func(e *env) error {
				x := e.floats(dt, normal, 5, 24)
				x.set(special, 2*24+9)
				at := e.positions(5, 100)
				at[2] = 41 // angles whose cosines and sines are no 0
				return e.rotary(s, x, at, 8, 1e4)
			}})
		}
		call := func(out backend.Value, in []backend.Value) error { return s.Rotary(out, in[0], in[1], 4, 1e4) }
		checks = append(checks,
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, template(dt, 5, 8), e.floats(dt, normal, 5, 8).value, e.ints(e.positions(5, 100), 5))
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				x, positions := e.alloc(dt, 0, 5, 8), e.ints(make([]int32, 5), 5)
				return e.refuses(call, nil, e.misfits(template(dt, 5, 8), x, positions)...)
			}},
		)
	}
	for _, bad := range []struct {
		d    int
		base float64
	}{{0, 1e4}, {-2, 1e4}, {3, 1e4}, {16, 1e4}, {4, 0}, {4, -1}, {4, math.NaN()}} {
		checks = append(checks, check{fmt.Sprintf("D=%d and base=%g for width 8", bad.d, bad.base), func(e *env) error {
			call := func(out backend.Value, in []backend.Value) error { return s.Rotary(out, in[0], in[1], bad.d, bad.base) }
			x, positions := e.alloc(tensor.Float32, 0, 5, 8), e.ints(make([]int32, 5), 5)
			return e.refuses(call, nil, refusal{"parameters", template(tensor.Float32, 5, 8), []backend.Value{x, positions}})
		}})
	}
	return checks
}

// positions draws positions below limit in any order; the first is 0, the second the greatest.
func (e *env) positions(n, limit int) []int32 {
	p := make([]int32, n)
	for i := range p {
		switch i {
		case 0:
		case 1:
			p[i] = int32(limit - 1)
		default:
			p[i] = int32(e.rng.IntN(limit))
		}
	}
	return p
}

// rotary runs the stage and compares. The power base^(−i/d) is an exponential of −(i/d)·ln base, off by (2(i/d)·ln base +
// expUnits)·ε; the angle, one rounding more, is off by that times its size, and so are sine and cosine, which add expUnits·ε of
// their own. Products and sum are two more roundings. The oracle's own error is of the same kind with its own ε.
func (e *env) rotary(s backend.Rotary, x operand, positions []int32, headDim int, base float64) error {
	dt, shape := x.value.Dtype(), x.value.Shape()
	call := func(out backend.Value, in []backend.Value) error { return s.Rotary(out, in[0], in[1], headDim, base) }
	out, err := e.apply(call, template(dt, shape...), x.value, e.ints(positions, len(positions)))
	if err != nil {
		return err
	}
	acc := accumulator(dt) + 0x1p-53
	want := make([]approx, len(x.f))
	d := headDim / 2
	for first := 0; first < len(x.f); first += headDim {
		position := float64(positions[first/shape[1]])
		for i := range d {
			power := float64(i) / float64(d) * math.Log(base)
			theta := position * math.Pow(base, -float64(i)/float64(d))
			off := (math.Abs(theta)*(2*math.Abs(power)+expUnits+1) + expUnits + 2) * acc
			a, b := x.f[first+i], x.f[first+i+d]
			tol := off * (math.Abs(a) + math.Abs(b))
			want[first+i] = approx{a*math.Cos(theta) - b*math.Sin(theta), tol}
			want[first+i+d] = approx{b*math.Cos(theta) + a*math.Sin(theta), tol}
		}
	}
	return compare(out, want)
}
