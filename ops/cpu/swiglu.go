package cpu

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// SwiGLU implements backend.SwiGLU for x (R,2F) F and out (R,F) of the same dtype. An odd width of x is an ErrShape. Each
// element is computed in float64 and rounded once to float32 (and from there to BF16 or F16), so that it does not overflow
// or lose bits where e^−v does. As the formula has it, silu(+Inf) is +Inf and silu(−Inf) is NaN.
func (Go) SwiGLU(out, x backend.Value) error {
	rows, width, err := matrixDims("swiglu", "x", x)
	if err != nil {
		return err
	}
	if width%2 != 0 {
		return fmt.Errorf("swiglu: x has shape %v, want an even number of columns: %w", x.Shape(), backend.ErrShape)
	}
	l := getLoop[activation]()
	defer l.free()
	if l.s.x, err = floatsOf[float64]("swiglu", "x", x, rows, width); err != nil {
		return err
	}
	if l.s.out, err = floatsOf[float64]("swiglu", "out", out, rows, width/2); err != nil {
		return err
	}
	if err := checkDtype("swiglu", "out", out, x.Dtype()); err != nil {
		return err
	}
	l.s.width, l.s.silu = width/2, siluf
	if x.Dtype() == tensor.Float64 {
		l.s.silu = silu64
	}
	l.run(rows*width/2, 1<<12)
	return nil
}

type activation struct {
	out, x floats[float64]
	width  int // of out
	silu   func(float64) float64
}

func (a *activation) span(from, to int) {
	var gates, ups, products [tile]float64
	tiles(from, to, a.width, func(r, lo, hi int) {
		at := 2 * r * a.width
		gate := a.x.read(at+lo, at+hi, gates[:])
		at += a.width
		up := a.x.read(at+lo, at+hi, ups[:])
		for i, v := range gate {
			products[i] = a.silu(v) * up[i]
		}
		a.out.write(r*a.width+lo, products[:hi-lo])
	})
}

// siluf is silu with the accuracy of expf.
func siluf(v float64) float64 { return v / (1 + expf(-v)) }

// silu64 is silu for float64: the exponent is never positive, so that e^|v| does not overflow.
func silu64(v float64) float64 {
	if v < 0 {
		e := math.Exp(v)
		return v * (e / (1 + e))
	}
	return v / (1 + math.Exp(-v))
}
