package conformance

import (
	"errors"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// routingMutants break TopK, Gates, Plan and Permute.
var routingMutants = []mutant{
	{"ties go to the higher id", "TopK", topKMutant{f: func(r reference, ids, logits backend.Value) error {
		experts := int32(lastDim(logits))
		if err := r.TopK(ids, reversedColumns(logits)); err != nil {
			return err
		}
		return editInts(ids, func(id []int32) { each(id, func(x int32) int32 { return experts - 1 - x }) })
	}}},
	{"NaN is the largest", "TopK", topKMutant{f: func(r reference, ids, logits backend.Value) error {
		return r.TopK(ids, edited(logits, func(x float64) float64 { return orElse(x, math.Inf(1)) }))
	}}},
	{"the last expert is forgotten", "TopK", topKMutant{f: func(r reference, ids, logits backend.Value) error {
		n := lastDim(logits)
		return r.TopK(ids, editedAt(logits, func(i int, x float64) float64 {
			if n > 1 && i%n == n-1 {
				return math.Inf(-1)
			}
			return x
		}))
	}}},
	{"ascending order", "TopK", topKMutant{f: func(r reference, ids, logits backend.Value) error {
		if err := r.TopK(ids, logits); err != nil {
			return err
		}
		k := lastDim(ids)
		return editInts(ids, func(id []int32) {
			for t := range len(id) / k {
				slices.Reverse(id[t*k : (t+1)*k])
			}
		})
	}}},

	{"softmax over the wrong set", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		return r.Gates(gates, logits, ids, (mode+1)%2)
	}}},
	{"an absent slot takes part", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		return r.Gates(gates, logits, editedInts(ids, func(id int32) int32 { return max(id, 0) }), mode)
	}}},
	{"ids are clamped", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		last := int32(lastDim(logits) - 1)
		return r.Gates(gates, logits, editedInts(ids, func(id int32) int32 { return min(max(id, -1), last) }), mode)
	}}},
	{"exponentials overflow", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		return r.Gates(gates, edited(logits, func(x float64) float64 { return math.Log(float64(float32(math.Exp(x)))) }), ids, mode)
	}}},
	{"a gate is rounded to BFloat16", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		return errors.Join(r.Gates(gates, logits, ids, mode), editFloats(gates, func(g []float64) { each(g, roundBF16) }))
	}}},
	{"the error names another token", "Gates", gatesMutant{f: func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error {
		return misnamed(r.Gates(gates, logits, ids, mode))
	}}},

	{"descending order", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		return then(r.Plan(p, ids, m), p, func(t planTables) {
			for e, n := range t.counts {
				segment := t.rowSlot[t.offsets[e] : t.offsets[e]+n]
				slices.Reverse(segment)
				for i, slot := range segment {
					t.slotRow[slot] = t.offsets[e] + int32(i)
				}
			}
		})
	}}},
	{"ids are clamped", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		last := int32(p.Experts - 1)
		if m != nil {
			last = int32(lastDim(m) - 1)
		}
		return r.Plan(p, editedInts(ids, func(id int32) int32 { return min(max(id, -1), last) }), m)
	}}},
	{"the map is clamped", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		if m != nil {
			m = editedInts(m, func(e int32) int32 { return min(max(e, -1), int32(p.Experts-1)) })
		}
		return r.Plan(p, ids, m)
	}}},
	{"padding belongs to expert 0", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		return then(r.Plan(p, ids, m), p, func(t planTables) { each(t.rowExpert, func(e int32) int32 { return max(e, 0) }) })
	}}},
	{"padding behind the last segment is left", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		before := slices.Clone(must(backend.Slice[int32](p.RowSlot)))
		return then(r.Plan(p, ids, m), p, func(t planTables) {
			end := t.offsets[len(t.offsets)-1]
			copy(t.rowSlot[end:], before[end:])
		})
	}}},
	{"an absent slot points to row 0", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		return then(r.Plan(p, ids, m), p, func(t planTables) { each(t.slotRow, func(r int32) int32 { return max(r, 0) }) })
	}}},
	{"counts include padding", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		return then(r.Plan(p, ids, m), p, func(t planTables) {
			for e := range t.counts {
				t.counts[e] = t.offsets[e+1] - t.offsets[e]
			}
		})
	}}},
	{"segments are not aligned", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		q := *p
		q.Align = 1
		return r.Plan(&q, ids, m)
	}}},
	{"too few rows go unnoticed", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		if err := r.Plan(p, ids, m); !errors.Is(err, backend.ErrShape) || len(ids.Shape()) != 2 || ids.Shape()[1] != p.Slots {
			return err
		}
		return nil
	}}},
	{"the error names another token", "Plan", planMutant{f: func(r reference, p *backend.Plan, ids, m backend.Value) error {
		return misnamed(r.Plan(p, ids, m))
	}}},

	{"padding is left as it was", "Permute", permuteMutant{f: func(r reference, rows, x backend.Value, p *backend.Plan) error {
		return keepingRows(rows, func() error { return r.Permute(rows, x, p) }, func(row int, t planTables) bool { return t.rowSlot[row] < 0 }, p)
	}}},
	{"padding copies token 0", "Permute", permuteMutant{f: func(r reference, rows, x backend.Value, p *backend.Plan) error {
		q := withRowSlots(p, func(slot int32) int32 {
			if p.Tokens == 0 {
				return slot
			}
			return max(slot, 0)
		})
		return r.Permute(rows, x, q)
	}}},
	{"the slot is taken for the token", "Permute", permuteMutant{f: func(r reference, rows, x backend.Value, p *backend.Plan) error {
		return r.Permute(rows, x, withRowSlots(p, func(slot int32) int32 {
			if slot < 0 {
				return slot
			}
			return slot % int32(p.Tokens) * int32(p.Slots)
		}))
	}}},
	{"scales are left behind", "Permute", permuteMutant{quantized: func(r reference, rows, x *backend.Quantized, p *backend.Plan) error {
		if x.BlockRows != 1 || rows.BlockRows != 1 || rows.BlockCols != x.BlockCols {
			return r.Permute(rows, x, p)
		}
		return r.Permute(rows.Codes, x.Codes, p)
	}}},
	{"blocks of any height are moved", "Permute", permuteMutant{quantized: func(r reference, rows, x *backend.Quantized, p *backend.Plan) error {
		if x.BlockRows == 1 {
			return r.Permute(rows, x, p)
		}
		return r.Permute(rows.Codes, x.Codes, p)
	}}},
	{"the last element of each row is left", "Permute", permuteMutant{f: func(r reference, rows, x backend.Value, p *backend.Plan) error {
		before := snapshot(rows)
		err := r.Permute(rows, x, p)
		if after := must(backend.Bytes(rows)); err == nil && p.Rows > 0 && len(after) > 0 {
			width := len(after) / p.Rows
			for row := range p.Rows {
				after[(row+1)*width-1] = before[0][(row+1)*width-1]
			}
		}
		return err
	}}},
}

