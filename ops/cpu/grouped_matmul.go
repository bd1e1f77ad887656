package cpu

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// GroupedMatMul implements backend.GroupedMatMul: out[r] = rows[r] · w[e]ᵀ for the rows of each expert e, zero for the rows of
// none. Rows are F or Quantized, w is F, Quantized, BlockQuantized or an ExpertStack of F or BlockQuantized, out is F, in any
// mixture. Operands are widened first, a code times its scale; the sums run in float32, in float64 where rows or w are float64, and
// are rounded to out's dtype. A row's result is the same whatever other rows there are.
//
// A segment of the plan that lies outside of the rows or overlaps another is an ErrIndex.
func (Go) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	if err := checkPlan("grouped matmul", p); err != nil {
		return err
	}
	if err := checkOperands("grouped matmul", out, rows, w); err != nil {
		return err
	}
	if rows.Dtype() == tensor.Float64 || w.Dtype() == tensor.Float64 {
		return groupedMatMul[float64](out, rows, w, p)
	}
	return groupedMatMul[float32](out, rows, w, p)
}

func groupedMatMul[A accumulator](out, rows, w backend.Value, p *backend.Plan) error {
	shape := w.Shape()
	if len(shape) != 3 {
		return fmt.Errorf("grouped matmul: w has shape %v, want three dimensions: %w", shape, backend.ErrShape)
	}
	experts, n, d := shape[0], shape[1], shape[2]
	l := getLoop[product[A]]()
	defer l.free()
	g := &l.s
	g.n, g.d = n, d
	if err := g.x.set("grouped matmul", "rows", rows, p.Rows, d); err != nil {
		return err
	}
	if err := g.w.set("grouped matmul", "w", w, experts, n, d); err != nil {
		return err
	}
	var err error
	if g.out, err = floatsOf[A]("grouped matmul", "out", out, p.Rows, n); err != nil {
		return err
	}
	strips := stripLists.Get().(*[]strip)
	defer stripLists.Put(strips)
	if *strips, err = expertStrips((*strips)[:0], p, experts); err != nil {
		return err
	}
	l.run(g.cut(*strips), 1)
	return nil
}

// expertStrips appends strips of one expert's rows each and strips of padding, into which it cuts the rows of a plan.
func expertStrips(strips []strip, p *backend.Plan, experts int) ([]strip, error) {
	offsets, err := elementsOf[int32]("grouped matmul", "Offsets", p.Offsets, experts+1)
	if err != nil {
		return strips, err
	}
	counts, err := elementsOf[int32]("grouped matmul", "Counts", p.Counts, experts)
	if err != nil {
		return strips, err
	}
	strips = slices.Grow(strips, p.Rows/tileRows+2*experts+1)
	end := 0
	for e, count := range counts {
		lo, next := int(offsets[e]), int(offsets[e+1])
		hi := lo + int(count)
		if lo < end || hi < lo || hi > next || hi > p.Rows {
			return strips, fmt.Errorf("grouped matmul: the plan gives expert %d %d rows from %d, want rows in [%d,%d): %w",
				e, count, lo, end, min(next, p.Rows), backend.ErrIndex)
		}
		strips = cutRows(strips, end, lo, padding)
		strips = cutRows(strips, lo, hi, e)
		end = hi
	}
	return cutRows(strips, end, p.Rows, padding), nil
}
