package conformance

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

type packMutant struct {
	reference
	f func(p *packedCopy)
}

func (m packMutant) PackWeight(w backend.Value) (backend.Packed, error) {
	p, err := m.reference.PackWeight(w)
	if err != nil {
		return nil, err
	}
	m.f(p.(*packedCopy))
	return p, nil
}

// lastElement changes the last element of a copy of v.
func lastElement(v backend.Value) backend.Value {
	n := backend.Elements(v.Shape())
	return editedAt(v, func(i int, x float64) float64 {
		if i == n-1 {
			return x + 8
		}
		return x
	})
}

// packMutants break PackWeight.
var packMutants = []mutant{
	{"the last element is another", "PackWeight", packMutant{f: func(p *packedCopy) { p.plain = lastElement(p.plain) }}},
	{"another dtype", "PackWeight", packMutant{f: func(p *packedCopy) { p.Value = template(tensor.Int32, p.Shape()...) }}},
	{"another shape", "PackWeight", packMutant{f: func(p *packedCopy) { p.Value = template(p.Dtype(), append(tensor.Shape{1}, p.Shape()...)...) }}},
	{"a matrix unpacks as a stack", "PackWeight", packMutant{f: func(p *packedCopy) {
		plain := template(p.Dtype(), append(tensor.Shape{1}, p.Shape()...)...)
		copy(must(backend.Bytes(plain)), must(backend.Bytes(p.plain)))
		p.plain = plain
	}}},
	{"its product is another weight's", "PackWeight", misreadingPack{}},
	{"anything is packed", "PackWeight", carelessPack{}},
}

// misreadingPack multiplies with something else than it unpacks.
type misreadingPack struct{ reference }

func (m misreadingPack) Linear(out, x, w backend.Value) error {
	return m.reference.Linear(out, x, lastElement(unpacked(w)))
}

func (m misreadingPack) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	return m.reference.GroupedMatMul(out, rows, lastElement(unpacked(w)), p)
}

// carelessPack refuses nothing.
type carelessPack struct{ reference }

func (m carelessPack) PackWeight(w backend.Value) (backend.Packed, error) {
	if p, err := m.reference.PackWeight(w); err == nil {
		return p, nil
	}
	return &packedCopy{w, w}, nil
}
