package cpu

import (
	"math"
	"testing"
)

func TestExpfError(t *testing.T) {
	const stride = 997 // of the bit patterns of float32
	worstUlps, worstRelative := 0.0, 0.0
	for b := uint64(0); b < 1<<32; b += stride {
		x := float64(math.Float32frombits(uint32(b)))
		if math.IsNaN(x) || x > 709 || x < -708 {
			continue
		}
		want, got := math.Exp(x), expf(x)
		worstRelative = max(worstRelative, math.Abs(got/want-1))
		if f := float32(want); !math.IsInf(float64(f), 0) {
			ulp := float64(math.Nextafter32(f, math.MaxFloat32)) - float64(f)
			if f == math.MaxFloat32 {
				ulp = 0x1p104
			}
			worstUlps = max(worstUlps, math.Abs(float64(float32(got))-want)/ulp)
		}
	}
	if worstUlps > 0.6 || worstRelative > 0x1p-27 {
		t.Errorf("error of %v units in the last place, %v relative; the doc promises 0.6 and 2^-27", worstUlps, worstRelative)
	}
}

func TestExpfSpecial(t *testing.T) {
	for _, c := range []struct{ x, want float64 }{
		{0, 1},
		{math.Copysign(0, -1), 1},
		{math.Inf(1), math.Inf(1)},
		{math.Inf(-1), 0},
		{710, math.Inf(1)},
		{-709, 0},
		{math.MaxFloat64, math.Inf(1)},
		{-math.MaxFloat64, 0},
		{5e-324, 1},
	} {
		if got := expf(c.x); got != c.want {
			t.Errorf("expf(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	for _, bits := range []uint64{0x7ff8_0000_0000_0001, 0x7ff0_0000_0000_0fff, 0xffff_ffff_ffff_ffff} {
		if got := expf(math.Float64frombits(bits)); !math.IsNaN(got) {
			t.Errorf("expf of the NaN %#x = %v, want NaN", bits, got)
		}
	}
	for _, c := range []struct{ x, want float32 }{
		{88.8, float32(math.Inf(1))}, // beyond the greatest float32
		{-103.9, 0x1p-149},           // rounds to the least subnormal
		{-104, 0},
	} {
		if got := float32(expf(float64(c.x))); got != c.want {
			t.Errorf("float32(expf(%v)) = %v, want %v", c.x, got, c.want)
		}
	}
}