type topKMutant struct {
	reference
	f func(r reference, ids, logits backend.Value) error
}

func (m topKMutant) TopK(ids, logits backend.Value) error { return m.f(m.reference, ids, logits) }

type gatesMutant struct {
	reference
	f func(r reference, gates, logits, ids backend.Value, mode backend.GateMode) error
}

func (m gatesMutant) Gates(gates, logits, ids backend.Value, mode backend.GateMode) error {
	return m.f(m.reference, gates, logits, ids, mode)
}

type planMutant struct {
	reference
	f func(r reference, p *backend.Plan, ids, expertMap backend.Value) error
}

func (m planMutant) Plan(p *backend.Plan, ids, expertMap backend.Value) error {
	return m.f(m.reference, p, ids, expertMap)
}

// permuteMutant breaks Permute of tensors by f, of quantized values by quantized; what is nil is right.
type permuteMutant struct {
	reference
	f         func(r reference, rows, x backend.Value, p *backend.Plan) error
	quantized func(r reference, rows, x *backend.Quantized, p *backend.Plan) error
}

func (m permuteMutant) Permute(rows, x backend.Value, p *backend.Plan) error {
	q, isQuantized := x.(*backend.Quantized)
	to, fits := rows.(*backend.Quantized)
	switch {
	case !isQuantized && m.f != nil:
		return m.f(m.reference, rows, x, p)
	case isQuantized && fits && m.quantized != nil:
		return m.quantized(m.reference, to, q, p)
	}
	return m.reference.Permute(rows, x, p)
}

// misnamed moves what an ExpertIDError names by one token.
func misnamed(err error) error {
	var id *backend.ExpertIDError
	if errors.As(err, &id) {
		other := *id
		other.Token++
		return &other
	}
	return err
}

// then edits the tables of a plan that was made without error.
func then(err error, p *backend.Plan, edit func(planTables)) error {
	if err != nil {
		return err
	}
	edit(must(tablesOf(p)))
	return nil
}

// withRowSlots is the plan with another RowSlot.
func withRowSlots(p *backend.Plan, f func(int32) int32) *backend.Plan {
	q := *p
	q.RowSlot = editedInts(p.RowSlot, f)
	return &q
}

// reversedColumns is a copy of a matrix from right to left.
func reversedColumns(v backend.Value) backend.Value {
	d, ok := v.(*tensor.Dense)
	if !ok || !isFloat(d.Dtype()) || d.Shape().Dims() != 2 {
		return v
	}
	f, err := load(d)
	if err != nil {
		return v
	}
	n := lastDim(v)
	for t := range len(f) / max(n, 1) {
		slices.Reverse(f[t*n : (t+1)*n])
	}
	out := template(d.Dtype(), d.Shape()...)
	store(out.(*tensor.Dense), f)
	return out
}
