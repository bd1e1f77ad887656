package conformance

import (
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cpu"
)

// reference is a backend that keeps every promise: plain Go, with Experts as the stages that define it, and weights that are
// packed by copying them.
type reference struct{ cpu.Go }

// packedCopy is a weight packed by reference.
type packedCopy struct {
	backend.Value
	plain backend.Value
}

func (p *packedCopy) Unpack() (backend.Value, error) { return p.plain, nil }

func (r reference) PackWeight(w backend.Value) (backend.Packed, error) {
	if w == nil || len(w.Shape()) != 2 && len(w.Shape()) != 3 || !isFloat(w.Dtype()) {
		return nil, fmt.Errorf("pack: %v is no weight: %w", w, backend.ErrValue)
	}
	plain := template(w.Dtype(), w.Shape()...)
	at := must(backend.Bytes(plain))
	for _, part := range snapshot(w) {
		at = at[copy(at, part):]
	}
	return &packedCopy{plain, plain}, nil
}

// unpacked is w, or what it was packed from.
func unpacked(w backend.Value) backend.Value {
	if p, ok := w.(*packedCopy); ok {
		return p.plain
	}
	return w
}

func (r reference) Linear(out, x, w backend.Value) error { return r.Go.Linear(out, x, unpacked(w)) }

func (r reference) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	return r.Go.GroupedMatMul(out, rows, unpacked(w), p)
}

func (r reference) Experts(y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
	if x.Shape().Dims() != 2 || w2.Shape().Dims() != 3 {
		return fmt.Errorf("experts: x of shape %v and w2 of shape %v, want (T,H) and (E,H,F): %w", x.Shape(), w2.Shape(), backend.ErrShape)
	}
	out, hidden := y.Dtype(), w2.Shape()[2]
	rows, err := permuted(r, x, p)
	if err != nil {
		return err
	}
	gateUp := template(out, p.Rows, 2*hidden)
	if err := r.GroupedMatMul(gateUp, rows, w13, p); err != nil {
		return err
	}
	activated := template(out, p.Rows, hidden)
	if err := r.SwiGLU(activated, gateUp); err != nil {
		return err
	}
	down := template(out, p.Rows, w2.Shape()[1])
	if err := r.GroupedMatMul(down, activated, w2, p); err != nil {
		return err
	}
	return r.Unpermute(y, down, gates, p)
}

// permuted is x by the plan, codes and scales of a quantized x each on its own.
func permuted(s backend.Permute, x backend.Value, p *backend.Plan) (backend.Value, error) {
	if q, ok := x.(*backend.Quantized); ok {
		parts := q.Parts()
		for i, part := range parts {
			moved, err := permuted(s, part, p)
			if err != nil {
				return nil, err
			}
			parts[i] = moved
		}
		return q.With(parts)
	}
	shape := append(tensor.Shape{p.Rows}, x.Shape()[1:]...)
	rows := template(x.Dtype(), shape...)
	return rows, s.Permute(rows, x, p)
}

// TestReferencePasses runs the suite on a backend that is right, so that what the mutants fail by is the mutation.
func TestReferencePasses(t *testing.T) {
	Options{Require: Stages()}.Run(t, backend.Host, reference{})
}
