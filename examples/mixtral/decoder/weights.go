package decoder

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/ops/backend"
)

// littleEndian says whether the host's numbers are in the order of a safetensors file.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// weight makes a host tensor of a checkpoint's: of float32, BFloat16 or Float16 over the file's own memory where that is
// aligned for it, a copy elsewhere; float64 is rounded to float32.
func weight(t checkpoint.Tensor) (*tensor.Dense, error) {
	switch t.DType {
	case "F32":
		return dense(t, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }), nil
	case "BF16":
		return dense(t, func(b []byte) backend.BF16 { return backend.BF16(binary.LittleEndian.Uint16(b)) }), nil
	case "F16":
		return dense(t, func(b []byte) backend.F16 { return backend.F16(binary.LittleEndian.Uint16(b)) }), nil
	case "F64":
		out := make([]float32, len(t.Data)/8)
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(t.Data[8*i:])))
		}
		return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(out)), nil
	}
	return nil, fmt.Errorf("tensor %q is %s, want F32, BF16, F16 or F64: %w", t.Name, t.DType, backend.ErrDtype)
}

// dense views t's bytes as elements, or decodes them one by one if they cannot be viewed.
func dense[E float32 | backend.BF16 | backend.F16](t checkpoint.Tensor, decode func([]byte) E) *tensor.Dense {
	size := int(unsafe.Sizeof(*new(E)))
	n := len(t.Data) / size
	var data []E
	if p := unsafe.Pointer(unsafe.SliceData(t.Data)); littleEndian && uintptr(p)%uintptr(size) == 0 {
		data = unsafe.Slice((*E)(p), n)
	} else {
		data = make([]E, n)
		for i := range data {
			data[i] = decode(t.Data[i*size:])
		}
	}
	return tensor.New(tensor.WithShape(t.Shape...), tensor.WithBacking(data))
}

// part is element i of a tensor's first dimension: expert i's matrix of a stacked weight.
func part(t checkpoint.Tensor, i int) checkpoint.Tensor {
	size := len(t.Data) / t.Shape[0]
	t.Data, t.Shape = t.Data[i*size:(i+1)*size], t.Shape[1:]
	return t
}

// rows is rows lo to hi of a matrix.
func rows(t checkpoint.Tensor, lo, hi int) checkpoint.Tensor {
	size := len(t.Data) / t.Shape[0]
	t.Data, t.Shape = t.Data[lo*size:hi*size], []int{hi - lo, t.Shape[1]}
	return t
}
