package cpu

import (
	"fmt"
	"math"

	"github.com/gorgonia/moe/ops/backend"
)

// RMSNorm implements backend.RMSNorm for x (T,H), w (H) and out (T,H), each of any dtype F. It is computed in float64 and
// rounded once to float32 (and from there to BF16 or F16), so that squares beyond float32 do no harm. An eps that is
// negative or NaN is an ErrParameter.
func (Go) RMSNorm(out, x, w backend.Value, eps float64) error {
	tokens, width, err := matrixDims("rmsnorm", "x", x)
	if err != nil {
		return err
	}
	if !(eps >= 0) {
		return fmt.Errorf("rmsnorm: eps is %v, want 0 or more: %w", eps, backend.ErrParameter)
	}
	src, err := floatsOf[float64]("rmsnorm", "x", x, tokens, width)
	if err != nil {
		return err
	}
	scale, err := floatsOf[float64]("rmsnorm", "w", w, width)
	if err != nil {
		return err
	}
	dst, err := floatsOf[float64]("rmsnorm", "out", out, tokens, width)
	if err != nil {
		return err
	}
	split(tokens, 1<<13/max(width, 1), func(from, to int) {
		var bufX, bufW, normed [tile]float64
		for at := from * width; at < to*width; at += width {
			var squares float64
			for lo := 0; lo < width; lo += tile {
				for _, v := range src.read(at+lo, at+min(lo+tile, width), bufX[:]) {
					squares += v * v
				}
			}
			factor := 1 / math.Sqrt(squares/float64(width)+eps)
			for lo := 0; lo < width; lo += tile {
				hi := min(lo+tile, width)
				weights := scale.read(lo, hi, bufW[:])
				for i, v := range src.read(at+lo, at+hi, bufX[:]) {
					normed[i] = v * factor * weights[i]
				}
				dst.write(at+lo, normed[:hi-lo])
			}
		}
	})
	return nil
}
