package conformance

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func gatesChecks(s backend.Gates) []check {
	var checks []check
	for _, mode := range []backend.GateMode{backend.SoftmaxTopK, backend.SoftmaxAll, backend.SoftmaxRenormalized} {
		call := func(out backend.Value, in []backend.Value) error { return s.Gates(out, in[0], in[1], mode) }
		for _, dt := range floats {
			add := func(name string, run func(e *env) error) {
				checks = append(checks, check{fmt.Sprintf("%v/%v/%s", mode, dt, name), run})
			}
			for _, logits := range []struct {
				name string
				draw func(*rand.Rand) float64
			}{
				{"normal", normal},
				{"wide", scaled(30)},
				{"huge", scaled(5000)}, // exp of most of them overflows or vanishes
				{"greatest", greatest(dt)},
				{"minus infinity", mostly(normal, math.Inf(-1))},
			} {
				for _, r := range []routing{
					{0, 2, 8, 1, distinct, rowsBound},
					{1, 1, 1, 1, distinct, rowsBound},
					{67, 2, 8, 1, distinct, rowsBound},
					{33, 3, 3, 1, distinct, rowsBound},
					{5, 32, 257, 1, distinct, rowsBound},
					{31, 4, 8, 1, partial, rowsBound},
					{9, 2, 8, 1, absent, rowsBound},
					{31, 4, 130, 1, repeated, rowsBound},
				} {
					add(logits.name+"/"+r.String(), func(e *env) error {
						l, ids := e.floats(dt, logits.draw, r.tokens, r.experts), r.ids(e.rng)
						for t := range r.tokens { // a softmax of −Inf alone has no value
							l.f[t*r.experts+max(0, int(ids[t*r.slots]))] = 0
						}
						l.flush()
						return e.gates(call, mode, l, ids, r.slots)
					})
				}
			}
			add("chosen far below the others", func(e *env) error {
				l := e.floats(dt, normal, 4, 6)
				for t := range 4 {
					l.set(300, t*6+5)
				}
				return e.gates(call, mode, l, []int32{0, 1, 2, 3, 4, 0, 1, 2}, 2)
			})
			if mode == backend.SoftmaxTopK {
				add("NaN of an expert that is not chosen", func(e *env) error {
					l := e.floats(dt, normal, 3, 5)
					l.set(math.NaN(), 4, 9, 14)
					return e.gates(call, mode, l, []int32{0, 1, 2, 3, 1, -1}, 2)
				})
			}
			add("NaN of one token", func(e *env) error {
				l := e.floats(dt, normal, 3, 5)
				l.set(math.NaN(), 5+1)
				return e.gates(call, mode, l, []int32{0, 1, 1, 3, 1, -1}, 2)
			})
			for _, id := range []int32{-2, 5, math.MinInt32, math.MaxInt32} {
				for token := range 3 {
					add(fmt.Sprintf("id %d of token %d", id, token), func(e *env) error {
						ids := []int32{0, 1, -1, 3, 1, 4}
						ids[2*token+1] = id
						l := e.floats(dt, normal, 3, 5)
						_, err := e.once(call, e.poisoned(template(tensor.Float32, 3, 2), garbageNaN), l.value, e.ints(ids, 3, 2))
						return wantExpertID(err, backend.ExpertIDError{Token: token, Slot: 1, ID: int(id), Experts: 5})
					})
				}
			}
			add("views", func(e *env) error {
				return e.views(call, template(tensor.Float32, 3, 2), e.floats(dt, normal, 3, 5).value, e.ints([]int32{0, 1, -1, 3, 1, 4}, 3, 2))
			})
			add("misfits", func(e *env) error {
				l, ids := e.floats(dt, normal, 3, 5), e.ints([]int32{0, 1, -1, 3, 1, 4}, 3, 2)
				// Logits of another width are of another E, which no other operand tells.
				calls := e.misfits(template(tensor.Float32, 3, 2), l.value, ids)
				return e.refuses(call, nil, without(calls, "wrong shape of source 0")...)
			})
		}
	}
	return checks
}

// gates runs the stage and compares with the softmax in float64.
func (e *env) gates(call kernel, mode backend.GateMode, logits operand, ids []int32, slots int) error {
	tokens := logits.value.Shape()[0]
	out, err := e.apply(call, template(tensor.Float32, tokens, slots), logits.value, e.ints(ids, tokens, slots))
	if err != nil {
		return err
	}
	var want []approx
	for t := range tokens {
		want = append(want, gatesOracle(mode, logits.row(t), ids[t*slots:(t+1)*slots], accumulator(logits.value.Dtype()))...)
	}
	return compare(out, want)
}

// gatesOracle gives one token's gates. A softmax over all experts, divided by its sum over the chosen, is computed as the
// softmax over the chosen: the two are equal, but only the second has a value when the chosen's share is too small to be a
// number. A backend may subtract the largest of all logits instead of the chosen's: by their difference each argument of an
// exponential gets larger, once in the numerator and once in the mean.
func gatesOracle(mode backend.GateMode, l []float64, ids []int32, eps float64) []approx {
	out := make([]approx, len(ids))
	var chosen []float64
	for _, id := range ids {
		if id >= 0 {
			chosen = append(chosen, l[id])
		}
	}
	over := chosen
	if mode == backend.SoftmaxAll {
		over = l
	}
	p := softmax(over, eps)
	if mode == backend.SoftmaxRenormalized {
		shift := slices.Max(l) - slices.Max(append(chosen, math.Inf(-1)))
		for i := range p {
			if p[i].want > 0 { // else shift, which may be infinite, moves nothing
				p[i].tol += p[i].want * (4 * eps) * shift
			}
		}
	}
	next := 0
	for k, id := range ids {
		switch {
		case id < 0:
		case mode == backend.SoftmaxAll:
			out[k] = p[id]
		default:
			out[k] = p[next]
			next++
		}
	}
	return out
}

// wantExpertID expects an error that says which id is bad and where.
func wantExpertID(err error, want backend.ExpertIDError) error {
	if errors.Is(err, backend.ErrUnsupported) {
		return declined(err)
	}
	if !errors.Is(err, backend.ErrExpertID) {
		return fmt.Errorf("error %v, want %q", err, backend.ErrExpertID)
	}
	var got *backend.ExpertIDError
	if !errors.As(err, &got) {
		return fmt.Errorf("error %v holds no ExpertIDError", err)
	}
	if *got != want {
		return fmt.Errorf("the error says %+v, want %+v", *got, want)
	}
	return nil
}
