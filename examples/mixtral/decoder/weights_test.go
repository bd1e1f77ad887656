package decoder

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
	"github.com/gorgonia/moe/ops/backend"
)

// bytesAt returns n bytes that begin at an address of the form 8k+offset.
func bytesAt(offset, n int) []byte {
	b := make([]byte, n+16)
	start := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b)))&7) + offset
	return b[start : start+n]
}

func TestWeightDtypes(t *testing.T) {
	for _, c := range []struct {
		dtype checkpoint.DType
		bits  []uint64 // of 1, −2.5 and the smallest subnormal of the narrow formats
		want  []float32
		as    tensor.Dtype
	}{
		{checkpoint.F32, []uint64{0x3f80_0000, 0xc020_0000, 1}, []float32{1, -2.5, math.SmallestNonzeroFloat32}, tensor.Float32},
		{checkpoint.F64, []uint64{0x3ff0 << 48, 0xc004 << 48, 1}, []float32{1, -2.5, 0}, tensor.Float32},
		{checkpoint.BF16, []uint64{0x3f80, 0xc020, 1}, []float32{1, -2.5, 0x1p-133}, backend.BFloat16},
		{checkpoint.F16, []uint64{0x3c00, 0xc100, 1}, []float32{1, -2.5, 0x1p-24}, backend.Float16},
	} {
		size := c.dtype.Bits() / 8
		for offset := range 4 { // aligned for the dtype or not
			data := bytesAt(offset, 3*size)
			for i, b := range c.bits {
				copy(data[i*size:(i+1)*size], binary.LittleEndian.AppendUint64(nil, b))
			}
			w, err := weight(checkpoint.Tensor{Name: "w", DType: c.dtype, Shape: []int{3, 1}, Data: data})
			if err != nil {
				t.Fatal(err)
			}
			if w.Dtype() != c.as || !slices.Equal(w.Shape(), tensor.Shape{3, 1}) {
				t.Errorf("%v becomes %v of shape %v", c.dtype, w.Dtype(), w.Shape())
			}
			if got := widened(t, w); !slices.Equal(got, c.want) {
				t.Errorf("%v at offset %d reads %v, want %v", c.dtype, offset, got, c.want)
			}
			inPlace := w.Uintptr() == uintptr(unsafe.Pointer(unsafe.SliceData(data)))
			if want := littleEndian && c.dtype != checkpoint.F64 && offset%size == 0; inPlace != want {
				t.Errorf("%v at offset %d is used in place: %v, want %v", c.dtype, offset, inPlace, want)
			}
		}
	}
	if _, err := weight(checkpoint.Tensor{Name: "w", DType: checkpoint.I32, Shape: []int{1}, Data: make([]byte, 4)}); !errors.Is(err, backend.ErrDtype) {
		t.Errorf("I32: %v, want ErrDtype", err)
	}
}

func widened(t *testing.T, w *tensor.Dense) []float32 {
	t.Helper()
	out := make([]float32, backend.Elements(w.Shape()))
	switch data := w.Data().(type) {
	case []float32:
		return data
	case []backend.BF16:
		backend.Widen(out, data)
	case []backend.F16:
		backend.Widen(out, data)
	}
	return out
}

func TestPartsOfAStack(t *testing.T) {
	stack := checkpoint.Tensor{Name: "w", DType: checkpoint.F32, Shape: []int{2, 3, 2}, Data: bytesAt(0, 4*12)}
	for i := range 12 {
		binary.LittleEndian.PutUint32(stack.Data[4*i:], math.Float32bits(float32(i)))
	}
	w, err := weight(rows(part(stack, 1), 1, 3))
	if err != nil {
		t.Fatal(err)
	}
	if got := widened(t, w); !slices.Equal(got, []float32{8, 9, 10, 11}) || !slices.Equal(w.Shape(), tensor.Shape{2, 2}) {
		t.Errorf("rows 1 and 2 of the second matrix are %v of shape %v", got, w.Shape())
	}
	if !slices.Equal(stack.Shape, []int{2, 3, 2}) || len(stack.Data) != 4*12 {
		t.Error("the stack was changed")
	}
}
