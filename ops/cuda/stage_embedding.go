//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var embeddingKernels = newSquare("embedding")

// Embedding implements backend.Embedding. The row of an id out of range is zero.
func (Portable) Embedding(out, table, ids backend.Value) error {
	c := call{stage: "embedding"}
	defer c.done()
	rows := c.operand("table (V,H)", table, 2)
	dst := c.operand("out (T,H)", out, 2)
	t, h := dst.shape[0], rows.shape[1]
	c.wantShape(dst, t, h)
	index := c.tensor("ids (T)", ids, tensor.Int32, t)
	kernel := embeddingKernels[c.float(rows)][c.float(dst)]
	if c.err != nil || t*h == 0 {
		return c.err
	}
	const chunk = 512 // elements of a row that a warp moves
	return c.begin().pointers(dst, rows, index).ints(t, rows.shape[0], h).faults().
		launch(kernel, shape{grid: [3]int{blocks(t*blocks(h, chunk), 4)}, block: 128})
}
