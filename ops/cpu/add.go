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
	shape := a.Shape()
	x, err := floatsOf[A]("add", "a", a, shape...)
	if err != nil {
		return err
	}
	y, err := floatsOf[A]("add", "b", b, shape...)
	if err != nil {
		return err
	}
	dst, err := floatsOf[A]("add", "out", out, shape...)
	if err != nil {
		return err
	}
	if err := checkDtype("add", "b", b, a.Dtype()); err != nil {
		return err
	}
	if err := checkDtype("add", "out", out, a.Dtype()); err != nil {
		return err
	}
	tiles(1, backend.Elements(shape), 1<<14, func(_, lo, hi int) {
		var bufX, bufY, sums [tile]A
		terms := y.read(lo, hi, bufY[:])
		for i, v := range x.read(lo, hi, bufX[:]) {
			sums[i] = v + terms[i]
		}
		dst.write(lo, sums[:hi-lo])
	})
	return nil
}
