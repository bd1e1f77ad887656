package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func expertsChecks(s backend.Experts) []check {
	call := func(out backend.Value, in []backend.Value) error {
		return s.Experts(out, in[0], in[1], in[2].(*backend.Plan), in[3], in[4])
	}
	quantizedRows, quantizedWeight := quantizedFactor(1, backend.QuantBlock), quantizedFactor(backend.QuantBlock, backend.QuantBlock)
	q8, q4, f16 := inBlocks(backend.Q8_0), inBlocks(backend.Q4_0), dense(backend.Float16)
	var checks []check
	for i, c := range []fused{
		{dense(tensor.Float32), dense(tensor.Float32), dense(tensor.Float32), tensor.Float32},
		{dense(tensor.Float64), dense(tensor.Float64), dense(tensor.Float64), tensor.Float64},
		{dense(backend.BFloat16), dense(backend.BFloat16), dense(backend.BFloat16), backend.BFloat16},
		{dense(backend.Float16), dense(backend.Float16), dense(backend.Float16), backend.Float16},
		{dense(tensor.Float32), stacked(tensor.Float32, 0.5, 0.5), stacked(tensor.Float32, 1), tensor.Float32},
		{dense(backend.BFloat16), stacked(backend.BFloat16, 0.5, 0.5), stacked(backend.BFloat16, 1), backend.BFloat16},
		{dense(tensor.Float32), dense(backend.BFloat16), dense(backend.BFloat16), tensor.Float32},
		{dense(backend.BFloat16), quantizedWeight, quantizedWeight, backend.BFloat16},
		{quantizedRows, quantizedWeight, quantizedWeight, tensor.Float32},
		{dense(tensor.Float32), q8, q8, tensor.Float32},
		{dense(tensor.Float32), q4, q4, tensor.Float32},
		{dense(backend.BFloat16), q8, q8, backend.BFloat16},
		{dense(backend.BFloat16), q4, q4, backend.BFloat16},
		{dense(tensor.Float32), f16, f16, tensor.Float32},
		{dense(backend.BFloat16), f16, f16, backend.BFloat16},
	} {
		for j, size := range []struct{ h, f int }{{1, 1}, {3, 5}, {130, 33}, {64, 127}, {96, 64}} {
			for k := range 4 {
				r := routings[(5*i+3*j+4*k)%len(routings)]
				r.experts = min(r.experts, 9)
				checks = append(checks, check{fmt.Sprintf("%v/H=%d,F=%d/%v", c, size.h, size.f, r), func(e *env) error {
					return e.newExperts(c, r, size.h, size.f).run(call)
				}})
			}
		}
		special := func(name string, edit func(x *experts)) {
			checks = append(checks, check{fmt.Sprintf("%v/%s", c, name), func(e *env) error {
				x := e.newExperts(c, routing{33, 3, 8, 16, partial, rowsSpare}, 20, 9)
				edit(x)
				return x.run(call)
			}})
		}
		if c.x.dtype != backend.Float8E4M3 {
			special("a NaN token", func(x *experts) { x.x.set(math.NaN(), 5*20+19) })
			special("an infinite number", func(x *experts) { x.x.set(math.Inf(-1), 5*20+19) })
		}
		special("a NaN weight of a gate", func(x *experts) { poisonWeight(x.w13, x.first, 4*18*20+19) })
		special("a NaN weight of the second product", func(x *experts) { poisonWeight(x.w2, x.second, 4*20*9+3*9+8) })
	}
	packer, _ := s.(backend.PackWeight)
	checks = append(checks, mixedExpertsChecks(call, packer)...)
	return append(checks, check{"misfits", func(e *env) error {
		f32 := dense(tensor.Float32)
		x := e.newExperts(fused{f32, f32, f32, tensor.Float32}, routing{33, 3, 8, 16, partial, rowsSpare}, 6, 4)
		gates := e.alloc(tensor.Float32, 0, 33, 3)
		return e.refuses(call, nil, e.misfits(template(tensor.Float32, 33, 6), x.tokens, gates, x.p.Plan, x.w13, x.w2)...)
	}})
}

