//go:build cu && linux && cgo

package cuda

import "github.com/gorgonia/moe/ops/backend"

var addKernels = newFamily("add", "")

// Add implements backend.Add.
func (Portable) Add(out, a, b backend.Value) error {
	c := call{stage: "add"}
	defer c.done()
	x := c.array("a", a)
	y := c.tensor("b", b, x.dtype, x.shape...)
	dst := c.tensor("out", out, x.dtype, x.shape...)
	kernel := addKernels[c.float(x)]
	n := backend.Elements(x.shape)
	if c.err != nil || n == 0 {
		return c.err
	}
	const packs = 4 * 256 // of 16 bytes, of a block
	return c.begin().pointers(dst, x, y).ints(n).
		launch(kernel, shape{grid: [3]int{blocks(n, packs*16/x.elementSize())}, block: 256})
}
