package backend

import (
	"fmt"
	"math"
)

// F16 is the bit pattern of an IEEE 754 binary16: 1 sign bit, 5 exponent bits (bias 15), 10 mantissa bits, with subnormals
// down to 2⁻²⁴, a greatest finite value of 65504, infinities and NaNs.
type F16 uint16

const (
	signMaskF16 = 0x8000
	nanF16      = 0x7e00 // a quiet NaN
	payloadF16  = 0x01ff

	shiftF16  = mantissaBits32 - 10              // from the mantissa of a float32 to that of an F16
	rebiasF16 = uint32(127-15) << mantissaBits32 // between the two biases, at the exponent of a float32
	leastF16  = uint32(127-14) << mantissaBits32 // 2⁻¹⁴, the least normal value, as a float32
	beyondF16 = uint32(127+16) << mantissaBits32 // 2¹⁶ as a float32
	// To be subtracted before the shift: it changes the bias and adds just below half a unit. With one more where the
	// mantissa is odd, ties go to the even one.
	roundF16  = rebiasF16 - (1<<(shiftF16-1) - 1)
	anchorF16 = uint32(127-1) << mantissaBits32 // 0.5 as a float32, whose last place is 2⁻²⁴
)

// Float32 is the value of x, exactly. A NaN keeps its sign and payload.
func (x F16) Float32() float32 {
	b := uint32(x&^signMaskF16)<<shiftF16 + rebiasF16
	switch {
	case b < leastF16:
		b = math.Float32bits(float32(x&^signMaskF16) * 0x1p-24)
	case b >= beyondF16:
		b += rebiasF16 // from the greatest exponent of the one format to that of the other
	}
	return math.Float32frombits(uint32(x&signMaskF16)<<16 | b)
}

// String formats x as fmt formats the float32 of the same value.
func (x F16) String() string { return fmt.Sprint(x.Float32()) }

// ToF16 rounds f to the nearest binary16, ties to the even mantissa, subnormals included. A magnitude of 65520 or more (half
// a unit beyond the greatest finite value) becomes an infinity. A NaN keeps its sign and the upper bits of its payload and
// becomes quiet.
func ToF16(f float32) F16 {
	b := math.Float32bits(f)
	sign := F16(b>>16) & signMaskF16
	b &^= signMask32
	switch {
	case b < leastF16:
		// The sum has its last place at 2⁻²⁴: the addition rounds f to a multiple of it and leaves the count in the mantissa.
		b = math.Float32bits(math.Float32frombits(b)+0.5) - anchorF16
	case b <= infinity32:
		// A carry moves into the exponent and from there to infinity, which 2¹⁶ becomes as well.
		b = (min(b, beyondF16) - roundF16 + b>>shiftF16&1) >> shiftF16
	default:
		b = nanF16 | b>>shiftF16&payloadF16
	}
	return sign | F16(b)
}
