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
		return permuteQuantized(g, rows, q, p)
	}
	if err := checkPlan("permute", p); err != nil {
		return err
	}
	l := getLoop[gathering]()
	defer l.free()
	if err := l.s.operands(rows, x, p); err != nil {
		return err
	}
	l.run(len(l.s.rowSlot), 1<<18/max(l.s.width, 1))
	if at := l.s.bad.at; l.s.bad.found {
		return fmt.Errorf("permute: the plan's row %d is of slot %d, want -1 or a slot in [0,%d): %w",
			at, l.s.rowSlot[at], p.Tokens*p.Slots, backend.ErrIndex)
	}
	return nil
}

// permuteQuantized moves the codes, then the scales.
func permuteQuantized(by backend.Permute, rows backend.Value, x *backend.Quantized, p *backend.Plan) error {
	to, err := backend.PermutedQuantized(rows, x)
	if err != nil {
		return err
	}
	if err := by.Permute(to.Codes, x.Codes, p); err != nil {
		return err
	}
	return by.Permute(to.Scales, x.Scales, p)
}

type gathering struct {
	rows, x       []byte
	width         int // of a row, in bytes
	rowSlot       []int32
	tokens, slots int // T, K
	bad           fault
}

func (g *gathering) operands(rows, x backend.Value, p *backend.Plan) (err error) {
	if g.rowSlot, err = elementsOf[int32]("permute", "RowSlot", p.RowSlot, p.Rows); err != nil {
		return err
	}
	if g.rows, g.x, err = rowBytes(rows, x, p); err != nil {
		return err
	}
	if len(g.rowSlot) > 0 {
		g.width = len(g.rows) / len(g.rowSlot)
	}
	g.tokens, g.slots = p.Tokens, p.Slots
	return nil
}

func (g *gathering) span(lo, hi int) {
	for r := lo; r < hi; r++ {
		to := g.rows[r*g.width : (r+1)*g.width]
		s := int(g.rowSlot[r])
		if s == -1 {
			clear(to)
			continue
		}
		if s < 0 || s >= g.tokens*g.slots {
			g.bad.report(r)
			return
		}
		copy(to, g.x[s/g.slots*g.width:][:g.width])
	}
}

// rowBytes is the memory of rows (R,…) and x (T,…).
func rowBytes(rows, x backend.Value, p *backend.Plan) (dst, src []byte, err error) {
	var row []int
	if x != nil && len(x.Shape()) > 0 {
		row = x.Shape()[1:]
	}
	if err := checkRows("x", x, p.Tokens, row); err != nil {
		return nil, nil, err
	}
	if err := checkRows("rows", rows, p.Rows, row); err != nil {
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

// checkRows is checkShape for n rows of a shape.
func checkRows(operand string, v backend.Value, n int, row []int) error {
	if v != nil && len(v.Shape()) > 0 && v.Shape()[0] == n && slices.Equal(v.Shape()[1:], row) {
		return nil
	}
	return checkShape("permute", operand, v, slices.Concat([]int{n}, row)...)
}
