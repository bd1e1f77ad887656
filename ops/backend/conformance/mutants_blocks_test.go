package conformance

import (
	"bytes"
	"math"
	"slices"

	"github.com/gorgonia/moe/ops/backend"
)

// blockMutant multiplies with other blocks than it is given.
type blockMutant struct {
	reference
	f func(format backend.BlockFormat, block []byte)
}

// changed is w, each block of it changed by f.
func (m blockMutant) changed(w backend.Value) backend.Value {
	q, ok := w.(*backend.BlockQuantized)
	if !ok {
		return w
	}
	data := bytes.Clone(q.Bytes())
	for block := range slices.Chunk(data, q.BlockFormat().BlockBytes()) {
		m.f(q.BlockFormat(), block)
	}
	return must(backend.NewBlockQuantized(q.BlockFormat(), q.Shape(), data))
}

func (m blockMutant) Linear(out, x, w backend.Value) error {
	return m.reference.Linear(out, x, m.changed(w))
}

func (m blockMutant) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	return m.reference.GroupedMatMul(out, rows, m.changed(w), p)
}

func (m blockMutant) Experts(y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
	return m.reference.Experts(y, x, gates, p, m.changed(w13), m.changed(w2))
}

type quantizeBlocksMutant struct {
	reference
	f func(r reference, q *backend.BlockQuantized, w backend.Value) error
}

func (m quantizeBlocksMutant) QuantizeBlocks(q *backend.BlockQuantized, w backend.Value) error {
	return m.f(m.reference, q, w)
}

// blockMutants read blocks wrongly, or round what they multiply with them more than they may.
func blockMutants() []mutant {
	list := []mutant{{"tokens are rounded to BFloat16", "Experts", expertsMutant{f: func(r reference, y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
		if _, ok := w13.(*backend.BlockQuantized); ok {
			x = edited(x, roundBF16)
		}
		return r.Experts(y, x, gates, p, w13, w2)
	}}}, {"numbers are rounded to BFloat16", "QuantizeBlocks", quantizeBlocksMutant{f: func(r reference, q *backend.BlockQuantized, w backend.Value) error {
		return r.QuantizeBlocks(q, edited(w, roundBF16))
	}}}, {"NaN becomes 0", "QuantizeBlocks", quantizeBlocksMutant{f: func(r reference, q *backend.BlockQuantized, w backend.Value) error {
		return r.QuantizeBlocks(q, edited(w, func(x float64) float64 {
			if math.IsNaN(x) {
				return 0
			}
			return x
		}))
	}}}, {"padding holds what it held", "QuantizeBlocks", quantizeBlocksMutant{f: func(r reference, q *backend.BlockQuantized, w backend.Value) error {
		d := lastDim(q)
		size := q.BlockFormat().RowBytes(d)
		before := bytes.Clone(q.Bytes())
		err := r.QuantizeBlocks(q, w)
		for at := size; d%32 == 31 && q.BlockFormat() == backend.Q8_0 && at <= len(before); at += size {
			q.Bytes()[at-1] = before[at-1]
		}
		return err
	}}}}
	for name, f := range map[string]func(format backend.BlockFormat, block []byte){
		"a block's scale without its sign":       func(_ backend.BlockFormat, block []byte) { block[1] &= 0x7f },
		"a block's scale with its bytes swapped": func(_ backend.BlockFormat, block []byte) { block[0], block[1] = block[1], block[0] },
		"halves of a byte swapped": func(f backend.BlockFormat, block []byte) {
			for i := range block[2:] {
				if f == backend.Q4_0 {
					block[2+i] = block[2+i]<<4 | block[2+i]>>4
				}
			}
		},
		"codes without sign": func(f backend.BlockFormat, block []byte) {
			for i := range block[2:] {
				if f == backend.Q8_0 {
					block[2+i] &= 0x7f
				}
			}
		},
	} {
		for _, stage := range []string{"Linear", "GroupedMatMul", "Experts"} {
			list = append(list, mutant{name, stage, blockMutant{f: f}})
		}
	}
	return list
}
