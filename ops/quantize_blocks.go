package ops

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/internal/hugepages"
	"github.com/gorgonia/moe/ops/backend"
)

// Formats of weights in blocks of 32 elements.
const (
	Q8_0 = backend.Q8_0
	Q4_0 = backend.Q4_0
)

// QuantizeBlocks makes a weight of 8.5 or 4.5 bits an element of w, (N,D) or (E,N,D): blocks of 32 neighbours along D that share a
// scale. backend.BlockFormat.Narrow says how numbers are rounded and how far off that is. w is float32, BFloat16 or Float16, a
// tensor or an ExpertStack; of a stack the result is one value (E,N,D). A w on a device is copied to the host, where the result
// lives. The result takes w's place in Linear, GroupedMatMul and Experts; it counts as float32. Its Unpack goes the other way.
//
// A NaN, an infinity or a number too large for a scale of float16 is an ErrValue that tells its place. The same w gives the same
// bytes.
func QuantizeBlocks(w backend.Value, format backend.BlockFormat) (*backend.BlockQuantized, error) {
	q, err := quantizeBlocks(w, format)
	if err != nil {
		return nil, fmt.Errorf("quantizeblocks: %w", err)
	}
	return q, nil
}

func quantizeBlocks(w backend.Value, format backend.BlockFormat) (*backend.BlockQuantized, error) {
	if err := backend.CheckValue(w); err != nil {
		return nil, fmt.Errorf("w %w", err)
	}
	if !format.Valid() {
		return nil, fmt.Errorf("format %d is unknown: %w", format, backend.ErrParameter)
	}
	shape := w.Shape()
	n := len(shape)
	if n != 2 && n != 3 {
		return nil, fmt.Errorf("w has shape %v, want (N,D) or (E,N,D): %w", shape, backend.ErrShape)
	}
	w, err := backend.To(backend.Host, w)
	if err != nil {
		return nil, err
	}
	if bytes, err := backend.TensorBytes(w.Dtype(), shape); err != nil {
		return nil, err
	} else if uintptr(bytes) > w.MemSize() {
		return nil, fmt.Errorf("w is a %T of shape %v in %d bytes, want a tensor or an ExpertStack of such: %w", w, shape, w.MemSize(), backend.ErrValue)
	}
	parts := []backend.Value{w}
	if s, ok := w.(*backend.ExpertStack); ok {
		parts = s.Parts()
	}
	rows, d := shape[:n-1], shape[n-1]
	data := make([]byte, backend.Elements(rows)*format.RowBytes(d))
	hugepages.Want(data)
	done := 0
	for _, part := range parts {
		some := backend.Elements(part.Shape()[:len(part.Shape())-1])
		if err := narrowRows(data[done*format.RowBytes(d):], part, some, d, format); err != nil {
			var at *rowError
			if errors.As(err, &at) {
				return nil, fmt.Errorf("w, row %v, %w", indexOf(rows, done+at.row), at.err)
			}
			return nil, err
		}
		done += some
	}
	if want := backend.Elements(rows); done != want {
		return nil, fmt.Errorf("the blocks of w have %d rows, want the %d of shape %v: %w", done, want, shape, backend.ErrShape)
	}
	return backend.NewBlockQuantized(format, shape, data)
}

// indexOf is row i of all as an index for each of the dimensions.
func indexOf(dims tensor.Shape, i int) []int {
	if len(dims) == 1 {
		return []int{i}
	}
	return []int{i / dims[1], i % dims[1]}
}

// rowError is what is wrong with a row.
type rowError struct {
	row int
	err error
}

func (e *rowError) Error() string { return fmt.Sprintf("row %d: %v", e.row, e.err) }
func (e *rowError) Unwrap() error { return e.err }

// narrowRows quantises the rows of a tensor.
func narrowRows(data []byte, v backend.Value, rows, d int, format backend.BlockFormat) error {
	if shape := v.Shape(); shape[len(shape)-1] != d {
		return fmt.Errorf("a block of w has shape %v, want rows of %d: %w", shape, d, backend.ErrShape)
	}
	t, err := backend.Contiguous(v)
	if err != nil {
		return err
	}
	switch t.Dtype() {
	case tensor.Float32:
		return narrowSlice[float32](data, t, rows, d, format)
	case backend.BFloat16:
		return narrowSlice[backend.BF16](data, t, rows, d, format)
	case backend.Float16:
		return narrowSlice[backend.F16](data, t, rows, d, format)
	}
	return fmt.Errorf("w is %v, want float32, bfloat16 or float16: %w", t.Dtype(), backend.ErrDtype)
}

// narrowSlice shares the rows out to all CPUs. Of several that are wrong it tells the first.
func narrowSlice[T backend.Number](data []byte, t *tensor.Dense, rows, d int, format backend.BlockFormat) error {
	from, err := backend.Slice[T](t)
	if err != nil || len(from) == 0 {
		return err
	}
	pieces := runtime.GOMAXPROCS(0)
	errs := make([]error, pieces)
	var workers sync.WaitGroup
	for i := range pieces {
		workers.Go(func() {
			row := make([]float32, d)
			for r := i * rows / pieces; r < (i+1)*rows/pieces; r++ {
				backend.Widen(row, from[r*d:])
				if err := format.Narrow(data[r*format.RowBytes(d):], row); err != nil {
					errs[i] = &rowError{r, err}
					return
				}
			}
		})
	}
	workers.Wait()
	return cmp.Or(errs...)
}
