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
	dst, err := floatsOf[A]("embedding", "out", out, tokens, width)
	if err != nil {
		return err
	}
	src, err := floatsOf[A]("embedding", "table", table, rows, width)
	if err != nil {
		return err
	}
	row, err := indicesOf("embedding", "ids", ids, tokens, rows)
	if err != nil {
		return err
	}
	tiles(tokens, width, 1<<14, func(t, lo, hi int) {
		var buf [tile]A
		at := int(row[t]) * width
		dst.write(t*width+lo, src.read(at+lo, at+hi, buf[:]))
	})
	return nil
}
