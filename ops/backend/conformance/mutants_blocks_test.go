package conformance

import (
	"bytes"
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

// blockMutants read blocks wrongly.
func blockMutants() []mutant {
	var list []mutant
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
		for _, stage := range []string{"Linear", "GroupedMatMul"} {
			list = append(list, mutant{name, stage, blockMutant{f: f}})
		}
	}
	return list
}
