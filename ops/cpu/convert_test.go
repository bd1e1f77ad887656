package cpu

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// floatDtypes are the dtypes called F in package backend.
var floatDtypes = []tensor.Dtype{tensor.Float32, tensor.Float64, backend.BFloat16, backend.Float16}

// hostTensor is a tensor of the given elements, or of zeros if there are none.
func hostTensor[E any](t testing.TB, shape []int, elements ...E) *tensor.Dense {
	t.Helper()
	d := tensor.New(tensor.Of(tensor.Dtype{Type: reflect.TypeFor[E]()}), tensor.WithShape(shape...))
	if len(elements) > 0 && copy(elementsIn[E](t, d), elements) != backend.Elements(shape) {
		t.Fatalf("%d elements for shape %v", len(elements), shape)
	}
	return d
}

// floatTensor is a tensor of dtype dt whose elements are the given ones, rounded.
func floatTensor(t testing.TB, dt tensor.Dtype, shape []int, elements ...float64) *tensor.Dense {
	t.Helper()
	d := tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
	f, err := floatsOf[float64]("test", "tensor", d, shape...)
	if err != nil {
		t.Fatal(err)
	}
	if len(elements) > 0 {
		f.write(0, elements)
	}
	return d
}

func elementsIn[E any](t testing.TB, v backend.Value) []E {
	t.Helper()
	s, err := backend.Slice[E](v)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func floatsIn(t testing.TB, v backend.Value) []float64 {
	t.Helper()
	f, err := floatsOf[float64]("test", "tensor", v, v.Shape()...)
	if err != nil {
		t.Fatal(err)
	}
	n := backend.Elements(v.Shape())
	return slices.Clone(f.read(0, n, make([]float64, n)))
}

// sameFloats reports whether the values are equal, a NaN being equal to a NaN.
func sameFloats(a, b []float64) bool {
	return slices.EqualFunc(a, b, func(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) })
}

func TestFloatsReadAndWrite(t *testing.T) {
	// Exact in every dtype.
	values := []float64{0, 1, -2.5, 0.125, 448, math.Inf(1), math.Inf(-1), math.NaN()}
	for _, dt := range floatDtypes {
		d := floatTensor(t, dt, []int{2, 4}, values...)
		if got := floatsIn(t, d); !sameFloats(got, values) {
			t.Errorf("%v as float64: got %v, want %v", dt, got, values)
		}
		f, err := floatsOf[float32]("test", "tensor", d, 2, 4)
		if err != nil {
			t.Fatal(err)
		}
		var buf [3]float32
		f.write(5, f.read(1, 4, buf[:]))
		if got, want := floatsIn(t, d), slices.Concat(values[:5], values[1:4]); !sameFloats(got, want) {
			t.Errorf("%v after a write as float32: got %v, want %v", dt, got, want)
		}
		if got := f.at(2); got != -2.5 {
			t.Errorf("%v: element 2 is %v, want -2.5", dt, got)
		}
	}
}

func TestFloatsOfRefuses(t *testing.T) {
	whole := hostTensor[float32](t, []int{4, 6})
	view, err := whole.Slice(nil, tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		v     backend.Value
		shape []int
		want  error
	}{
		"dtype":          {hostTensor[int32](t, []int{2}), []int{2}, backend.ErrDtype},
		"codes":          {hostTensor[backend.F8E4M3](t, []int{2}), []int{2}, backend.ErrDtype},
		"shape":          {whole, []int{6, 4}, backend.ErrShape},
		"rank":           {whole, []int{24}, backend.ErrShape},
		"not contiguous": {view, []int{4, 2}, backend.ErrValue},
		"nil":            {nil, nil, backend.ErrValue},
	} {
		if _, err := floatsOf[float32]("test", "tensor", c.v, c.shape...); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestTilesCoverMatrix(t *testing.T) {
	for _, width := range []int{0, 1, tile - 1, tile, 2*tile + 3} {
		const rows = 5
		visits := make([]int, rows*width)
		var bad fault
		split(rows*width, 100, func(at, end int) {
			tiles(at, end, width, func(row, lo, hi int) {
				if lo >= hi || hi-lo > tile || hi > width {
					bad.report(row)
					return
				}
				for j := lo; j < hi; j++ {
					visits[row*width+j]++
				}
			})
		})
		if bad.found || slices.ContainsFunc(visits, func(n int) bool { return n != 1 }) {
			t.Errorf("width %d: visits %v, faults %v", width, visits, bad.found)
		}
	}
}

func TestFaultKeepsLeast(t *testing.T) {
	var f fault
	parallel(100, func(i int) { f.report(100 - i) })
	if !f.found || f.at != 1 {
		t.Fatalf("got %v at %d, want the fault at 1", f.found, f.at)
	}
}
