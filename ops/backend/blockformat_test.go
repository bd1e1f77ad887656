package backend_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

var blockFormats = []backend.BlockFormat{backend.Q8_0, backend.Q4_0}

// TestBlockLayout reads blocks that are written by hand.
func TestBlockLayout(t *testing.T) {
	two := []byte{0x00, 0x40} // float16 2, lower byte first
	q8, q4 := slices.Clone(two), slices.Clone(two)
	var want8, want4 []float32
	for i := range 32 {
		q8 = append(q8, byte(int8(4*i-128)))
		want8 = append(want8, 2*float32(4*i-128))
	}
	for i := range 16 {
		q4 = append(q4, byte(i)|byte(15-i)<<4)
		want4 = append(want4, 2*float32(i-8))
	}
	for i := range 16 {
		want4 = append(want4, 2*float32(15-i-8))
	}
	for f, c := range map[backend.BlockFormat]struct {
		block []byte
		want  []float32
	}{backend.Q8_0: {q8, want8}, backend.Q4_0: {q4, want4}} {
		if len(c.block) != f.BlockBytes() || f.RowBytes(33) != 2*len(c.block) || f.RowBytes(32) != len(c.block) || f.RowBytes(0) != 0 {
			t.Errorf("%v: a block of %d bytes, a row of 33 elements of %d", f, f.BlockBytes(), f.RowBytes(33))
		}
		for _, n := range []int{0, 1, 16, 17, 32} {
			got := make([]float32, n)
			f.Widen(got, c.block)
			if !slices.Equal(got, c.want[:n]) {
				t.Errorf("%v: %d elements %v, want %v", f, n, got, c.want[:n])
			}
		}
	}
}

// blockError is the bound of Narrow's doc for a block with the largest magnitude m, rounding of the scale included.
func blockError(f backend.BlockFormat, m float64) float64 {
	divisor := 127.
	if f == backend.Q4_0 {
		divisor = 8
	}
	d := m / divisor
	r := math.Abs(float64(backend.ToF16(float32(d)).Float32()) - d)
	if f == backend.Q4_0 {
		return d + 9*r
	}
	return max((d+r)/2, 127*r)
}

// TestBlockErrorBound draws rows of magnitudes over the whole range of the scales, their subnormals and what is too small for
// them included.
func TestBlockErrorBound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, f := range blockFormats {
		for range 20000 {
			w := make([]float32, 1+r.IntN(70))
			unit := math.Exp2(45*r.Float64() - 32)
			for i := range w {
				w[i] = float32(unit * r.NormFloat64())
			}
			row := make([]byte, f.RowBytes(len(w)))
			if err := f.Narrow(row, w); err != nil {
				t.Fatal(err)
			}
			back := make([]float32, len(w))
			f.Widen(back, row)
			for at := 0; at < len(w); at += backend.BlockElements {
				block := w[at:min(at+backend.BlockElements, len(w))]
				m := 0.
				for _, x := range block {
					m = max(m, math.Abs(float64(x)))
				}
				bound := blockError(f, m)
				for i, x := range block {
					if e := math.Abs(float64(x) - float64(back[at+i])); e > bound*(1+1e-6) {
						t.Fatalf("%v: %v becomes %v in a block up to %v: off by %v, bound %v", f, x, back[at+i], m, e, bound)
					}
				}
			}
			padding := make([]float32, len(row)/f.BlockBytes()*backend.BlockElements)
			f.Widen(padding, row)
			if i := slices.IndexFunc(padding[len(w):], func(x float32) bool { return x != 0 }); i >= 0 {
				t.Fatalf("%v: element %d of the padding is %v", f, i, padding[len(w)+i])
			}
		}
	}
}

// TestBlockNarrowKnownValues holds the rounding to what the formulas say.
func TestBlockNarrowKnownValues(t *testing.T) {
	for _, c := range []struct {
		format backend.BlockFormat
		w      []float32
		want   []float32
	}{
		{backend.Q8_0, []float32{127, 0.5, 1.5, 2.5, -0.5, -127, 126.4}, []float32{127, 0, 2, 2, 0, -127, 126}},
		{backend.Q8_0, []float32{-254, 3, 1}, []float32{-254, 4, 0}},
		{backend.Q4_0, []float32{-8, 7.5, 8, 0.5, 1.5, -7.5, 6.6}, []float32{-8, 7, 7, 0, 2, -8, 7}},
		{backend.Q4_0, []float32{8, -7.5, -8, 0.5, 1.5}, []float32{8, -7, -7, 0, 2}}, // a negative scale
		{backend.Q4_0, []float32{-16, 16}, []float32{-16, 14}},                       // the first of the largest decides
		{backend.Q4_0, []float32{16, -16}, []float32{16, -14}},
		{backend.Q8_0, []float32{0, 0}, []float32{0, 0}},
		{backend.Q4_0, []float32{0, 0}, []float32{0, 0}},
		{backend.Q8_0, []float32{1e-9}, []float32{0}}, // a scale that float16 rounds to 0
		{backend.Q4_0, []float32{-1e-9}, []float32{0}},
	} {
		row, got := make([]byte, c.format.RowBytes(len(c.w))), make([]float32, len(c.w))
		if err := c.format.Narrow(row, c.w); err != nil {
			t.Fatal(err)
		}
		if c.format.Widen(got, row); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v becomes %v, want %v", c.format, c.w, got, c.want)
		}
	}
}

func TestBlockNarrowRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, f := range blockFormats {
		for _, bad := range []float32{nan, inf, -inf, math.MaxFloat32, -1e7} {
			w := make([]float32, 40)
			w[37] = bad
			err := f.Narrow(make([]byte, f.RowBytes(len(w))), w)
			if !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), "element 37") {
				t.Errorf("%v, %v: error %v, want %v that names element 37", f, bad, err, backend.ErrValue)
			}
		}
	}
}

func TestNewBlockQuantized(t *testing.T) {
	for _, c := range []struct {
		format backend.BlockFormat
		shape  tensor.Shape
		size   int
		want   error
	}{
		{backend.Q8_0, tensor.Shape{3, 33}, 3 * 2 * 34, nil},
		{backend.Q4_0, tensor.Shape{2, 3, 64}, 2 * 3 * 2 * 18, nil},
		{backend.Q4_0, tensor.Shape{2, 0, 64}, 0, nil},
		{backend.Q4_0, tensor.Shape{2, 3, 0}, 0, nil},
		{backend.BlockFormat(2), tensor.Shape{3, 33}, 3 * 2 * 34, backend.ErrParameter},
		{backend.BlockFormat(-1), tensor.Shape{3, 33}, 3 * 2 * 34, backend.ErrParameter},
		{backend.Q8_0, tensor.Shape{3, 33}, 3*2*34 - 1, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{3, 33}, 3*2*34 + 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{3, 33}, 0, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{0, 33}, 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{33}, 2 * 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{1, 1, 3, 33}, 3 * 2 * 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{-1, 33}, 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{-1, -1, 32}, 34, backend.ErrShape},
		{backend.Q8_0, tensor.Shape{1 << (bits.UintSize - 2), 4, 32}, 0, backend.ErrShape}, // whose product is 0
		{backend.Q8_0, tensor.Shape{1, math.MaxInt}, 34, backend.ErrShape},
	} {
		_, err := backend.NewBlockQuantized(c.format, c.shape, make([]byte, c.size))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v %v in %d bytes: error %v, want %v", c.format, c.shape, c.size, err, c.want)
		}
	}
}

// TestBlockQuantizedIsAValue uses one as Gorgonia does.
func TestBlockQuantizedIsAValue(t *testing.T) {
	data := make([]byte, 2*3*backend.Q8_0.RowBytes(40))
	for i := range data {
		data[i] = byte(i % 50)
	}
	q, err := backend.NewBlockQuantized(backend.Q8_0, tensor.Shape{2, 3, 40}, data)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %s", q, q); got != "BlockQuantized{q8_0 (2, 3, 40)} BlockQuantized{q8_0 (2, 3, 40)}" {
		t.Errorf("printed: %s", got)
	}
	if q.Dtype() != tensor.Float32 || q.Size() != 240 || q.MemSize() != 2*3*2*34 || &q.Bytes()[0] != &data[0] || q.Data() != any(q) {
		t.Errorf("%v: dtype %v, size %d, %d bytes", q, q.Dtype(), q.Size(), q.MemSize())
	}
	if typ, want := gorgonia.TypeOf(q), (gorgonia.TensorType{Dims: 3, Of: tensor.Float32}); !typ.Eq(want) {
		t.Errorf("type %v, want %v", typ, want)
	}
	v, err := gorgonia.CloneValue(q)
	if err != nil {
		t.Fatal(err)
	}
	clone := v.(*backend.BlockQuantized)
	if !bytes.Equal(clone.Bytes(), data) || &clone.Bytes()[0] == &data[0] || !clone.Shape().Eq(q.Shape()) {
		t.Errorf("the clone %v is another, or shares memory", clone)
	}
	if !backend.Overlap(q, q) || backend.Overlap(q, clone) {
		t.Error("overlap is not found, or where there is none")
	}
	plain, err := q.Unpack()
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float32, 40)
	backend.Q8_0.Widen(want, data[5*2*34:])
	if got := plain.Data().([]float32)[200:]; !slices.Equal(got, want) || !plain.Shape().Eq(q.Shape()) {
		t.Errorf("the last row unpacks as %v, want %v", got, want)
	}
	empty, err := backend.NewBlockQuantized(backend.Q4_0, tensor.Shape{0, 5}, nil)
	if err != nil || empty.Uintptr() != 0 {
		t.Errorf("an empty one: %v at %#x", err, empty.Uintptr())
	}
	if plain, err := empty.Unpack(); err != nil || !plain.Shape().Eq(empty.Shape()) {
		t.Errorf("an empty one unpacks as %v, %v", plain, err)
	}
}
