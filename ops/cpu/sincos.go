package cpu

import "math"

// Parts of π/2. Products of the first two, of 22 bits each, with integers up to 2³¹ are exact.
const (
	halfPi1 = 0x1.921fbp+0
	halfPi2 = 0x1.5110bp-22
	halfPi3 = 0x1.18469898cc517p-44
)

// Coefficients of sin r = r + r³·(c₃ + c₅r² + c₇r⁴ …) and of cos r = 1 − r²/2 + r⁴·(c₄ + c₆r² + c₈r⁴ …), the last first.
var (
	sinPowers = [7]float64{-1. / 1307674368000, 1. / 6227020800, -1. / 39916800, 1. / 362880, -1. / 5040, 1. / 120, -1. / 6}
	cosPowers = [7]float64{1. / 20922789888000, -1. / 87178291200, 1. / 479001600, -1. / 3628800, 1. / 40320, -1. / 720, 1. / 24}
)

// mostAngle is the greatest magnitude of an angle for narrowSincos.
const mostAngle = 1 << 31

// narrowSincos is the sine and the cosine of an angle of float32, up to mostAngle in magnitude, within 2⁻⁵² of them.
//
// With x = k·π/2 + r, k an integer and |r| ≤ π/4, they are the Taylor polynomials of r of degrees 15 and 16. Each step is rounded, so
// that vector kernels have the same bits.
func narrowSincos(x float64) (sin, cos float64) {
	const anchor = 0x1.8p52 // the last place of the sum is 1: the addition rounds to an integer and leaves it in the low bits
	t := float64(x*(2/math.Pi)) + anchor
	k := t - anchor
	r := x - float64(k*halfPi1)
	r -= float64(k * halfPi2)
	r -= float64(k * halfPi3)
	z := float64(r * r)
	s, c := sinPowers[0], cosPowers[0]
	for i := 1; i < len(sinPowers); i++ {
		s = float64(s*z) + sinPowers[i]
		c = float64(c*z) + cosPowers[i]
	}
	s = r + float64(float64(r*z)*s)
	c = 1 - float64(z*0.5) + float64(float64(z*z)*c)
	quarter := math.Float64bits(t)
	if quarter&1 != 0 {
		s, c = c, -s
	}
	if quarter&2 != 0 {
		s, c = -s, -c
	}
	return s, c
}
