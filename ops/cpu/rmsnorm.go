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
	l := getLoop[norming]()
	defer l.free()
	l.s.width, l.s.eps = width, eps
	if l.s.x, err = floatsOf[float64]("rmsnorm", "x", x, tokens, width); err != nil {
		return err
	}
	if l.s.w, err = floatsOf[float64]("rmsnorm", "w", w, width); err != nil {
		return err
	}
	if l.s.out, err = floatsOf[float64]("rmsnorm", "out", out, tokens, width); err != nil {
		return err
	}
	l.run(tokens, 1<<13/max(width, 1))
	return nil
}

type norming struct {
	out, x, w floats[float64]
	width     int
	eps       float64
}

func (n *norming) span(from, to int) {
	var bufX, bufW, normed [tile]float64
	for at := from * n.width; at < to*n.width; at += n.width {
		var squares float64
		for lo := 0; lo < n.width; lo += tile {
			for _, v := range n.x.read(at+lo, at+min(lo+tile, n.width), bufX[:]) {
				squares += v * v
			}
		}
		factor := 1 / math.Sqrt(squares/float64(n.width)+n.eps)
		for lo := 0; lo < n.width; lo += tile {
			hi := min(lo+tile, n.width)
			weights := n.w.read(lo, hi, bufW[:])
			for i, v := range n.x.read(at+lo, at+hi, bufX[:]) {
				normed[i] = v * factor * weights[i]
			}
			n.out.write(at+lo, normed[:hi-lo])
		}
	}
}
