package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// How far a correct result may be from the exact one.
//
// Rounding to a format with p bits of precision moves x by at most u·|x|, u = 2^−p (format.unit), and by at most half the
// least subnormal where x is smaller than the least normal number; a device that flushes such numbers to zero moves x by the
// least normal number at most (format.least). Only Float16, whose range is so small that this would be seen, has to keep its
// subnormals.
//
// A sum of n products p_i = a_i·b_i evaluated in any order, each operation off by a relative ε at most, is off by
//
//	|computed − Σ p_i| ≤ γ_n · Σ|p_i|,  γ_n = n·ε / (1 − n·ε)
//
// (each p_i passes its own rounding and at most n−1 additions: its factor is a product of at most n terms 1+δ, |δ| ≤ ε).
// With m more roundings on each term's way it is γ_{n+m}. A fused multiply-add only removes roundings. ε (accumulator) is
// twice the unit roundoff of float32, or of float64 for float64 operands, since tensor cores cut bits off where a CPU rounds.
// The oracle sums in float64 and is itself off by γ_n with ε = 2⁻⁵³, which matters for float64 operands and is added.
//
// An exponential of x is evaluated as a power of two: rounding x·log₂e, and x itself if it is a difference, moves the
// argument by 2ε|x| at most; with expUnits·ε for the function this is a relative error of (2|x| + expUnits)·ε.
//
// The bounds are linear in ε; terms in ε² are covered by ε being twice the unit roundoff.

// expUnits bounds the error of an exponential or a trigonometric function itself, in units of ε.
const expUnits = 4

// format is how a dtype rounds.
type format struct {
	unit  float64 // relative error of rounding a number in the normal range
	least float64 // absolute error of rounding a number below it
	limit float64 // a magnitude as large as this rounds to an infinity
}

func formatOf(dt tensor.Dtype) format {
	switch dt {
	case tensor.Float32:
		return format{0x1p-24, 0x1p-126, 0x1p128 - 0x1p103}
	case tensor.Float64:
		return format{0x1p-53, 0x1p-1022, math.Inf(1)}
	case backend.BFloat16:
		return format{0x1p-8, 0x1p-126, 0x1p128 - 0x1p119}
	case backend.Float16:
		return format{0x1p-11, 0x1p-25, 65520}
	}
	panic(fmt.Sprintf("%v is no floating-point dtype of the suite", dt))
}

// rounding bounds the error of rounding a number of at most the magnitude x.
func (f format) rounding(x float64) float64 { return f.unit*math.Abs(x) + f.least }

// accumulator is ε for sums over operands of these dtypes.
func accumulator(dts ...tensor.Dtype) float64 {
	for _, dt := range dts {
		if dt != tensor.Float64 {
			return 2 * formatOf(tensor.Float32).unit
		}
	}
	return 2 * formatOf(tensor.Float64).unit
}

// gamma is γ_n for operations that are off by eps each, the oracle's own error added.
func gamma(n int, eps float64) float64 {
	const oracle = 0x1p-53
	return float64(n)*eps/(1-float64(n)*eps) + float64(n)*oracle
}

// approx is an oracle's result: the exact value and how far a computed one may be from it before it is rounded to the
// destination's dtype.
type approx struct{ want, tol float64 }

// exactly is an approx without tolerance.
func exactly(x float64) approx { return approx{want: x} }

// stored is what a stage may read of x after another has stored it as dt.
func (x approx) stored(dt tensor.Dtype) approx {
	return approx{x.want, x.tol + formatOf(dt).rounding(math.Abs(x.want)+x.tol)}
}

// compare checks every element of a host value against an oracle. The rounding to the value's dtype is added here, and with
// it what becomes infinite. NaN wants NaN and an infinity wants the same infinity.
func compare(v backend.Value, want []approx) error {
	got, err := load(v)
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d elements of shape %v, want %d: %w", len(got), v.Shape(), len(want), backend.ErrShape)
	}
	f := formatOf(v.Dtype())
	wrong, first := 0, -1
	for i, x := range want {
		if !f.admits(got[i], x) {
			if wrong++; first < 0 {
				first = i
			}
		}
	}
	if wrong == 0 {
		return nil
	}
	x := want[first]
	return fmt.Errorf("%d of %d elements are wrong, the first at %v: got %v, want %v ± %.2g (and the rounding to %v)",
		wrong, len(want), indexOf(v.Shape(), first), got[first], x.want, x.tol, v.Dtype())
}

// admits reports whether got may be what a correct stage stores for x.
func (f format) admits(got float64, x approx) bool {
	if math.IsNaN(x.want) || math.IsNaN(got) {
		return math.IsNaN(x.want) && math.IsNaN(got)
	}
	if math.IsInf(x.want, 0) {
		return got == x.want
	}
	if math.IsInf(got, 0) {
		return math.Abs(x.want)+x.tol >= f.limit && math.Signbit(got) == math.Signbit(x.want)
	}
	return math.Abs(x.want)-x.tol < f.limit && math.Abs(got-x.want) <= x.tol+f.rounding(math.Abs(x.want)+x.tol)
}
