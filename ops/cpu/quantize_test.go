package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// quantized is x in blocks, and what the codes stand for.
func quantized(t *testing.T, dt tensor.Dtype, shape []int, blockRows, blockCols int, x ...float64) (q *backend.Quantized, values []float64) {
	t.Helper()
	q, err := backend.NewQuantized(backend.Host, shape, blockRows, blockCols)
	if err != nil {
		t.Fatal(err)
	}
	if err := (Go{}).Quantize(q, floatTensor(t, dt, shape, x...)); err != nil {
		t.Fatal(err)
	}
	scales := elementsIn[float32](t, q.Scales)
	height, width := shape[len(shape)-2], shape[len(shape)-1]
	s := q.Scales.Shape()
	down, across := s[len(s)-2], s[len(s)-1]
	for i, code := range elementsIn[backend.F8E4M3](t, q.Codes) {
		matrix, row, col := i/width/height, i/width%height, i%width
		scale := scales[(matrix*down+row/blockRows)*across+col/blockCols]
		values = append(values, float64(code.Float32())*float64(scale))
	}
	return q, values
}

func TestQuantizeError(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		shape                []int
		blockRows, blockCols int
	}{
		{[]int{3, 128}, 1, 128},
		{[]int{1, 1}, 1, 128},
		{[]int{5, 130}, 1, 128},
		{[]int{2, 130, 257}, 128, 128},
		{[]int{2, 1, 3, 7}, 2, 3},
		{[]int{2, 2*tile + 9}, 1 << 20, 1 << 20},
		{[]int{0, 4}, 1, 128},
		{[]int{4, 0}, 1, 128},
		{[]int{0, 3, 3}, 2, 2},
	} {
		x := make([]float64, backend.Elements(c.shape))
		for i := range x {
			x[i] = float64(backend.ToBF16(float32(rng.NormFloat64() * math.Pow(2, float64(i%7-3)))).Float32())
		}
		for _, dt := range floatDtypes {
			rounded := floatsIn(t, floatTensor(t, dt, c.shape, x...))
			q, got := quantized(t, dt, c.shape, c.blockRows, c.blockCols, x...)
			least := 0.0 // half the least subnormal of a code times the greatest scale
			for _, s := range elementsIn[float32](t, q.Scales) {
				least = max(least, 0x1p-10*float64(s))
			}
			for i, want := range rounded {
				if math.Abs(got[i]-want) > max(0x1p-4*1.0001*math.Abs(want), least) {
					t.Errorf("%v, %+v: element %d is %v, want %v", dt, c, i, got[i], want)
				}
			}
		}
	}
}

func TestQuantizeScaleIsOfTheGreatestMagnitude(t *testing.T) {
	for _, dt := range floatDtypes {
		q, values := quantized(t, dt, []int{2, 5}, 1, 2, 1, -896, 448, 224, 0, 0, 0, 0x1p-14, -0x1p-14, 7)
		wantScales := []float64{2, 1, 1, 1, 0x1p-14 / 448, 7. / 448}
		for i, s := range elementsIn[float32](t, q.Scales) {
			if s != float32(wantScales[i]) {
				t.Errorf("%v: scale %d is %v, want %v", dt, i, s, float32(wantScales[i]))
			}
		}
		if values[1] != -896 || values[2] != 448 || values[3] != 224 || values[4] != 0 {
			t.Errorf("%v: got %v", dt, values)
		}
	}
}

func TestQuantizeNotFinite(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, dt := range floatDtypes {
		_, got := quantized(t, dt, []int{3, 4}, 1, 4,
			896, nan, -inf, inf,
			nan, nan, nan, -nan,
			inf, -inf, 0, nan)
		want := []float64{896, nan, -896, 896, nan, nan, nan, nan, 448, -448, 0, nan}
		if !sameFloats(got, want) {
			t.Errorf("%v: got %v, want %v", dt, got, want)
		}
	}
}

func TestQuantizeExtremes(t *testing.T) {
	for _, c := range []struct {
		dt       tensor.Dtype
		x, scale float64
	}{
		{tensor.Float32, math.MaxFloat32, math.MaxFloat32 / 448},
		{tensor.Float32, 0x1p-149, 1}, // 2⁻¹⁴⁹/448 rounds to 0
		{tensor.Float64, math.MaxFloat64, math.MaxFloat32},
		{tensor.Float64, 0x1p-1074, 1},
	} {
		q, values := quantized(t, c.dt, []int{1, 2}, 1, 128, c.x, -c.x)
		if s := elementsIn[float32](t, q.Scales)[0]; s != float32(c.scale) {
			t.Errorf("%v: scale of %v is %v, want %v", c.dt, c.x, s, float32(c.scale))
		}
		if codes := elementsIn[backend.F8E4M3](t, q.Codes); codes[0].Float32() != -codes[1].Float32() {
			t.Errorf("%v: ±%v becomes %v", c.dt, c.x, values)
		}
	}
}

func TestQuantizeErrors(t *testing.T) {
	newQuantized := func(change func(q *backend.Quantized)) *backend.Quantized {
		q, err := backend.NewQuantized(backend.Host, tensor.Shape{2, 6}, 1, 4)
		if err != nil {
			t.Fatal(err)
		}
		change(q)
		return q
	}
	good := newQuantized(func(*backend.Quantized) {})
	x := hostTensor[float32](t, []int{2, 6})
	for name, c := range map[string]struct {
		q    *backend.Quantized
		x    backend.Value
		want error
	}{
		"shape":     {good, hostTensor[float32](t, []int{6, 2}), backend.ErrShape},
		"rank":      {good, hostTensor[float32](t, []int{12}), backend.ErrShape},
		"dtype":     {good, hostTensor[int32](t, []int{2, 6}), backend.ErrDtype},
		"blocks":    {newQuantized(func(q *backend.Quantized) { q.BlockCols = 0 }), x, backend.ErrParameter},
		"scales":    {newQuantized(func(q *backend.Quantized) { q.BlockCols = 6 }), x, backend.ErrShape},
		"codes":     {newQuantized(func(q *backend.Quantized) { q.Codes = hostTensor[uint8](t, []int{2, 6}) }), x, backend.ErrDtype},
		"no scales": {newQuantized(func(q *backend.Quantized) { q.Scales = nil }), x, backend.ErrValue},
		"no q":      {nil, x, backend.ErrValue},
		"no x":      {good, nil, backend.ErrValue},
	} {
		if err := (Go{}).Quantize(c.q, c.x); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
