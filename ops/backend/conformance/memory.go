package conformance

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"slices"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// garbage is the byte that memory without meaning is filled with.
type garbage byte

const (
	garbageNaN    garbage = 0xff // a NaN in every floating-point format, −1 in every integer
	garbageFinite garbage = 0x5a // finite in every floating-point format, large in every wider integer
)

// floats are the dtypes that package backend calls F.
var floats = []tensor.Dtype{tensor.Float32, tensor.Float64, backend.BFloat16, backend.Float16}

// marginElements lie before and after each host tensor. Odd, so that a tensor's address is a multiple of its element's size
// and of nothing more.
const marginElements = 7

// margin is the memory around a host tensor.
type margin struct {
	what          string
	before, after []byte
	fill          garbage
}

func (m margin) check() error {
	for _, side := range []struct {
		name  string
		bytes []byte
	}{{"before", m.before}, {"behind", m.after}} {
		if bytes.Count(side.bytes, []byte{byte(m.fill)}) != len(side.bytes) {
			return fmt.Errorf("memory %s %s was written to", side.name, m.what)
		}
	}
	return nil
}

// alloc makes a host tensor filled with a byte, with margins around it: NaN for floating-point formats, for integers a number
// that is no index of anything.
func (e *env) alloc(dt tensor.Dtype, fill garbage, shape ...int) *tensor.Dense {
	n := backend.Elements(shape)
	if n == 0 {
		return must(backend.Host.New(dt, shape)).(*tensor.Dense)
	}
	whole := reflect.MakeSlice(reflect.SliceOf(dt.Type), n+2*marginElements, n+2*marginElements)
	size := int(dt.Size())
	memory := unsafe.Slice((*byte)(whole.UnsafePointer()), size*whole.Len())
	m := margin{
		what:   fmt.Sprintf("a tensor of %v %v", dt, shape),
		before: memory[:size*marginElements],
		after:  memory[size*(marginElements+n):],
		fill:   garbageFinite,
	}
	if isFloat(dt) {
		m.fill = garbageNaN
	}
	set(memory, byte(fill))
	set(m.before, byte(m.fill))
	set(m.after, byte(m.fill))
	e.margins = append(e.margins, m)
	elements := whole.Slice3(marginElements, marginElements+n, marginElements+n)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(elements.Interface()))
}

func isFloat(dt tensor.Dtype) bool { return dt == backend.Float8E4M3 || slices.Contains(floats, dt) }

func set(memory []byte, b byte) { copy(memory, bytes.Repeat([]byte{b}, len(memory))) }

// must is for calls that cannot fail on the suite's own tensors; a panic is reported as the check's failure.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// template is a destination's dtype and shape; only poisoned copies of it are handed to a stage.
func template(dt tensor.Dtype, shape ...int) backend.Value {
	return must(backend.Host.New(dt, shape))
}

// poisoned is a host value like v, every part filled with garbage.
func (e *env) poisoned(v backend.Value, fill garbage) backend.Value {
	if c, ok := v.(backend.Composite); ok {
		parts := slices.Clone(c.Parts())
		for i, p := range parts {
			parts[i] = e.poisoned(p, fill)
		}
		return must(c.With(parts))
	}
	if d, ok := v.(*tensor.Dense); ok {
		return e.alloc(d.Dtype(), fill, d.Shape()...)
	}
	if q, ok := v.(*backend.BlockQuantized); ok {
		data := must(backend.Bytes(e.alloc(tensor.Uint8, fill, len(q.Bytes()))))
		return must(backend.NewBlockQuantized(q.BlockFormat(), q.Shape(), data))
	}
	return v
}

// withGaps is a view of a copy of m whose rows have a NaN (or a number out of every range) between them.
func (e *env) withGaps(m *tensor.Dense) (*tensor.Dense, error) {
	rows, cols := m.Shape()[0], m.Shape()[1]
	wide := e.alloc(m.Dtype(), garbageNaN, rows, cols+1)
	to, from := must(backend.Bytes(wide)), must(backend.Bytes(m))
	if !isFloat(m.Dtype()) {
		set(to, byte(garbageFinite))
	}
	size := int(m.Dtype().Size())
	for i := range rows {
		copy(to[i*(cols+1)*size:], from[i*cols*size:(i+1)*cols*size])
	}
	view, err := wide.Slice(nil, tensor.S(0, cols))
	if err != nil {
		return nil, err
	}
	return view.(*tensor.Dense), nil
}

// leaves are the tensors that v consists of.
func leaves(v backend.Value) []*tensor.Dense {
	switch v := v.(type) {
	case backend.Composite:
		var all []*tensor.Dense
		for _, p := range v.Parts() {
			all = append(all, leaves(p)...)
		}
		return all
	case *tensor.Dense:
		return []*tensor.Dense{v}
	case *backend.BlockQuantized:
		if len(v.Bytes()) > 0 {
			return []*tensor.Dense{tensor.New(tensor.WithBacking(v.Bytes()))}
		}
	}
	return nil
}

// snapshot copies the elements of a host value.
func snapshot(v backend.Value) [][]byte {
	var all [][]byte
	for _, d := range leaves(v) {
		if backend.Elements(d.Shape()) == 0 {
			all = append(all, nil)
			continue
		}
		all = append(all, bytes.Clone(must(backend.Bytes(must(backend.Contiguous(d))))))
	}
	return all
}

// firstDifference is the first element at which two tensors of one shape differ in a bit, −1 if none does. Two NaNs are equal
// whatever their bits: no stage that computes promises a payload.
func firstDifference(a, b *tensor.Dense) int {
	x, y := must(backend.Bytes(a)), must(backend.Bytes(b))
	if a.Dtype() != b.Dtype() || len(x) != len(y) {
		return 0
	}
	if bytes.Equal(x, y) {
		return -1
	}
	var f, g []float64
	if isFloat(a.Dtype()) {
		f, g = must(load(a)), must(load(b))
	}
	size := int(a.Dtype().Size())
	for i := range len(x) / size {
		if bytes.Equal(x[i*size:(i+1)*size], y[i*size:(i+1)*size]) || f != nil && math.IsNaN(f[i]) && math.IsNaN(g[i]) {
			continue
		}
		return i
	}
	return -1
}

// indexOf is element i of a row-major tensor as an index for each dimension.
func indexOf(shape tensor.Shape, i int) []int {
	index := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		index[d] = i % max(shape[d], 1)
		i /= max(shape[d], 1)
	}
	return index
}
