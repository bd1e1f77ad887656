//go:build cu && linux && cgo

package cuda

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var rotaryKernels = newFamily("rotary", "")

// rotaryMaxDim is the largest width of a head: its cosines and sines fit into a block's shared memory.
const rotaryMaxDim = 2 * 3072

// Rotary implements backend.Rotary, for x and out of one dtype and heads of width 6144 at most. A headDim that is odd, less
// than 2 or no divisor of the width, and a base that is not positive and finite, are an ErrParameter.
func (Portable) Rotary(out, x, positions backend.Value, headDim int, base float64) error {
	c := call{stage: "rotary"}
	defer c.done()
	src := c.operand("x (T,heads·D)", x, 2)
	t, width := src.shape[0], src.shape[1]
	if headDim < 2 || headDim%2 != 0 || width%headDim != 0 {
		c.fail("heads of width %d in rows of %d, want an even divisor", headDim, width, backend.ErrParameter)
	}
	if !(base > 0) || math.IsInf(base, 1) {
		c.fail("base is %v, want a positive number", base, backend.ErrParameter)
	}
	position := c.tensor("positions (T)", positions, tensor.Int32, t)
	dst := c.tensor("out (T,heads·D)", out, src.dtype, t, width)
	kernel := rotaryKernels[c.float(src)]
	if headDim > rotaryMaxDim {
		c.fail("heads of width %d, want at most %d", headDim, rotaryMaxDim, backend.ErrUnsupported)
	}
	if c.err != nil || t*width == 0 {
		return c.err
	}
	// The heads of a block share their angles; few tokens are spread over more blocks.
	heads := width / headDim
	headsOfBlock := min(blocks(heads*t, 2*c.dev.sms), heads)
	s := shape{grid: [3]int{t, blocks(heads, headsOfBlock)}, block: 128, shared: 8 * headDim}
	return c.begin().pointers(dst, src, position).ints(t, heads, headDim, headsOfBlock).number(base).
		launch(kernel, s)
}
