package cpu

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Linear implements backend.Linear: out = x · wᵀ for x (T,D), w (N,D) and out (T,N). x and w are F or Quantized, w may also be
// BlockQuantized, out is F, in any mixture. Operands are widened first; the sums run in float32, in float64 where x or w are
// float64, and are rounded to out's dtype. A row's result is the same whatever other rows there are.
func (Go) Linear(out, x, w backend.Value) error {
	if err := checkOperands("linear", out, x, w); err != nil {
		return err
	}
	if x.Dtype() == tensor.Float64 || w.Dtype() == tensor.Float64 {
		return linear[float64](out, x, w)
	}
	return linear[float32](out, x, w)
}

func linear[A accumulator](out, x, w backend.Value) error {
	n, d, err := matrixDims("linear", "w", w)
	if err != nil {
		return err
	}
	rows, _, err := matrixDims("linear", "x", x)
	if err != nil {
		return err
	}
	l := getLoop[product[A]]()
	defer l.free()
	g := &l.s
	g.n, g.d = n, d
	if err := g.x.set("linear", "x", x, rows, d); err != nil {
		return err
	}
	if err := g.w.set("linear", "w", w, n, d); err != nil {
		return err
	}
	if g.out, err = floatsOf[A]("linear", "out", out, rows, n); err != nil {
		return err
	}
	if n > 0 { // else the rows, empty as they are, could be more than any list of strips holds
		strips := stripLists.Get().(*[]strip)
		defer stripLists.Put(strips)
		*strips = cutRows((*strips)[:0], 0, rows, 0)
		l.run(g.cut(*strips), 1)
	}
	return nil
}
