package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func quantizeBlocksChecks(s backend.QuantizeBlocks) []check {
	call := func(out backend.Value, in []backend.Value) error {
		return s.QuantizeBlocks(out.(*backend.BlockQuantized), in[0])
	}
	var checks []check
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		add := func(name string, run func(e *env) error) {
			checks = append(checks, check{fmt.Sprintf("%v/%s", format, name), run})
		}
		makes := func(c factor, shapes ...[]int) {
			for _, shape := range shapes {
				add(fmt.Sprintf("%s/%v", c.name, shape), func(e *env) error {
					w, numbers := c.make(e, shape...)
					return e.quantizeBlocks(call, format, w, numbers)
				})
			}
		}
		for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16} {
			makes(dense(dt), []int{0, 5}, []int{3, 0}, []int{1, 1}, []int{5, 31}, []int{4, 32}, []int{130, 65}, []int{3, 2, 130}, []int{2, 70, 64})
			makes(stacked(dt, 0.5, 0.5), []int{3, 70, 131}, []int{2, 64, 32})
			makes(stacked(dt, 0.2, 0.5, 0.3), []int{3, 70, 131})
		}
		add("zeros and wide blocks", func(e *env) error {
			wide := func(r *rand.Rand) float64 { return math.Exp2(30*r.Float64()-25) * r.NormFloat64() }
			w := e.floats(tensor.Float32, wide, 70, 100)
			for row := range 10 {
				w.set(0, elementsOfRows([]int{7 * row}, 100)...)
			}
			return e.quantizeBlocks(call, format, w.value, w)
		})
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0x1p100} {
			add(fmt.Sprintf("an element that is %v", bad), func(e *env) error {
				w := e.floats(tensor.Float32, normal, 3, 40, 70)
				w.set(bad, (2*40+1)*70+33)
				return e.refuses(call, backend.ErrValue, refusal{"the element", blocksTemplate(format, 3, 40, 70), []backend.Value{w.value}})
			})
		}
		add("misfits", func(e *env) error {
			w := e.floats(tensor.Float32, normal, 5, 33)
			out := blocksTemplate(format, 5, 33)
			return e.refuses(call, nil, append(e.misfits(out, w.value),
				refusal{"float64", out, []backend.Value{e.alloc(tensor.Float64, 0, 5, 33)}},
				refusal{"a destination of another width", blocksTemplate(format, 5, 34), []backend.Value{w.value}},
				refusal{"a destination of more matrices", blocksTemplate(format, 1, 5, 33), []backend.Value{w.value}})...)
		})
	}
	return checks
}

// blocksTemplate is a destination in a format.
func blocksTemplate(format backend.BlockFormat, shape ...int) *backend.BlockQuantized {
	n := len(shape)
	return must(backend.NewBlockQuantized(format, shape, make([]byte, backend.Elements(shape[:n-1])*format.RowBytes(shape[n-1]))))
}

// quantizeBlocks runs the stage and wants the bytes that Narrow makes of each row: how it rounds is part of the format.
func (e *env) quantizeBlocks(call kernel, format backend.BlockFormat, w backend.Value, numbers operand) error {
	shape := numbers.value.Shape()
	out, err := e.apply(call, blocksTemplate(format, shape...), w)
	if err != nil {
		return err
	}
	got, d := out.(*backend.BlockQuantized).Bytes(), shape[len(shape)-1]
	size, row := format.RowBytes(d), make([]float32, d)
	want := make([]byte, size)
	for i := range backend.Elements(shape[:len(shape)-1]) {
		for k := range row {
			row[k] = float32(numbers.f[i*d+k])
		}
		if err := format.Narrow(want, row); err != nil {
			return err
		}
		for k := range want {
			if at := i*size + k; got[at] != want[k] {
				return fmt.Errorf("row %d, byte %d of its blocks is %#02x, want %#02x", i, k, got[at], want[k])
			}
		}
	}
	return nil
}
