package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// operand is a host tensor of floating-point numbers together with the exact float64 of each element.
type operand struct {
	value *tensor.Dense
	f     []float64
}

// row is row i of the operand seen as a matrix of its last dimension's width.
func (o operand) row(i int) []float64 {
	shape := o.value.Shape()
	n := shape[len(shape)-1]
	return o.f[i*n : (i+1)*n]
}

// matrix is matrix i of the operand seen as a stack of matrices.
func (o operand) matrix(i int) []float64 {
	shape := o.value.Shape()
	n := shape[len(shape)-1] * shape[len(shape)-2]
	return o.f[i*n : (i+1)*n]
}

// set makes elements have a value, rounded to the operand's dtype.
func (o operand) set(x float64, at ...int) {
	for _, i := range at {
		o.f[i] = x
	}
	o.flush()
}

// flush writes f to the tensor and keeps of it what the rounding leaves.
func (o operand) flush() {
	store(o.value, o.f)
	copy(o.f, must(load(o.value)))
}

// floats makes an operand of numbers that draw gives, rounded to dt.
func (e *env) floats(dt tensor.Dtype, draw func(*rand.Rand) float64, shape ...int) operand {
	o := operand{e.alloc(dt, garbageNaN, shape...), make([]float64, backend.Elements(shape))}
	for i := range o.f {
		o.f[i] = draw(e.rng)
	}
	o.flush()
	return o
}

// normal draws from the standard normal distribution.
func normal(r *rand.Rand) float64 { return r.NormFloat64() }

// scaled draws from the normal distribution of a standard deviation.
func scaled(sigma float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return sigma * r.NormFloat64() }
}

// constant draws always the same.
func constant(x float64) func(*rand.Rand) float64 { return func(*rand.Rand) float64 { return x } }

// oneOf draws one of a few numbers.
func oneOf(values ...float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 { return values[r.IntN(len(values))] }
}

// greatest draws numbers next to the greatest of a dtype, of which two may have a difference that is none, and 0.
func greatest(dt tensor.Dtype) func(*rand.Rand) float64 {
	most := 3.3e38
	switch dt {
	case tensor.Float64:
		most = 1.7e308
	case backend.Float16:
		most = 65504
	}
	return oneOf(most, -most, most/2, 0)
}

// mostly draws as draw does, but every tenth number or so is one of values.
func mostly(draw func(*rand.Rand) float64, values ...float64) func(*rand.Rand) float64 {
	return func(r *rand.Rand) float64 {
		if r.IntN(10) == 0 {
			return values[r.IntN(len(values))]
		}
		return draw(r)
	}
}

// ints makes a host tensor of int32.
func (e *env) ints(values []int32, shape ...int) *tensor.Dense {
	d := e.alloc(tensor.Int32, garbageFinite, shape...)
	copy(must(backend.Slice[int32](d)), values)
	return d
}

// random fills a host tensor of any dtype with random bytes.
func (e *env) random(dt tensor.Dtype, shape ...int) *tensor.Dense {
	d := e.alloc(dt, garbageFinite, shape...)
	memory := must(backend.Bytes(d))
	for i := range memory {
		memory[i] = byte(e.rng.Uint32())
	}
	return d
}

// quantized makes a quantized operand of random finite codes and of scales over four powers of two.
func (e *env) quantized(blockRows, blockCols int, shape ...int) (*backend.Quantized, operand) {
	codes := e.alloc(backend.Float8E4M3, garbageNaN, shape...)
	memory := must(backend.Slice[backend.F8E4M3](codes))
	for i := range memory {
		memory[i] = backend.F8E4M3(e.rng.IntN(0x7f) | e.rng.IntN(2)<<7) // 0x7f is NaN
	}
	scaleShape := must(backend.ScaleShape(shape, blockRows, blockCols))
	scales := e.floats(tensor.Float32, func(r *rand.Rand) float64 { return math.Exp2(4*r.Float64() - 8) }, scaleShape...)
	q := must(backend.QuantizedOf(codes, scales.value, blockRows, blockCols))
	return q, operand{codes, must(dequantize(q))}
}

