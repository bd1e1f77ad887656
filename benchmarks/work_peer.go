package main

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// peerWorks do the work of groupedmatmul-ffn with other software.
var peerWorks = []work{
	{
		name: "peer-gorgonia-matmul", what: "groupedmatmul-ffn by tensor.MatMul, three calls an expert, weights (H,F) and (F,H)",
		peer: gorgoniaBLAS, weights: []*dtype{f32}, activations: []*dtype{f32}, host: true,
		flops: "6·N·H·F",
		bytes: "3·U·F·H·w + N·(H + F)·a + N·(2·F + H)·o",
		setup: func(p *problem) func() error { return setupMatMul(p, false) },
	},
	{
		name: "peer-gorgonia-matmul-transposed", what: "the same with weights as checkpoints have them, transposed views",
		peer: gorgoniaBLAS, weights: []*dtype{f32}, activations: []*dtype{f32}, host: true,
		flops: "6·N·H·F",
		bytes: "3·U·F·H·w + N·(H + F)·a + N·(2·F + H)·o",
		setup: func(p *problem) func() error { return setupMatMul(p, true) },
	},
}

const gorgoniaBLAS = "gorgonia/gonum"

// product is one call of tensor.MatMul that writes over its output.
type product struct{ x, w, out *tensor.Dense }

func (m product) run() error {
	_, err := m.x.MatMul(m.w, tensor.WithReuse(m.out))
	return err
}

// setupMatMul makes three products for each expert that has rows. The weights share the memory of the problem's own: their
// numbers are random, so that a matrix (F,H) may as well be read as one of (H,F).
func setupMatMul(p *problem, transposed bool) func() error {
	w13, w2 := p.w13(), p.w2()
	if p.err != nil {
		return nil
	}
	h, f := p.shape.H, p.shape.F
	var all []product
	for e, count := range p.counts() {
		n := int(count)
		if n == 0 {
			continue
		}
		x, act := p.rows(n, h), p.rows(n, f)
		if p.err != nil {
			return nil
		}
		up := w13.(*backend.ExpertStack).Expert(e)
		for _, m := range []struct{ x, w, out backend.Value }{
			{x, up[0], newMatrix(n, f)},
			{x, up[1], newMatrix(n, f)},
			{act, w2.(*backend.ExpertStack).Expert(e)[0], newMatrix(n, h)},
		} {
			w, err := asRight(m.w, transposed)
			if err != nil {
				p.fail(err)
				return nil
			}
			all = append(all, product{m.x.(*tensor.Dense), w, m.out.(*tensor.Dense)})
		}
	}
	return func() error {
		for _, m := range all {
			if err := m.run(); err != nil {
				return err
			}
		}
		return nil
	}
}

func newMatrix(rows, cols int) backend.Value {
	return tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(rows, cols))
}

// asRight reads the memory of a weight (N,D) as the right operand (D,N) of a product: as its transpose, or row by row.
func asRight(w backend.Value, transposed bool) (*tensor.Dense, error) {
	data, err := backend.Slice[float32](w)
	if err != nil {
		return nil, err
	}
	n, d := w.Shape()[0], w.Shape()[1]
	if !transposed {
		return tensor.New(tensor.WithShape(d, n), tensor.WithBacking(data)), nil
	}
	t := tensor.New(tensor.WithShape(n, d), tensor.WithBacking(data))
	return t, t.T()
}
