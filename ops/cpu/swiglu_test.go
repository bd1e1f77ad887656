package cpu

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// swigluOf is SwiGLU of one gate and one up.
func swigluOf(t *testing.T, dt tensor.Dtype, gate, up float64) float64 {
	t.Helper()
	out := floatTensor(t, dt, []int{1, 1})
	if err := (Go{}).SwiGLU(out, floatTensor(t, dt, []int{1, 2}, gate, up)); err != nil {
		t.Fatal(err)
	}
	return floatsIn(t, out)[0]
}

func TestSwiGLUSpecialValues(t *testing.T) {
	nan, inf, zero := math.NaN(), math.Inf(1), math.Copysign(0, -1)
	for _, c := range []struct{ gate, up, want float64 }{
		{0, 5, 0},
		{zero, 5, zero},
		{inf, 2, inf},
		{inf, -2, -inf},
		{-inf, 2, nan},
		{nan, 2, nan},
		{2, nan, nan},
		{0, inf, nan},
		{6e4, 1, 6e4},
		{-6e4, 1, zero},
		{-6e4, -6e4, 0},
		{1e3, 0, 0},
	} {
		for _, dt := range floatDtypes {
			gate := floatsIn(t, floatTensor(t, dt, []int{1, 1}, c.gate))[0]
			want := c.want
			if want == c.gate {
				want = gate // rounded to dt
			}
			got := swigluOf(t, dt, c.gate, c.up)
			if !sameFloats([]float64{got}, []float64{want}) || got == 0 && math.Signbit(got) != math.Signbit(want) {
				t.Errorf("%v: silu(%v)·%v = %v, want %v", dt, c.gate, c.up, got, want)
			}
		}
	}
}

// TestSwiGLUError holds float32 to a unit in the last place over the whole range of exp, where e^−v overflows float32 and
// where the product is subnormal.
func TestSwiGLUError(t *testing.T) {
	worst := 0.0
	for v := -150.0; v < 150; v += 0.37 {
		for _, up := range []float64{1, -3.7, 1e20} {
			gate, up := float64(float32(v)), float64(float32(up))
			want := gate / (1 + math.Exp(-gate)) * up
			ulp := math.Abs(float64(math.Nextafter32(float32(want), math.MaxFloat32)) - float64(float32(want)))
			worst = max(worst, math.Abs(swigluOf(t, tensor.Float32, gate, up)-want)/ulp)
		}
	}
	if worst > 0.75 {
		t.Errorf("error of %v units in the last place, want at most 0.75", worst)
	}
}

func TestSwiGLUFloat64AtGreatMagnitude(t *testing.T) {
	for _, v := range []float64{-1, -40, -700, -705, 1, 40, 700} {
		// e^v in float64 is within a unit; the rest is exact in 200 bits.
		e := new(big.Float).SetPrec(200).SetFloat64(math.Exp(v))
		want, _ := new(big.Float).Quo(new(big.Float).Mul(e, big.NewFloat(v)), new(big.Float).Add(e, big.NewFloat(1))).Float64()
		if got := swigluOf(t, tensor.Float64, v, 1); math.Abs(got/want-1) > 0x1p-50 {
			t.Errorf("silu(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestSwiGLUReadsBothHalvesOfEachRow(t *testing.T) {
	for _, width := range []int{0, 1, 3, tile, tile + 1, 2*tile + 5} {
		const rows = 3
		x := make([]float64, rows*2*width)
		for i := range x {
			x[i] = float64(i%23) - 11
		}
		for _, dt := range floatDtypes {
			out := floatTensor(t, dt, []int{rows, width})
			if err := (Go{}).SwiGLU(out, floatTensor(t, dt, []int{rows, 2 * width}, x...)); err != nil {
				t.Fatal(err)
			}
			for i, got := range floatsIn(t, out) {
				gate, up := x[i/width*2*width+i%width], x[(i/width*2+1)*width+i%width]
				if want := gate / (1 + math.Exp(-gate)) * up; math.Abs(got-want) > 0x1p-8*math.Abs(want) {
					t.Fatalf("%v, width %d: element %d is %v, want %v", dt, width, i, got, want)
				}
			}
		}
	}
}

func TestSwiGLUErrors(t *testing.T) {
	x := hostTensor[float32](t, []int{2, 6})
	for name, c := range map[string]struct {
		out, x backend.Value
		want   error
	}{
		"odd width": {hostTensor[float32](t, []int{2, 2}), hostTensor[float32](t, []int{2, 5}), backend.ErrShape},
		"width":     {hostTensor[float32](t, []int{2, 6}), x, backend.ErrShape},
		"rows":      {hostTensor[float32](t, []int{1, 3}), x, backend.ErrShape},
		"rank":      {hostTensor[float32](t, []int{2, 3}), hostTensor[float32](t, []int{2, 6, 1}), backend.ErrShape},
		"out":       {hostTensor[float64](t, []int{2, 3}), x, backend.ErrDtype},
		"x":         {hostTensor[int32](t, []int{2, 3}), hostTensor[int32](t, []int{2, 6}), backend.ErrDtype},
		"no out":    {nil, x, backend.ErrValue},
		"no x":      {x, nil, backend.ErrValue},
	} {
		if err := (Go{}).SwiGLU(c.out, c.x); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
