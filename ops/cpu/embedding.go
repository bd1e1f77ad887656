package cpu

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Embedding implements backend.Embedding for a table (V,H) F, ids (T) int32 and out (T,H) F. From float64 to BF16 or F16 it
// goes through float32. The first id outside [0,V) is an ErrIndex, before anything is written.
func (Go) Embedding(out, table, ids backend.Value) error {
	if err := checkOperands("embedding", out, table, ids); err != nil {
		return err
	}
	if out.Dtype() == tensor.Float64 {
		return embedding[float64](out, table, ids)
	}
	return embedding[float32](out, table, ids)
}

func embedding[A accumulator](out, table, ids backend.Value) error {
	rows, width, err := matrixDims("embedding", "table", table)
	if err != nil {
		return err
	}
	tokens, _, err := matrixDims("embedding", "out", out)
	if err != nil {
		return err
	}
	l := getLoop[picking[A]]()
	defer l.free()
	l.s.width = width
	if l.s.out, err = floatsOf[A]("embedding", "out", out, tokens, width); err != nil {
		return err
	}
	if l.s.table, err = floatsOf[A]("embedding", "table", table, rows, width); err != nil {
		return err
	}
	if l.s.ids, err = indicesOf("embedding", "ids", ids, tokens, rows); err != nil {
		return err
	}
	l.run(tokens*width, 1<<14)
	return nil
}

type picking[A accumulator] struct {
	out, table floats[A]
	ids        []int32
	width      int
}

func (p *picking[A]) span(from, to int) {
	var buf [tile]A
	tiles(from, to, p.width, func(t, lo, hi int) {
		at := int(p.ids[t]) * p.width
		p.out.write(t*p.width+lo, p.table.read(at+lo, at+hi, buf[:]))
	})
}
