package backend

import (
	"fmt"
	"math"
)

// BF16 is the bit pattern of a bfloat16: 1 sign bit, 8 exponent bits (bias 127), 7 mantissa bits. It is the upper half of a
// float32 and has its range, its subnormals, infinities and NaNs.
type BF16 uint16

const quietBitBF16 = 0x0040

// Float32 is the value of x, exactly. A NaN keeps all its bits.
func (x BF16) Float32() float32 { return math.Float32frombits(uint32(x) << 16) }

// String formats x as fmt formats the float32 of the same value.
func (x BF16) String() string { return fmt.Sprint(x.Float32()) }

// ToBF16 rounds f to the nearest bfloat16, ties to the even mantissa, subnormals included. What rounds to 2¹²⁸ or more in
// magnitude becomes an infinity. A NaN keeps its sign and the upper bits of its payload and becomes quiet.
//
// A float64 that goes through float32 first is rounded twice, and can end one unit in the last place beside its nearest
// bfloat16; that holds for ToF16 and ToF8E4M3 too.
func ToBF16(f float32) BF16 {
	b := math.Float32bits(f)
	if b&^signMask32 > infinity32 {
		return BF16(b>>16) | quietBitBF16
	}
	// Just below half a unit is added, and exactly half where the mantissa is odd; a carry moves into the exponent.
	return BF16((b + 0x7fff + b>>16&1) >> 16)
}