// fused is the kinds of the operands of Experts. out is the dtype of the result and of the intermediates of the stages that
// define it.
type fused struct {
	x, w13, w2 factor
	out        tensor.Dtype
}

func (c fused) String() string {
	return fmt.Sprintf("%s by %s and %s", c.x.name, c.w13.name, c.w2.name)
}

// experts is a case of Experts.
type experts struct {
	e                *env
	c                fused
	p                routed
	tokens, w13, w2  backend.Value
	x, first, second operand // their numbers
	gates            operand
	h, f             int
}

// newExperts draws the operands. The gates of slots that are not here are NaN.
func (e *env) newExperts(c fused, r routing, h, f int) *experts {
	x := &experts{e: e, c: c, p: e.plan(r), h: h, f: f}
	x.tokens, x.x = c.x.make(e, r.tokens, h)
	x.w13, x.first = c.w13.make(e, r.experts, 2*f, h)
	x.w2, x.second = c.w2.make(e, r.experts, h, f)
	_, x.gates = e.unpermuted(tensor.Float32, x.p, 1)
	return x
}

func (x *experts) run(call kernel) error {
	out, err := x.e.apply(call, template(x.c.out, x.p.Tokens, x.h), x.tokens, x.gates.value, x.p.Plan, x.w13, x.w2)
	if err != nil {
		return err
	}
	var want []approx
	for t := range x.p.Tokens {
		want = append(want, x.token(t)...)
	}
	return compare(out, want)
}

// token is the oracle for one token: the composition of the stages, each intermediate with the error that it may have when it
// is rounded to the destination's dtype, as the separate stages round it. A fused stage that rounds less is nearer.
//
// Where a stage is free to round what it multiplies with a weight (factor.rounding), the second product rounds what SwiGLU gave.
// Through a product an error passes as Σ|w|·δ. Through SwiGLU the gate's passes times the greatest slope of silu, less than
// 1.1, and the other factor.
func (x *experts) token(t int) []approx {
	const slope = 1.1
	y := make([]approx, x.h)
	for k := range x.p.Slots {
		row := x.p.slotRow[t*x.p.Slots+k]
		if row < 0 {
			continue
		}
		expert, gate := int(x.p.rowExpert[row]), x.gates.f[t*x.p.Slots+k]
		eps := accumulator(x.c.x.dtype, x.c.w13.dtype)
		gateUp := combination{x.c.x, x.c.w13, x.c.out}.rowsTimes(nil, x.x.row(t), x.first.matrix(expert))
		hidden := make([]approx, x.f)
		for j := range hidden {
			g, u := gateUp[j].stored(x.c.out), gateUp[x.f+j].stored(x.c.out)
			activation := silu(g.want, eps)
			activation.tol += slope * g.tol * (1 + 2*expUnits*eps)
			hidden[j] = times(activation, u, eps).stored(x.c.out)
		}
		w2, largest := x.second.matrix(expert), make([]float64, x.f)
		for j, v := range hidden {
			largest[j] = math.Abs(v.want) + v.tol
		}
		for i := range y {
			w := w2[i*x.f : (i+1)*x.f]
			o := dotApprox(hidden, w, accumulator(x.c.out, x.c.w2.dtype), extraRoundings(x.c.w2.dtype))
			if x.c.w2.rounding != nil {
				o.tol += x.c.w2.rounding(largest, w)
			}
			o = o.stored(x.c.out)
			y[i].want += gate * o.want
			y[i].tol += math.Abs(gate) * (o.tol + gamma(x.p.Slots, eps)*(math.Abs(o.want)+o.tol))
		}
	}
	return y
}

// dotApprox is dot with errors in a already.
func dotApprox(a []approx, b []float64, eps float64, extra int) approx {
	var out approx
	g := gamma(len(a)+extra, eps)
	for i, x := range a {
		out.want += x.want * b[i]
		out.tol += math.Abs(b[i]) * (x.tol + g*(math.Abs(x.want)+x.tol))
	}
	return out
}
