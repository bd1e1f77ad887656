package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func quantizeChecks(s backend.Quantize) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Quantize(out.(*backend.Quantized), in[0]) }
	var checks []check
	for _, dt := range floats {
		for _, blockRows := range []int{1, backend.QuantBlock} {
			for _, shape := range [][]int{
				{0, 5}, {3, 0}, {1, 1}, {2, 3}, {5, 127}, {4, 128}, {3, 129}, {130, 257}, {2, 3, 130}, {3, 130, 131}, {2, 2, 3, 5},
			} {
				for _, x := range []struct {
					name string
					draw func(*rand.Rand) float64
				}{
					{"normal", normal},
					{"sparse", oneOf(0, 0, 0, 1, -2, math.Copysign(0, -1))},
					{"zero", constant(0)},
					{"wide", func(r *rand.Rand) float64 { return math.Exp2(20*r.Float64()-8) * r.NormFloat64() }},
				} {
					checks = append(checks, check{fmt.Sprintf("%v/%s/%v in %dx%d", dt, x.name, shape, blockRows, backend.QuantBlock), func(e *env) error {
						in := e.floats(dt, x.draw, shape...)
						_, err := e.quantize(call, in, blockRows)
						return err
					}})
				}
			}
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/other blocks", dt), func(e *env) error {
				in := e.floats(dt, normal, 9, 50)
				out, err := e.apply(call, quantizedTemplate(in.value.Shape(), 4, 16), in.value)
				if err != nil {
					return err
				}
				return compareQuantized(out.(*backend.Quantized), in)
			}},
			check{fmt.Sprintf("%v/NaN and infinities", dt), func(e *env) error { return e.quantizeSpecial(call, dt) }},
			check{fmt.Sprintf("%v/tiny numbers", dt), func(e *env) error { return e.quantizeTiny(call, dt) }},
			check{fmt.Sprintf("%v/views", dt), func(e *env) error {
				return e.views(call, quantizedTemplate(tensor.Shape{5, 9}, 1, backend.QuantBlock), e.floats(dt, normal, 5, 9).value)
			}},
			check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
				x := e.alloc(dt, 0, 5, 9)
				calls := append(e.misfits(quantizedTemplate(tensor.Shape{5, 9}, 1, backend.QuantBlock), x),
					refusal{"a destination of another shape", quantizedTemplate(tensor.Shape{6, 9}, 1, backend.QuantBlock), []backend.Value{x}})
				return e.refuses(call, nil, calls...)
			}},
		)
	}
	return checks
}

func quantizedTemplate(shape tensor.Shape, blockRows, blockCols int) *backend.Quantized {
	return must(backend.NewQuantized(backend.Host, shape, blockRows, blockCols))
}

// quantize runs the stage and checks scales and codes.
func (e *env) quantize(call kernel, in operand, blockRows int) (*backend.Quantized, error) {
	out, err := e.apply(call, quantizedTemplate(in.value.Shape(), blockRows, backend.QuantBlock), in.value)
	if err != nil {
		return nil, err
	}
	q := out.(*backend.Quantized)
	return q, compareQuantized(q, in)
}

// compareQuantized wants max|x|/448 as the scale of each block (1 for a block of zeros) and the nearest code of x/scale. A
// backend may multiply by a rounded reciprocal instead of dividing: two roundings, for the scale as for the quotient. Where
// these decide between two codes, both are right.
func compareQuantized(q *backend.Quantized, in operand) error {
	codes, err := backend.Slice[backend.F8E4M3](q.Codes)
	if err != nil {
		return err
	}
	scales, err := load(q.Scales)
	if err != nil {
		return err
	}
	largest := make([]float64, len(scales))
	for i, x := range in.f {
		at := scaleIndex(q, i)
		largest[at] = math.Max(largest[at], math.Abs(x))
	}
	const two = 2 * 0x1p-24 * (1 + 0x1p-20)
	for i, scale := range scales {
		want := largest[i] / 448
		if want == 0 {
			want = 1
		}
		if !(math.Abs(scale-want) <= two*want) {
			return fmt.Errorf("scale %v = %v, want %v for a block whose largest magnitude is %v", indexOf(q.Scales.Shape(), i), scale, want, largest[i])
		}
	}
	for i, x := range in.f {
		exact := x / scales[scaleIndex(q, i)]
		low, high := backend.ToF8E4M3(float32(exact-two*math.Abs(exact))), backend.ToF8E4M3(float32(exact+two*math.Abs(exact)))
		if got := codes[i].Float32(); !(low.Float32() <= got && got <= high.Float32()) {
			return fmt.Errorf("code %v is %v, want %v for %v by scale %v", indexOf(q.Shape(), i), got, high, x, scales[scaleIndex(q, i)])
		}
	}
	return nil
}

// quantizeSpecial puts a NaN into one block and infinities into another. The contract leaves open whether they count for the
// block's scale, and so what their neighbours become. But a NaN stays NaN; an infinity becomes NaN, an infinity or the
// greatest code of its sign; and no other block changes.
func (e *env) quantizeSpecial(call kernel, dt tensor.Dtype) error {
	in := e.floats(dt, normal, 3, 2*backend.QuantBlock)
	width := 2 * backend.QuantBlock
	plain, err := e.quantize(call, in, 1)
	if err != nil {
		return err
	}
	special := []int{3, width + backend.QuantBlock, width + backend.QuantBlock + 7}
	for i, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		in.set(x, special[i])
	}
	out, err := e.apply(call, quantizedTemplate(in.value.Shape(), 1, backend.QuantBlock), in.value)
	if err != nil {
		return err
	}
	q := out.(*backend.Quantized)
	got, err := dequantize(q)
	if err != nil {
		return err
	}
	want := must(dequantize(plain))
	for _, i := range special {
		greatest := math.Copysign(448*must(load(q.Scales))[scaleIndex(q, i)], in.f[i])
		if x := got[i]; !math.IsNaN(x) && (math.IsNaN(in.f[i]) || x != in.f[i] && x != greatest) {
			return fmt.Errorf("%v became %v", in.f[i], x)
		}
	}
	for i, x := range got {
		block := scaleIndex(q, i)
		if block != scaleIndex(q, special[0]) && block != scaleIndex(q, special[1]) && x != want[i] {
			return fmt.Errorf("element %v became %v, was %v before another block held a NaN or an infinity", indexOf(q.Shape(), i), x, want[i])
		}
	}
	return nil
}

// quantizeTiny quantizes numbers so small that the scale is no normal float32, or zero. Whatever a device does with such
// numbers, the result stands for something no larger than they are.
func (e *env) quantizeTiny(call kernel, dt tensor.Dtype) error {
	least := 0x1p-149
	if dt == backend.Float16 {
		least = 0x1p-24
	}
	in := e.floats(dt, func(r *rand.Rand) float64 { return least * float64(r.IntN(9)-4) }, 6, backend.QuantBlock)
	out, err := e.apply(call, quantizedTemplate(in.value.Shape(), 1, backend.QuantBlock), in.value)
	if err != nil {
		return err
	}
	got, err := dequantize(out.(*backend.Quantized))
	if err != nil {
		return err
	}
	for i, x := range got {
		if !(math.Abs(x-in.f[i]) <= 8*least) {
			return fmt.Errorf("element %v became %v, was %v", indexOf(in.value.Shape(), i), x, in.f[i])
		}
	}
	return nil
}
