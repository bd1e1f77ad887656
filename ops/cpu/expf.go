package cpu

import "math"

// Coefficients of 2^r = Σ (r·ln 2)^i/i!.
const (
	exp2c1 = math.Ln2
	exp2c2 = exp2c1 * math.Ln2 / 2
	exp2c3 = exp2c2 * math.Ln2 / 3
	exp2c4 = exp2c3 * math.Ln2 / 4
	exp2c5 = exp2c4 * math.Ln2 / 5
	exp2c6 = exp2c5 * math.Ln2 / 6
	exp2c7 = exp2c6 * math.Ln2 / 7
)

// expf is e^x for results that are rounded to float32 in the end, and faster than math.Exp: its relative error is below 2⁻²⁷,
// so that float32(expf(x)) is within 0.6 units in the last place of e^x, subnormals included. Above 709 it is +Inf, below
// −708 it is 0; NaN gives NaN.
//
// With x·log₂e = k + r, k an integer and |r| ≤ 1/2, it is the Taylor polynomial of 2^r of degree 7 times 2^k.
func expf(x float64) float64 {
	if x > 709 {
		return math.Inf(1)
	}
	if x < -708 {
		return 0
	}
	// The sum has its last place at 1: the addition rounds to an integer and leaves it in the low bits of the mantissa.
	const anchor = 0x1.8p52
	t := x * math.Log2E
	k := t + anchor
	r := t - (k - anchor)
	r2 := r * r
	low := 1 + r*exp2c1 + r2*(exp2c2+r*exp2c3)
	high := exp2c4 + r*exp2c5 + r2*(exp2c6+r*exp2c7)
	return (low + r2*r2*high) * math.Float64frombits((math.Float64bits(k)+1023)<<52)
}
