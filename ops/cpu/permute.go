package cpu

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/gorgonia/moe/ops/backend"
)

// Permute implements backend.Permute for x (T,…) and rows (R,…) of one dtype without pointers and any width, 0 included, and for
// Quantized ones: row r is a byte for byte copy of x[RowSlot[r]/K], or zero bytes where RowSlot[r] is −1. A slot outside
// [−1,T·K) is an ErrIndex that names the first such row.
func (g Go) Permute(rows, x backend.Value, p *backend.Plan) error {
	if q, ok := x.(*backend.Quantized); ok {
		return g.permuteQuantized(rows, q, p)
	}
	if err := checkPlan("permute", p); err != nil {
		return err
	}
	rowSlot, err := elementsOf[int32]("permute", "RowSlot", p.RowSlot, p.Rows)
	if err != nil {
		return err
	}
	dst, src, err := rowBytes(rows, x, p)
	if err != nil {
		return err
	}
	width := 0
	if len(rowSlot) > 0 {
		width = len(dst) / len(rowSlot)
	}
	slots := p.Tokens * p.Slots
	var bad fault
	split(len(rowSlot), 1<<18/max(width, 1), func(lo, hi int) {
		for r := lo; r < hi; r++ {
			to := dst[r*width : (r+1)*width]
			s := int(rowSlot[r])
			if s == -1 {
				clear(to)
				continue
			}
			if s < 0 || s >= slots {
				bad.report(r)
				return
			}
			t := s / p.Slots
			copy(to, src[t*width:(t+1)*width])
		}
	})
	if bad.found {
		return fmt.Errorf("permute: the plan's row %d is of slot %d, want -1 or a slot in [0,%d): %w",
			bad.at, rowSlot[bad.at], slots, backend.ErrIndex)
	}
	return nil
}

// permuteQuantized moves the codes, then the scales.
func (g Go) permuteQuantized(rows backend.Value, x *backend.Quantized, p *backend.Plan) error {
	to, ok := rows.(*backend.Quantized)
	switch {
	case !ok || to == nil || x == nil:
		return fmt.Errorf("permute: rows are a %T and x is a %T, want two that are not nil: %w", rows, x, backend.ErrValue)
	case x.BlockRows != 1 || to.BlockRows != 1 || to.BlockCols != x.BlockCols:
		return fmt.Errorf("permute: rows are quantized in %d×%d blocks, x in %d×%d, want one row and the same width: %w",
			to.BlockRows, to.BlockCols, x.BlockRows, x.BlockCols, backend.ErrValue)
	}
	if err := g.Permute(to.Codes, x.Codes, p); err != nil {
		return err
	}
	return g.Permute(to.Scales, x.Scales, p)
}

// rowBytes is the memory of rows (R,…) and x (T,…).
func rowBytes(rows, x backend.Value, p *backend.Plan) (dst, src []byte, err error) {
	var row []int
	if x != nil && len(x.Shape()) > 0 {
		row = x.Shape()[1:]
	}
	if err := checkShape("permute", "x", x, slices.Concat([]int{p.Tokens}, row)...); err != nil {
		return nil, nil, err
	}
	if err := checkShape("permute", "rows", rows, slices.Concat([]int{p.Rows}, row)...); err != nil {
		return nil, nil, err
	}
	if err := checkDtype("permute", "rows", rows, x.Dtype()); err != nil {
		return nil, nil, err
	}
	if k := x.Dtype().Kind(); k < reflect.Bool || k > reflect.Complex128 {
		return nil, nil, fmt.Errorf("permute: x is of %v, want a dtype of fixed size: %w", x.Dtype(), backend.ErrDtype)
	}
	if src, err = backend.Bytes(x); err != nil {
		return nil, nil, fmt.Errorf("permute: x: %w", err)
	}
	if dst, err = backend.Bytes(rows); err != nil {
		return nil, nil, fmt.Errorf("permute: rows: %w", err)
	}
	return dst, src, nil
}