// dequantize gives the numbers that a host value of codes and scales stands for.
func dequantize(q *backend.Quantized) ([]float64, error) {
	out, err := load(q.Codes)
	if err != nil {
		return nil, err
	}
	scales, err := load(q.Scales)
	if err != nil {
		return nil, err
	}
	for i := range out {
		out[i] *= scales[scaleIndex(q, i)]
	}
	return out, nil
}

// scaleIndex is the place in q.Scales of the scale for code i.
func scaleIndex(q *backend.Quantized, i int) int {
	shape, scales := q.Codes.Shape(), q.Scales.Shape()
	n := len(shape)
	rows, cols := shape[n-2], shape[n-1]
	matrix, row, col := i/(rows*cols), i/cols%rows, i%cols
	return (matrix*scales[n-2]+row/q.BlockRows)*scales[n-1] + col/q.BlockCols
}

// store rounds f to the dtype of a host tensor.
func store(d *tensor.Dense, f []float64) {
	switch d.Dtype() {
	case tensor.Float32:
		put(d, f, func(x float64) float32 { return float32(x) })
	case tensor.Float64:
		put(d, f, func(x float64) float64 { return x })
	case backend.BFloat16:
		put(d, f, func(x float64) backend.BF16 { return backend.ToBF16(float32(x)) })
	case backend.Float16:
		put(d, f, func(x float64) backend.F16 { return backend.ToF16(float32(x)) })
	default:
		panic(fmt.Sprintf("%v is no floating-point dtype of the suite", d.Dtype()))
	}
}

func put[E any](d *tensor.Dense, f []float64, round func(float64) E) {
	for i, to := 0, must(backend.Slice[E](d)); i < len(f); i++ {
		to[i] = round(f[i])
	}
}

// load gives the elements of a contiguous host tensor of a floating-point dtype, exactly.
func load(v backend.Value) ([]float64, error) {
	switch dt := v.Dtype(); dt {
	case tensor.Float32:
		return get(v, func(x float32) float64 { return float64(x) })
	case tensor.Float64:
		return get(v, func(x float64) float64 { return x })
	case backend.BFloat16:
		return get(v, func(x backend.BF16) float64 { return float64(x.Float32()) })
	case backend.Float16:
		return get(v, func(x backend.F16) float64 { return float64(x.Float32()) })
	case backend.Float8E4M3:
		return get(v, func(x backend.F8E4M3) float64 { return float64(x.Float32()) })
	default:
		return nil, fmt.Errorf("a value of %v, want a floating-point dtype: %w", dt, backend.ErrDtype)
	}
}

func get[E any](v backend.Value, widen func(E) float64) ([]float64, error) {
	from, err := backend.Slice[E](v)
	if err != nil {
		return nil, err
	}
	f := make([]float64, len(from))
	for i, x := range from {
		f[i] = widen(x)
	}
	return f, nil
}

// foreign is a value of a Go type that no stage can read.
func foreign() backend.Value { return gorgonia.NewF32(1) }

// named is a value with what is special about it.
type named struct {
	name  string
	value backend.Value
}

// unlike are values that must not stand where a tensor of this dtype and shape belongs. They hold zeros, so that nothing but
// the type and shape is wrong with them.
func (e *env) unlike(dt tensor.Dtype, shape ...int) []named {
	longer := append([]int(nil), shape...)
	longer[len(longer)-1]++
	return []named{
		{"dtype", e.alloc(tensor.Int64, 0, shape...)},
		{"shape", e.alloc(dt, 0, longer...)},
		{"rank", e.alloc(dt, 0, append(shape, 1)...)},
		{"Go type", foreign()},
	}
}

// misfits are calls in which the destination, or one of the sources that are tensors, is unlike what it has to be.
func (e *env) misfits(out backend.Value, in ...backend.Value) []refusal {
	var calls []refusal
	for i := -1; i < len(in); i++ {
		v := out
		if i >= 0 {
			v = in[i]
		}
		d, ok := v.(*tensor.Dense)
		if !ok {
			continue
		}
		for _, wrong := range e.unlike(d.Dtype(), d.Shape()...) {
			if i < 0 {
				calls = append(calls, refusal{"wrong " + wrong.name + " of the destination", wrong.value, in})
				continue
			}
			sources := slices.Clone(in)
			sources[i] = wrong.value
			calls = append(calls, refusal{fmt.Sprintf("wrong %s of source %d", wrong.name, i), out, sources})
		}
	}
	return calls
}
