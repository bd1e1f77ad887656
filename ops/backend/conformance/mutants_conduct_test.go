package conformance

import (
	"errors"
	"math/rand/v2"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// conductMutants compute the right numbers and break what holds for every stage. Linear and Add stand for all.
var conductMutants = []mutant{
	{"a source is written to", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		return errors.Join(r.Linear(out, x, w), editFloats(x, func(f []float64) { each(f, func(float64) float64 { return 0 }) }))
	}}},
	{"a byte behind the destination is written to", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		err := r.Linear(out, x, w)
		if f, e := backend.Slice[float32](out); e == nil && err == nil && len(f) > 0 {
			*(*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(f)), 4*len(f))) = 0
		}
		return err
	}}},
	{"an element in front of a source is read", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		err := r.Linear(out, x, w)
		if f, e := backend.Slice[float32](x); e == nil && err == nil && len(f) > 0 && backend.Elements(out.Shape()) > 0 {
			before := *(*float32)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(f)), -4))
			return editFloats(out, func(o []float64) { o[0] += 0 * float64(before) })
		}
		return err
	}}},
	{"two runs differ", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		return errors.Join(r.Linear(out, x, w), editFloats(out, func(f []float64) {
			each(f, func(x float64) float64 { return x * (1 + float64(rand.IntN(2))*0x1p-23) }) // within the tolerance
		}))
	}}},
	{"declined after the destination was written to", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		return errors.Join(r.Linear(out, x, w), backend.ErrUnsupported)
	}}},
	{"a panic", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		if x.Dtype() == tensor.Int64 {
			panic("int64")
		}
		return r.Linear(out, x, w)
	}}},
	{"misfits are taken", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		if err := r.Linear(out, x, w); !errors.Is(err, backend.ErrShape) {
			return err
		}
		return nil
	}}},
	{"an error without a sentinel", "Linear", linearMutant{f: func(r reference, out, x, w backend.Value) error {
		if err := r.Linear(out, x, w); err != nil {
			return errors.New(err.Error())
		}
		return nil
	}}},
	{"a view is read as if it had no gaps", "Add", addMutant{f: func(r reference, out, a, b backend.Value) error {
		return r.Add(out, withoutStrides(a), b)
	}}},
}

// withoutStrides is a tensor over the memory of a view as if its rows followed each other.
func withoutStrides(v backend.Value) backend.Value {
	d, ok := v.(*tensor.Dense)
	if !ok || d.Shape().Dims() != 2 || d.DataOrder().IsContiguous() || d.Dtype() != tensor.Float32 {
		return v
	}
	f := d.Data().([]float32)
	return tensor.New(tensor.WithShape(d.Shape()...), tensor.WithBacking(f[:backend.Elements(d.Shape())]))
}
