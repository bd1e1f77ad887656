package conformance

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// What the mutants are made with. Values that the reference itself refuses pass through unchanged, so that a mutant differs
// from it in its one promise only.

func lastDim(v backend.Value) int {
	shape := v.Shape()
	if len(shape) == 0 {
		return 0
	}
	return shape[len(shape)-1]
}

func each[E any](s []E, f func(E) E) {
	for i, x := range s {
		s[i] = f(x)
	}
}

func orElse(x, instead float64) float64 {
	if math.IsNaN(x) {
		return instead
	}
	return x
}

func roundBF16(x float64) float64 { return float64(backend.ToBF16(float32(x)).Float32()) }

// editInts changes the elements of an int32 tensor in place.
func editInts(v backend.Value, edit func([]int32)) error {
	ints, err := backend.Slice[int32](v)
	if err == nil {
		edit(ints)
	}
	return err
}

// editedInts is a changed copy of an int32 tensor.
func editedInts(v backend.Value, f func(int32) int32) backend.Value {
	ints, err := backend.Slice[int32](v)
	if err != nil {
		return v
	}
	out := template(tensor.Int32, v.Shape()...)
	copy(must(backend.Slice[int32](out)), ints)
	each(must(backend.Slice[int32](out)), f)
	return out
}

// editFloats changes the elements of a tensor in place.
func editFloats(v backend.Value, edit func([]float64)) error {
	f, err := load(v)
	if err != nil {
		return err
	}
	edit(f)
	store(v.(*tensor.Dense), f)
	return nil
}

// editedAt is a copy of a tensor with each element changed by its index.
func editedAt(v backend.Value, change func(i int, x float64) float64) backend.Value {
	f, err := load(v)
	if err != nil || v.Dtype() == backend.Float8E4M3 {
		return v
	}
	for i, x := range f {
		f[i] = change(i, x)
	}
	out := template(v.Dtype(), v.Shape()...)
	store(out.(*tensor.Dense), f)
	return out
}

func edited(v backend.Value, change func(float64) float64) backend.Value {
	return editedAt(v, func(_ int, x float64) float64 { return change(x) })
}

// keepingRows calls a stage and gives some rows of its destination back what they held before.
func keepingRows(out backend.Value, call func() error, keep func(row int, t planTables) bool, p *backend.Plan) error {
	before := snapshot(out)
	if err := call(); err != nil {
		return err
	}
	after, t := must(backend.Bytes(out)), must(tablesOf(p))
	if len(after) == 0 {
		return nil
	}
	width := len(after) / p.Rows
	for row := range p.Rows {
		if keep(row, t) {
			copy(after[row*width:(row+1)*width], before[0][row*width:])
		}
	}
	return nil
}

// rearranged is a copy of a tensor whose element i is the tensor's element from(i).
func rearranged(v backend.Value, from func(i int) int) backend.Value {
	f, err := load(v)
	if err != nil {
		return v
	}
	return editedAt(v, func(i int, _ float64) float64 { return f[from(i)] })
}

// keepingElements calls a stage and gives some elements of its destination back what they held before.
func keepingElements(out backend.Value, call func() error, keep func(i int) bool) error {
	before := snapshot(out)
	if err := call(); err != nil {
		return err
	}
	after, size := must(backend.Bytes(out)), int(out.Dtype().Size())
	for i := range len(after) / size {
		if keep(i) {
			copy(after[i*size:(i+1)*size], before[0][i*size:])
		}
	}
	return nil
}
