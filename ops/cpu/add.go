package cpu

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Add implements backend.Add for a, b and out of one dtype F and one shape of any number of dimensions. BF16 and F16 are
// added in float32 and rounded. out may be a or b.
func (Go) Add(out, a, b backend.Value) error {
	if err := checkOperands("add", out, a, b); err != nil {
		return err
	}
	if a.Dtype() == tensor.Float64 {
		return add[float64](out, a, b)
	}
	return add[float32](out, a, b)
}

func add[A accumulator](out, a, b backend.Value) error {
	l := getLoop[addition[A]]()
	defer l.free()
	shape := a.Shape()
	var err error
	if l.s.a, err = floatsOf[A]("add", "a", a, shape...); err != nil {
		return err
	}
	if l.s.b, err = floatsOf[A]("add", "b", b, shape...); err != nil {
		return err
	}
	if l.s.out, err = floatsOf[A]("add", "out", out, shape...); err != nil {
		return err
	}
	if err := checkDtype("add", "b", b, a.Dtype()); err != nil {
		return err
	}
	if err := checkDtype("add", "out", out, a.Dtype()); err != nil {
		return err
	}
	l.run(backend.Elements(shape), 1<<14)
	return nil
}

type addition[A accumulator] struct{ out, a, b floats[A] }

func (s *addition[A]) span(from, to int) {
	var bufA, bufB, sums [tile]A
	for lo := from; lo < to; lo += tile {
		hi := min(lo+tile, to)
		terms := s.b.read(lo, hi, bufB[:])
		for i, v := range s.a.read(lo, hi, bufA[:]) {
			sums[i] = v + terms[i]
		}
		s.out.write(lo, sums[:hi-lo])
	}
}
