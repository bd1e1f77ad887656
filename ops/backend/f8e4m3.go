package backend

import (
	"fmt"
	"math"
)

// F8E4M3 is the bit pattern of the 8-bit format E4M3 of the Open Compute Project, also called float8_e4m3fn: 1 sign bit,
// 4 exponent bits (bias 7), 3 mantissa bits, with subnormals down to 2⁻⁹ and a greatest finite value of 448. It has no
// infinities; 0x7f and 0xff are its NaNs.
type F8E4M3 uint8

const (
	signMaskF8 = 0x80
	nanF8      = 0x7f

	shiftF8  = mantissaBits32 - 3              // from the mantissa of a float32 to that of an F8E4M3
	rebiasF8 = uint32(127-7) << mantissaBits32 // between the two biases, at the exponent of a float32
	leastF8  = uint32(127-6) << mantissaBits32 // 2⁻⁶, the least normal value, as a float32
	// To be subtracted before the shift: it changes the bias and adds just below half a unit. With one more where the
	// mantissa is odd, ties go to the even one.
	roundF8  = rebiasF8 - (1<<(shiftF8-1) - 1)
	anchorF8 = uint32(127+14) << mantissaBits32    // 2¹⁴ as a float32, whose last place is 2⁻⁹
	maxF8    = uint32(nanF8-1)<<shiftF8 + rebiasF8 // 448 as a float32
)

// f8Values holds the float32 of every F8E4M3.
var f8Values = func() (values [1 << 8]float32) {
	for i := range values {
		sign := uint32(i&signMaskF8) << 24
		magnitude := uint32(i &^ signMaskF8)
		b := magnitude<<shiftF8 + rebiasF8
		switch {
		case magnitude == nanF8:
			b = infinity32 | quietBit32
		case b < leastF8:
			b = math.Float32bits(float32(magnitude) * 0x1p-9)
		}
		values[i] = math.Float32frombits(sign | b)
	}
	return values
}()

// Float32 is the value of x, exactly. A NaN keeps its sign and becomes a quiet NaN without a payload.
func (x F8E4M3) Float32() float32 { return f8Values[x] }

// String formats x as fmt formats the float32 of the same value.
func (x F8E4M3) String() string { return fmt.Sprint(x.Float32()) }

// ToF8E4M3 rounds f to the nearest E4M3, ties to the even mantissa, subnormals included. It saturates: a magnitude above 448
// becomes 448, infinities too. A NaN becomes the NaN of its sign.
//
// Saturation is what a quantiser wants, and what CUDA's conversion does with __NV_SATFINITE and the instruction
// cvt.rn.satfinite.e4m3x2.f32. PyTorch's cast to float8_e4m3fn differs: there a magnitude above 464, or an infinity, becomes
// a NaN.
func ToF8E4M3(f float32) F8E4M3 {
	b := math.Float32bits(f)
	sign := F8E4M3(b>>24) & signMaskF8
	b &^= signMask32
	switch {
	case b < leastF8:
		// The sum has its last place at 2⁻⁹: the addition rounds f to a multiple of it and leaves the count in the mantissa.
		b = math.Float32bits(math.Float32frombits(b)+0x1p14) - anchorF8
	case b <= infinity32:
		b = min(b, maxF8) // no rounding moves it from there
		b = (b - roundF8 + b>>shiftF8&1) >> shiftF8
	default:
		b = nanF8
	}
	return sign | F8E4M3(b)
}
