package conformance

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func groupedMatMulChecks(s backend.GroupedMatMul) []check {
	call := func(out backend.Value, in []backend.Value) error {
		return s.GroupedMatMul(out, in[0], in[1], in[2].(*backend.Plan))
	}
	var checks []check
	for i, c := range groupedCombinations() {
		add := func(r routing, d, n int) {
			checks = append(checks, check{fmt.Sprintf("%v/D=%d,N=%d/%v", c, d, n, r), func(e *env) error {
				return e.newGrouped(c, r, d, n).run(call)
			}})
		}
		// Each combination sees one or two of the routings at every size; all together see each routing at each size.
		routes := 1
		if c.x.dtype == c.w.dtype && c.w.dtype == c.out {
			routes = 2
		}
		for j, size := range []struct{ d, n int }{{1, 1}, {3, 130}, {127, 3}, {130, 65}, {64, 32}, {5, 1}, {0, 3}, {3, 0}} {
			for k := range routes {
				r := routings[(5*i+3*j+k)%len(routings)]
				if size.d*size.n > 1000 {
					r.experts = min(r.experts, 9) // hundreds of experts are worth a run at small sizes only
				}
				add(r, size.d, size.n)
			}
		}
		r := routing{33, 3, 8, 16, partial, rowsSpare}
		if extraRoundings(c.x.dtype, c.w.dtype) > 0 {
			add(routing{33, 3, 3, 16, partial, rowsSpare}, 257, 130) // more than one scale block in both directions
		}
		checks = append(checks,
			check{fmt.Sprintf("%v/a NaN row", c), func(e *env) error {
				g := e.newGrouped(c, r, 131, 7)
				g.poisonRows(slices.IndexFunc(g.p.rowSlot, func(slot int32) bool { return slot >= 0 }))
				return g.run(call)
			}},
			check{fmt.Sprintf("%v/a NaN weight", c), func(e *env) error {
				g := e.newGrouped(c, r, 131, 7)
				poisonWeight(g.w, g.y, 4*7*131+3*131+130) // the last column of a row of expert 4
				return g.run(call)
			}},
		)
	}
	f32 := combination{dense(tensor.Float32), dense(tensor.Float32), tensor.Float32}
	r := routing{33, 3, 8, 16, partial, rowsSpare}
	return append(checks,
		check{"Float16 out of range", func(e *env) error {
			f16 := dense(backend.Float16)
			g := e.newGrouped(combination{f16, f16, backend.Float16}, r, 64, 7)
			for i := range g.x.f {
				g.x.f[i] *= 3000
			}
			g.x.flush()
			return g.run(call)
		}},
		check{"views", func(e *env) error {
			g := e.newGrouped(f32, r, 5, 7)
			return e.views(call, template(tensor.Float32, g.p.Rows, 7), g.rows, g.w, g.p.Plan)
		}},
		check{"misfits", func(e *env) error {
			g := e.newGrouped(f32, r, 5, 7)
			out := template(tensor.Float32, g.p.Rows, 7)
			calls := append(e.misfits(out, g.rows, g.w, g.p.Plan),
				refusal{"another number of experts", out, []backend.Value{g.rows, e.alloc(tensor.Float32, 0, 9, 7, 5), g.p.Plan}},
				refusal{"another number of rows", out, []backend.Value{e.alloc(tensor.Float32, 0, g.p.Rows+1, 5), g.w, g.p.Plan}},
				refusal{"a weight of another height", out, []backend.Value{g.rows, e.alloc(tensor.Float32, 0, 8, 6, 5), g.p.Plan}},
				refusal{"FP8 codes without scales", out, []backend.Value{g.rows, e.alloc(backend.Float8E4M3, 0, 8, 7, 5), g.p.Plan}})
			return e.refuses(call, nil, calls...)
		}},
	)
}

// grouped is a case of GroupedMatMul.
type grouped struct {
	e       *env
	c       combination
	p       routed
	rows, w backend.Value
	x, y    operand // the numbers of rows and w
	n       int
}

// newGrouped draws rows and weights. Dense padding rows hold NaN; quantized ones a NaN code.
func (e *env) newGrouped(c combination, r routing, d, n int) *grouped {
	g := &grouped{e: e, c: c, p: e.plan(r), n: n}
	g.rows, g.x = c.x.make(e, g.p.Rows, d)
	g.w, g.y = c.w.make(e, r.experts, n, d)
	g.poisonRows(g.p.padding()...)
	return g
}

// poisonRows makes the first number of rows NaN.
func (g *grouped) poisonRows(rows ...int) {
	d := g.x.value.Shape()[1]
	if d == 0 {
		return
	}
	for _, r := range rows {
		if codes, err := backend.Slice[backend.F8E4M3](g.x.value); err == nil {
			codes[r*d], g.x.f[r*d] = 0x7f, math.NaN()
			continue
		}
		g.x.f[r*d] = math.NaN()
	}
	if g.c.x.dtype != backend.Float8E4M3 {
		g.x.flush()
	}
}

// run calls the stage and compares with the products in float64.
func (g *grouped) run(call kernel) error {
	out, err := g.e.apply(call, template(g.c.out, g.p.Rows, g.n), g.rows, g.w, g.p.Plan)
	if err != nil {
		return err
	}
	want := make([]approx, 0, g.p.Rows*g.n)
	for r, expert := range g.p.rowExpert {
		if expert < 0 || g.x.value.Shape()[1] == 0 {
			want = append(want, make([]approx, g.n)...)
			continue
		}
		want = g.c.rowsTimes(want, g.x.row(r), g.y.matrix(int(expert)))
	}
	return compare(out, want)
}
