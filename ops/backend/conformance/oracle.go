package conformance

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// dot is a · b, of which each term passes extra roundings beside those of the product and the sum.
func dot(a, b []float64, eps float64, extra int) approx {
	var sum, magnitude float64
	for i, x := range a {
		sum += x * b[i]
		magnitude += math.Abs(x * b[i])
	}
	return approx{sum, gamma(len(a)+extra, eps) * magnitude}
}

// rowsTimes is x · wᵀ for one row x and the rows of w, appended to out.
func rowsTimes(out []approx, x, w []float64, eps float64, extra int) []approx {
	for n := len(x); len(w) > 0; w = w[n:] {
		out = append(out, dot(x, w[:n], eps, extra))
	}
	return out
}

// softmax is exp(l_i) / Σ_j exp(l_j), stable for logits of any magnitude. An output may be flushed to zero where it is below
// the least normal float32.
//
// Each exponential is off by (2|l_j−m| + expUnits)·ε with m the largest logit; the sum inherits the mean of that over the
// probabilities and n roundings; difference, quotient and a possible rescaling are three more.
func softmax(l []float64, eps float64) []approx {
	m := math.Inf(-1)
	for _, x := range l {
		m = math.Max(m, x)
	}
	out := make([]approx, len(l))
	sum, inherited := 0.0, 0.0
	off := func(x float64) float64 {
		if math.IsInf(x-m, -1) {
			return 0 // exp(−Inf) = 0 exactly
		}
		return (m-x)*(2*eps) + expUnits*eps
	}
	for i, x := range l {
		out[i].want = math.Exp(x - m)
		sum += out[i].want
		inherited += out[i].want * off(x)
	}
	for i, x := range l {
		p := out[i].want / sum
		out[i] = approx{p, p*(off(x)+inherited/sum+gamma(len(l)+3, eps)) + formatOf(tensor.Float32).least}
	}
	return out
}

// silu is v/(1+e^−v).
//
// The error of the exponential weighs e^−v/(1+e^−v) ≤ 1 in the result; sum and quotient add two roundings. Where e^−v is too
// large for the accumulator's format, or 1/(1+e^−v) too small to be a normal number in it, the result may be zero.
func silu(v, eps float64) approx {
	sigmoid := 1 / (1 + math.Exp(-v))
	rel := (2*math.Abs(v)+expUnits)*(1-sigmoid) + 2
	least := formatOf(tensor.Float32).least
	if eps < formatOf(tensor.Float32).unit {
		least = formatOf(tensor.Float64).least
	}
	return approx{v * sigmoid, math.Abs(v) * (sigmoid*rel*eps + least)}
}

// times is x·y, each with its own error, and one rounding.
func times(x, y approx, eps float64) approx {
	want := x.want * y.want
	return approx{want, math.Abs(x.want)*y.tol + x.tol*math.Abs(y.want) + x.tol*y.tol + math.Abs(want)*eps}
}

// fillPlan fills the tables of a host plan from the expert of each slot, −1 where that is not here. It is the oracle for
// Plan, and makes the plans for the other stages.
func fillPlan(p *backend.Plan, local []int32) {
	slotRow, rowSlot, rowExpert := must(backend.Slice[int32](p.SlotRow)), must(backend.Slice[int32](p.RowSlot)), must(backend.Slice[int32](p.RowExpert))
	offsets, counts := must(backend.Slice[int32](p.Offsets)), must(backend.Slice[int32](p.Counts))
	for i := range slotRow {
		slotRow[i] = -1
	}
	for r := range rowSlot {
		rowSlot[r], rowExpert[r] = -1, -1
	}
	offsets[0] = 0
	for e := range counts {
		row := offsets[e]
		for slot, expert := range local {
			if int(expert) == e {
				slotRow[slot], rowSlot[row], rowExpert[row] = row, int32(slot), expert
				row++
			}
		}
		counts[e] = row - offsets[e]
		offsets[e+1] = (row + int32(p.Align) - 1) / int32(p.Align) * int32(p.Align)
	}
}
