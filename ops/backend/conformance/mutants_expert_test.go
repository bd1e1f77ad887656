package conformance

import (
	"errors"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// expertMutants break GroupedMatMul, SwiGLU, Unpermute and Experts.
var expertMutants = []mutant{
	{"the last column of rows is dropped", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		return r.GroupedMatMul(out, withoutLastColumn(rows), w, p)
	}}},
	{"the last column of the output is left", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		n := lastDim(out)
		return keepingElements(out, func() error { return r.GroupedMatMul(out, rows, w, p) }, func(i int) bool { return i%n == n-1 })
	}}},
	{"padding rows show what they held", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		n := lastDim(out)
		return then(r.GroupedMatMul(out, rows, w, p), p, func(t planTables) {
			must(0, editFloats(out, func(f []float64) {
				for i := range f {
					if t.rowSlot[i/n] < 0 {
						f[i] = math.NaN()
					}
				}
			}))
		})
	}}},
	{"two rows of an expert change places", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		n := lastDim(out)
		return errors.Join(r.GroupedMatMul(out, rows, w, p), editFloats(out, func(f []float64) {
			for i := range n * min(1, len(f)/max(2*n, 1)) {
				f[i], f[n+i] = f[n+i], f[i]
			}
		}))
	}}},
	{"rows go to the next expert", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		if w.Shape().Dims() == 3 {
			n := backend.Elements(w.Shape())
			w = rearranged(w, func(i int) int { return (i + n/w.Shape()[0]) % n })
		}
		return r.GroupedMatMul(out, rows, w, p)
	}}},
	{"the weight is used in BFloat16", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		return r.GroupedMatMul(out, rows, edited(w, roundBF16), p)
	}}},
	{"the output is cut off and not rounded", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		if out.Dtype() != backend.BFloat16 {
			return r.GroupedMatMul(out, rows, w, p)
		}
		wide := template(tensor.Float32, out.Shape()...)
		if err := r.GroupedMatMul(wide, rows, w, p); err != nil {
			return err
		}
		cut := must(backend.Slice[backend.BF16](out))
		for i, x := range must(backend.Slice[float32](wide)) {
			cut[i] = backend.BF16(math.Float32bits(x) >> 16)
		}
		return nil
	}}},
	{"a stack is its first blocks", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		if s, ok := w.(*backend.ExpertStack); ok {
			blocks := make([][]backend.Value, s.Shape()[0])
			for e := range blocks {
				blocks[e] = slices.Clone(s.Expert(e))
				last := len(blocks[e]) - 1
				blocks[e][last] = template(s.Dtype(), blocks[e][last].Shape()...)
			}
			w = must(backend.StackExperts(blocks))
		}
		return r.GroupedMatMul(out, rows, w, p)
	}}},
	{"a row's first scale serves all its blocks", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		return r.GroupedMatMul(out, withFirstScales(rows), w, p)
	}}},
	{"a weight's first scale serves all its blocks", "GroupedMatMul", groupedMutant{f: func(r reference, out, rows, w backend.Value, p *backend.Plan) error {
		return r.GroupedMatMul(out, rows, withFirstScales(w), p)
	}}},

	{"gate and up change places", "SwiGLU", swiGLUMutant{f: func(r reference, out, x backend.Value) error {
		if n := lastDim(x); n%2 == 0 && x.Shape().Dims() == 2 && isFloat(x.Dtype()) {
			x = rearranged(x, func(i int) int { return i - i%n + (i%n+n/2)%n })
		}
		return r.SwiGLU(out, x)
	}}},
	{"relu for silu", "SwiGLU", swiGLUMutant{f: func(r reference, out, x backend.Value) error {
		n := lastDim(x)
		return errors.Join(r.SwiGLU(out, x), editFloats(out, func(f []float64) {
			g := must(load(x))
			for i := range f {
				f[i] = max(g[2*i-i%(n/2)], 0) * g[2*i-i%(n/2)+n/2]
			}
		}))
	}}},
	{"the exponential's overflow shows", "SwiGLU", swiGLUMutant{f: func(r reference, out, x backend.Value) error {
		n := lastDim(x)
		return errors.Join(r.SwiGLU(out, x), editFloats(out, func(f []float64) {
			g := must(load(x))
			for i := range f {
				if g[2*i-i%(n/2)] < -100 {
					f[i] = math.NaN()
				}
			}
		}))
	}}},
	{"infinities are the greatest numbers", "SwiGLU", swiGLUMutant{f: func(r reference, out, x backend.Value) error {
		return r.SwiGLU(out, edited(x, func(v float64) float64 { return max(-65504, min(v, 65504)) }))
	}}},
	{"the last of an odd number of columns is left", "SwiGLU", swiGLUMutant{f: func(r reference, out, x backend.Value) error {
		n := lastDim(out)
		return keepingElements(out, func() error { return r.SwiGLU(out, x) }, func(i int) bool { return n%2 == 1 && i%n == n-1 })
	}}},

	{"an absent slot adds 0 times row 0", "Unpermute", unpermuteMutant{f: func(r reference, y, rows, gates backend.Value, p *backend.Plan) error {
		absent := editedInts(p.SlotRow, func(row int32) int32 { return min(row, 0) }) // −1 for an absent slot, 0 for another
		zeroed := editedAt(gates, func(i int, g float64) float64 {
			if at, err := backend.Slice[int32](absent); err == nil && i < len(at) && at[i] < 0 {
				return 0
			}
			return g
		})
		q := *p
		q.SlotRow = editedInts(p.SlotRow, func(row int32) int32 {
			if row < 0 && p.Rows > 0 {
				return int32(p.Rows - 1) // a padding row
			}
			return row
		})
		return r.Unpermute(y, rows, zeroed, &q)
	}}},
	{"the last slot is dropped", "Unpermute", unpermuteMutant{f: func(r reference, y, rows, gates backend.Value, p *backend.Plan) error {
		return r.Unpermute(y, rows, gates, withSlotRows(p, func(slot int, row int32) int32 {
			if slot%p.Slots == p.Slots-1 {
				return -1
			}
			return row
		}))
	}}},
	{"gates are rounded to BFloat16", "Unpermute", unpermuteMutant{f: func(r reference, y, rows, gates backend.Value, p *backend.Plan) error {
		return r.Unpermute(y, rows, edited(gates, roundBF16), p)
	}}},
	{"descending slots", "Unpermute", unpermuteMutant{f: func(r reference, y, rows, gates backend.Value, p *backend.Plan) error {
		if lastDim(gates) != p.Slots || gates.Dtype() != tensor.Float32 {
			return r.Unpermute(y, rows, gates, p)
		}
		mirror := func(slot int) int { return slot - slot%p.Slots + p.Slots - 1 - slot%p.Slots }
		slotRow := must(backend.Slice[int32](p.SlotRow))
		return r.Unpermute(y, rows, rearranged(gates, mirror), withSlotRows(p, func(slot int, _ int32) int32 { return slotRow[mirror(slot)] }))
	}}},

	{"gates are not applied", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		return r.Experts(y, x, edited(gates, func(float64) float64 { return 1 }), p, w13, w2)
	}}},
	{"w1 and w3 change places", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		if s := w13.Shape(); s.Dims() == 3 && s[1]%2 == 0 {
			half := s[1] * s[2] / 2
			w13 = rearranged(w13, func(i int) int {
				if i/half%2 == 0 {
					return i + half
				}
				return i - half
			})
		}
		return r.Experts(y, x, gates, p, w13, w2)
	}}},
	{"the last hidden unit is dropped", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		return r.Experts(y, x, gates, p, w13, withoutLastColumn(w2))
	}}},
	{"the last slot of BFloat16 tokens is dropped", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		if y.Dtype() != backend.BFloat16 {
			return r.Experts(y, x, gates, p, w13, w2)
		}
		return r.Experts(y, x, gates, withSlotRows(p, func(slot int, row int32) int32 {
			if slot%p.Slots == p.Slots-1 {
				return -1
			}
			return row
		}), w13, w2)
	}}},
	{"the last hidden unit of BFloat16 is dropped", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		if y.Dtype() != backend.BFloat16 {
			return r.Experts(y, x, gates, p, w13, w2)
		}
		return r.Experts(y, x, gates, p, w13, withoutLastColumn(w2))
	}}},
	{"the last hidden unit is dropped where one weight alone is packed", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		_, first := w13.(*packedCopy)
		if _, second := w2.(*packedCopy); first != second {
			w2 = withoutLastColumn(unpacked(w2))
		}
		return r.Experts(y, x, gates, p, w13, w2)
	}}},
	{"the last hidden unit is dropped where the weights are of two dtypes", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		if w13.Dtype() != w2.Dtype() {
			w2 = withoutLastColumn(w2)
		}
		return r.Experts(y, x, gates, p, w13, w2)
	}}},
}

