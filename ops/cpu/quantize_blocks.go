package cpu

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// QuantizeBlocks implements backend.QuantizeBlocks for w of float32, BFloat16 or Float16, a tensor or an ExpertStack.
func (Go) QuantizeBlocks(q *backend.BlockQuantized, w backend.Value) error {
	if err := checkOperands("quantize blocks", q, w); err != nil {
		return err
	}
	if dt := w.Dtype(); dt != tensor.Float32 && dt != backend.BFloat16 && dt != backend.Float16 {
		return fmt.Errorf("quantize blocks: w is %v, want float32, bfloat16 or float16: %w", dt, backend.ErrDtype)
	}
	shape := q.Shape()
	dims, width := shape[:len(shape)-1], shape[len(shape)-1]
	l := getLoop[blocking]()
	defer l.free()
	b := &l.s
	if err := b.w.set("quantize blocks", "w", w, shape...); err != nil {
		return err
	}
	if len(q.Bytes()) == 0 { // of however many rows
		return nil
	}
	b.format, b.to, b.width = q.BlockFormat(), q.Bytes(), width
	l.run(backend.Elements(dims), 1<<12/max(width, 1))
	if at := b.bad.at; b.bad.found {
		index := []int{at}
		if len(dims) == 2 {
			index = []int{at / dims[1], at % dims[1]}
		}
		return fmt.Errorf("quantize blocks: w, row %v, %w", index, b.row(at, make([]float32, width)))
	}
	return nil
}

// blocking is QuantizeBlocks in the course of being computed.
type blocking struct {
	format backend.BlockFormat
	to     []byte
	w      anyMatrix[float32]
	width  int
	bad    fault // the first row that cannot be quantised
}

func (b *blocking) span(lo, hi int) {
	buf := getScratch[float32](b.width)
	defer putScratch(buf)
	for i := lo; i < hi; i++ {
		if b.row(i, *buf) != nil {
			b.bad.report(i)
			return
		}
	}
}

// row quantises row i.
func (b *blocking) row(i int, buf []float32) error {
	size := b.format.RowBytes(b.width)
	return b.format.Narrow(b.to[i*size:][:size], b.w.row(i, 0, b.width, buf))
}
