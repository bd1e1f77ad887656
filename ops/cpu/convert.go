package cpu

import (
	"fmt"
	"slices"
	"sync"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// accumulator is a type that arithmetic runs in.
type accumulator interface{ float32 | float64 }

// tile is the number of elements that a stage reads, computes and writes at a time: its scratch stays in the L1 cache.
const tile = 512

// floats sees the elements of a tensor of any F dtype as A.
type floats[A accumulator] struct {
	same []A // the elements themselves, where they are of type A
	f32  []float32
	f64  []float64
	bf16 []backend.BF16
	f16  []backend.F16
}

// floatsOf is the tensor v, which must be contiguous and of the given shape and an F dtype.
func floatsOf[A accumulator](stage, operand string, v backend.Value, shape ...int) (f floats[A], err error) {
	if err := checkShape(stage, operand, v, shape...); err != nil {
		return f, err
	}
	switch v.Dtype() {
	case tensor.Float32:
		f.f32, err = backend.Slice[float32](v)
		f.same, _ = any(f.f32).([]A)
	case tensor.Float64:
		f.f64, err = backend.Slice[float64](v)
		f.same, _ = any(f.f64).([]A)
	case backend.BFloat16:
		f.bf16, err = backend.Slice[backend.BF16](v)
	case backend.Float16:
		f.f16, err = backend.Slice[backend.F16](v)
	default:
		err = fmt.Errorf("got %v, want float32, float64, bfloat16 or float16: %w", v.Dtype(), backend.ErrDtype)
	}
	if err != nil {
		return f, fmt.Errorf("%s: %s: %w", stage, operand, err)
	}
	return f, nil
}

// read gives the elements [lo,hi), for reading only: the tensor's own memory, or a copy of them in buf.
func (f *floats[A]) read(lo, hi int, buf []A) []A {
	if f.same != nil {
		return f.same[lo:hi]
	}
	buf = buf[:hi-lo]
	switch {
	case f.f32 != nil:
		convert(buf, f.f32[lo:hi])
	case f.f64 != nil:
		convert(buf, f.f64[lo:hi])
	case f.bf16 != nil:
		for i, x := range f.bf16[lo:hi] {
			buf[i] = A(x.Float32())
		}
	case f.f16 != nil:
		for i, x := range f.f16[lo:hi] {
			buf[i] = A(x.Float32())
		}
	}
	return buf
}

// at is the element i.
func (f *floats[A]) at(i int) A {
	var buf [1]A
	return f.read(i, i+1, buf[:])[0]
}

// write stores src from element lo on. What is stored as BF16 or F16 is rounded to float32 first.
func (f *floats[A]) write(lo int, src []A) {
	hi := lo + len(src)
	switch {
	case f.same != nil:
		copy(f.same[lo:hi], src)
	case f.f32 != nil:
		convert(f.f32[lo:hi], src)
	case f.f64 != nil:
		convert(f.f64[lo:hi], src)
	case f.bf16 != nil:
		for i := range f.bf16[lo:hi] {
			f.bf16[lo+i] = backend.ToBF16(float32(src[i]))
		}
	case f.f16 != nil:
		for i := range f.f16[lo:hi] {
			f.f16[lo+i] = backend.ToF16(float32(src[i]))
		}
	}
}

func convert[D, S accumulator](dst []D, src []S) {
	for i, x := range src {
		dst[i] = D(x)
	}
}

// elementsOf is Slice[E] of v, whose shape must be the given one.
func elementsOf[E any](stage, operand string, v backend.Value, shape ...int) ([]E, error) {
	if err := checkShape(stage, operand, v, shape...); err != nil {
		return nil, err
	}
	s, err := backend.Slice[E](v)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", stage, operand, err)
	}
	return s, nil
}

func checkPlan(stage string, p *backend.Plan) error {
	if p == nil {
		return fmt.Errorf("%s: the plan is nil: %w", stage, backend.ErrValue)
	}
	return nil
}

func checkNotNil(stage, operand string, v backend.Value) error {
	if v == nil {
		return fmt.Errorf("%s: %s is nil: %w", stage, operand, backend.ErrValue)
	}
	return nil
}

func checkShape(stage, operand string, v backend.Value, want ...int) error {
	if err := checkNotNil(stage, operand, v); err != nil {
		return err
	}
	if !slices.Equal([]int(v.Shape()), want) {
		return fmt.Errorf("%s: %s has shape %v, want %v: %w", stage, operand, v.Shape(), tensor.Shape(slices.Clone(want)), backend.ErrShape)
	}
	return nil
}

func checkDtype(stage, operand string, v backend.Value, want tensor.Dtype) error {
	if v.Dtype() != want {
		return fmt.Errorf("%s: %s is %v, want %v: %w", stage, operand, v.Dtype(), want, backend.ErrDtype)
	}
	return nil
}

// matrixDims is the shape of v, which must have two dimensions.
func matrixDims(stage, operand string, v backend.Value) (rows, cols int, err error) {
	if err := checkNotNil(stage, operand, v); err != nil {
		return 0, 0, err
	}
	shape := v.Shape()
	if len(shape) != 2 {
		return 0, 0, fmt.Errorf("%s: %s has shape %v, want two dimensions: %w", stage, operand, shape, backend.ErrShape)
	}
	return shape[0], shape[1], nil
}

// tiles calls body for the elements [at,end) of a matrix of the given width, in stretches [lo,hi) of at most tile columns of a row.
func tiles(at, end, width int, body func(row, lo, hi int)) {
	for at < end {
		row, lo := at/width, at%width
		hi := min(lo+tile, width, lo+end-at)
		body(row, lo, hi)
		at += hi - lo
	}
}

// fault keeps the least of the positions that iterations of a loop report, in whatever order they run.
type fault struct {
	mu    sync.Mutex
	found bool
	at    int
}

func (f *fault) report(at int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.found || at < f.at {
		f.found, f.at = true, at
	}
}
