package conformance

import (
	"bytes"
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func permuteChecks(s backend.Permute) []check {
	call := func(out backend.Value, in []backend.Value) error { return s.Permute(out, in[0], in[1].(*backend.Plan)) }
	var checks []check
	add := func(dt tensor.Dtype, r routing, width ...int) {
		checks = append(checks, check{fmt.Sprintf("%v/width=%v/%v", dt, width, r), func(e *env) error {
			p := e.plan(r)
			x := e.random(dt, append([]int{r.tokens}, width...)...)
			out, err := e.apply(call, template(dt, append([]int{p.Rows}, width...)...), x, p.Plan)
			if err != nil {
				return err
			}
			return comparePermuted(out, x, p)
		}})
	}
	for _, r := range routings {
		for _, width := range []int{1, 3, 127, 130} {
			add(tensor.Float32, r, width)
		}
		add(backend.BFloat16, r, 127)
		add(tensor.Uint8, r, 3)
	}
	r := routing{33, 2, 8, 16, distinct, rowsBound}
	for _, dt := range append([]tensor.Dtype{tensor.Int32, tensor.Int64, tensor.Uint8, backend.Float8E4M3}, floats...) {
		add(dt, r)
		add(dt, r, 0)
		add(dt, r, 1)
		add(dt, r, 130)
		add(dt, r, 2, 3, 5)
	}
	for _, q := range []struct{ width, cols int }{{1, 128}, {130, 128}, {384, 128}, {50, 7}} {
		checks = append(checks, check{fmt.Sprintf("FP8 in 1x%d/width=%d/%v", q.cols, q.width, r), func(e *env) error {
			p := e.plan(r)
			x, _ := e.quantized(1, q.cols, r.tokens, q.width)
			out, err := e.apply(call, quantizedTemplate(tensor.Shape{p.Rows, q.width}, 1, q.cols), x, p.Plan)
			if err != nil {
				return err
			}
			from := leaves(x)
			for i, part := range leaves(out) {
				if err := comparePermuted(part, from[i], p); err != nil {
					return fmt.Errorf("part %d: %w", i, err)
				}
			}
			return nil
		}})
	}
	add(tensor.Float32, routing{2000, 2, 8, 128, distinct, rowsBound}, 64)
	add(tensor.Float32, routing{3, 0, 8, 16, distinct, rowsSpare}, 5)
	return append(checks,
		check{"views", func(e *env) error {
			p := e.plan(r)
			return e.views(call, template(tensor.Float32, p.Rows, 9), e.floats(tensor.Float32, normal, 33, 9).value, p.Plan)
		}},
		check{"misfits", func(e *env) error {
			p := e.plan(r)
			x := e.floats(tensor.Float32, normal, 33, 9).value
			calls := append(e.misfits(template(tensor.Float32, p.Rows, 9), x, p.Plan),
				refusal{"another number of tokens", template(tensor.Float32, p.Rows, 9), []backend.Value{e.alloc(tensor.Float32, 0, 34, 9), p.Plan}},
				refusal{"another number of rows", template(tensor.Float32, p.Rows+1, 9), []backend.Value{x, p.Plan}})
			q, _ := e.quantized(1, 4, 33, 9)
			tall, _ := e.quantized(3, 4, 33, 9)
			rows := func(blockRows, blockCols int) backend.Value {
				return quantizedTemplate(tensor.Shape{p.Rows, 9}, blockRows, blockCols)
			}
			calls = append(calls,
				refusal{"a Quantized to a tensor", template(backend.Float8E4M3, p.Rows, 9), []backend.Value{q, p.Plan}},
				refusal{"a tensor to a Quantized", rows(1, 4), []backend.Value{x, p.Plan}},
				refusal{"another width of blocks", rows(1, 3), []backend.Value{q, p.Plan}},
				refusal{"blocks of more than one row", rows(3, 4), []backend.Value{tall, p.Plan}})
			return e.refuses(call, nil, calls...)
		}},
	)
}

// comparePermuted wants the rows of a host tensor to be the tokens' rows bit for bit and padding to be zero bytes.
func comparePermuted(out backend.Value, x *tensor.Dense, p routed) error {
	rows, err := backend.Bytes(out)
	if err != nil {
		return err
	}
	tokens := must(backend.Bytes(x))
	if p.Rows == 0 || len(rows) == 0 {
		return nil
	}
	width := len(rows) / p.Rows
	for r, slot := range p.rowSlot {
		row := rows[r*width : (r+1)*width]
		if slot < 0 {
			if !bytes.Equal(row, make([]byte, width)) {
				return fmt.Errorf("padding row %d is not zero", r)
			}
			continue
		}
		if t := int(slot) / p.Slots; !bytes.Equal(row, tokens[t*width:(t+1)*width]) {
			return fmt.Errorf("row %d is no copy of token %d", r, t)
		}
	}
	return nil
}