type groupedMutant struct {
	reference
	f func(r reference, out, rows, w backend.Value, p *backend.Plan) error
}

func (m groupedMutant) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	return m.f(m.reference, out, rows, w, p)
}

type swiGLUMutant struct {
	reference
	f func(r reference, out, x backend.Value) error
}

func (m swiGLUMutant) SwiGLU(out, x backend.Value) error { return m.f(m.reference, out, x) }

type unpermuteMutant struct {
	reference
	f func(r reference, y, rows, gates backend.Value, p *backend.Plan) error
}

func (m unpermuteMutant) Unpermute(y, rows, gates backend.Value, p *backend.Plan) error {
	return m.f(m.reference, y, rows, gates, p)
}

type expertsMutant struct {
	reference
	f func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error
}

func (m expertsMutant) Experts(y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
	return m.f(m.reference, y, x, gates, p, w13, w2)
}

// withoutLastColumn is a copy of a tensor with zeros in its last column, if that is not the only one.
func withoutLastColumn(v backend.Value) backend.Value {
	n := lastDim(v)
	if n < 2 {
		return v
	}
	return editedAt(v, func(i int, x float64) float64 {
		if i%n == n-1 {
			return 0
		}
		return x
	})
}

// withSlotRows is the plan with another SlotRow.
func withSlotRows(p *backend.Plan, f func(slot int, row int32) int32) *backend.Plan {
	q := *p
	q.SlotRow = editedInts(p.SlotRow, func(row int32) int32 { return row })
	rows := must(backend.Slice[int32](q.SlotRow))
	for slot, row := range rows {
		rows[slot] = f(slot, row)
	}
	return &q
}

// withFirstScales is a quantized value in which each row of scales repeats its first.
func withFirstScales(v backend.Value) backend.Value {
	q, ok := v.(*backend.Quantized)
	if !ok {
		return v
	}
	n := lastDim(q.Scales)
	return must(q.With([]backend.Value{q.Codes, rearranged(q.Scales, func(i int) int { return i - i%n })}))
}
