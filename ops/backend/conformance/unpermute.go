package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func unpermuteChecks(s backend.Unpermute) []check {
	call := func(out backend.Value, in []backend.Value) error {
		return s.Unpermute(out, in[0], in[1], in[2].(*backend.Plan))
	}
	var checks []check
	for _, dt := range floats {
		add := func(name string, run func(e *env) error) {
			checks = append(checks, check{fmt.Sprintf("%v/%s", dt, name), run})
		}
		for _, r := range append([]routing{{600, 4, 8, 16, partial, rowsBound}, {3, 0, 8, 16, distinct, rowsSpare}}, routings...) {
			for _, h := range []int{1, 3, 127, 130} {
				add(fmt.Sprintf("H=%d/%v", h, r), func(e *env) error {
					p := e.plan(r)
					rows, gates := e.unpermuted(dt, p, h)
					return e.unpermute(call, rows, gates, p)
				})
			}
		}
		r := routing{33, 3, 8, 16, partial, rowsBound}
		add("a NaN row", func(e *env) error {
			p := e.plan(r)
			rows, gates := e.unpermuted(dt, p, 5)
			for row, slot := range p.rowSlot {
				if slot >= 0 {
					rows.set(math.NaN(), elementsOfRows([]int{row}, 5)...)
					break
				}
			}
			return e.unpermute(call, rows, gates, p)
		})
		add("an infinite row with gate 0", func(e *env) error {
			p := e.plan(r)
			rows, gates := e.unpermuted(dt, p, 5)
			for slot, row := range p.slotRow {
				if row >= 0 {
					rows.set(math.Inf(1), int(row)*5+3)
					gates.set(0, slot)
					break
				}
			}
			return e.unpermute(call, rows, gates, p)
		})
		add("huge", func(e *env) error {
			p := e.plan(r)
			rows, gates := e.unpermuted(dt, p, 7)
			for i := range rows.f {
				rows.f[i] *= 2e4
			}
			rows.flush()
			return e.unpermute(call, rows, gates, p)
		})
		add("views", func(e *env) error {
			p := e.plan(r)
			rows, gates := e.unpermuted(dt, p, 5)
			return e.views(call, template(dt, 33, 5), rows.value, gates.value, p.Plan)
		})
		add("misfits", func(e *env) error {
			p := e.plan(r)
			rows, gates := e.alloc(dt, 0, p.Rows, 5), e.alloc(tensor.Float32, 0, 33, 3)
			calls := append(e.misfits(template(dt, 33, 5), rows, gates, p.Plan),
				refusal{"another number of tokens", template(dt, 34, 5), []backend.Value{rows, e.alloc(tensor.Float32, 0, 34, 3), p.Plan}},
				refusal{"another number of rows", template(dt, 33, 5), []backend.Value{e.alloc(dt, 0, p.Rows+1, 5), gates, p.Plan}})
			return e.refuses(call, nil, calls...)
		})
	}
	return append(checks, check{"order of the sum", func(e *env) error { return e.unpermuteOrder(call) }})
}

// unpermuted makes rows and gates for a plan. Padding rows and the gates of slots that are not here hold NaN: neither may be
// read.
func (e *env) unpermuted(dt tensor.Dtype, p routed, h int) (rows, gates operand) {
	rows, gates = e.floats(dt, normal, p.Rows, h), e.floats(tensor.Float32, normal, p.Tokens, p.Slots)
	rows.set(math.NaN(), elementsOfRows(p.padding(), h)...)
	for slot, row := range p.slotRow {
		if row < 0 {
			gates.f[slot] = math.NaN()
		}
	}
	gates.flush()
	return rows, gates
}

// unpermute runs the stage and compares with the weighted sum in float64.
func (e *env) unpermute(call kernel, rows, gates operand, p routed) error {
	dt, h := rows.value.Dtype(), rows.value.Shape()[1]
	out, err := e.apply(call, template(dt, p.Tokens, h), rows.value, gates.value, p.Plan)
	if err != nil {
		return err
	}
	want := make([]approx, 0, p.Tokens*h)
	for t := range p.Tokens {
		var weights []float64
		var from [][]float64
		for k := range p.Slots {
			if row := p.slotRow[t*p.Slots+k]; row >= 0 {
				weights, from = append(weights, gates.f[t*p.Slots+k]), append(from, rows.row(int(row)))
			}
		}
		column := make([]float64, len(from))
		for j := range h {
			for k := range from {
				column[k] = from[k][j]
			}
			want = append(want, dot(weights, column, accumulator(dt), 0))
		}
	}
	return compare(out, want)
}

// unpermuteOrder tells the order of a sum by what its rounding loses. In float32, from left to right, 2²⁴ + 1 − 2²⁴ − 2²⁵ + 2 +
// 2²⁵ loses the 1 and is 2; from right to left it loses the 2 and is 1; a wider sum is 3. The products are exact, with or
// without a fused multiply-add.
func (e *env) unpermuteOrder(call kernel) error {
	terms := []float64{0x1p24, 1, -0x1p24, -0x1p25, 2, 0x1p25}
	p := e.plan(routing{4, len(terms), 3, 1, oneExpert, rowsExact})
	rows, gates := e.floats(tensor.Float32, constant(0), p.Rows, 2), e.floats(tensor.Float32, constant(0.5), 4, len(terms))
	for slot, row := range p.slotRow {
		rows.set(2*terms[slot%len(terms)], elementsOfRows([]int{int(row)}, 2)...)
	}
	out, err := e.apply(call, template(tensor.Float32, 4, 2), rows.value, gates.value, p.Plan)
	if err != nil {
		return err
	}
	got, err := load(out)
	if err != nil {
		return err
	}
	for _, x := range got {
		if x != 2 && x != 3 {
			return fmt.Errorf("2^24 + 1 - 2^24 - 2^25 + 2 + 2^25 by ascending slots: got %v, want 2 (summed in float32) or 3 (wider)", x)
		}
	}
	return nil
}
