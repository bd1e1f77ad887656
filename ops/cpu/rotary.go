package cpu

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Rotary implements backend.Rotary for x and out (T, heads·D) of any dtype F and positions (T) int32, negative ones too. A
// headDim D that is odd, less than 2 or no divisor of the width, and a base that is not positive and finite, are an
// ErrParameter.
//
// Models are trained with angles of float32, and the one nearest to an angle of 32768 is up to 0.002 off. To be turned by the
// same angles, an x that is not float64 has each step rounded to float32: the exponent 2i/D, the power of base, its
// reciprocal, the product with the position, cosine and sine. Float64 has its angles in float64. The rotation itself is
// computed in float64 and rounded to out's dtype.
func (Go) Rotary(out, x, positions backend.Value, headDim int, base float64) error {
	tokens, width, err := matrixDims("rotary", "x", x)
	if err != nil {
		return err
	}
	if headDim < 2 || headDim%2 != 0 || width%headDim != 0 {
		return fmt.Errorf("rotary: heads of width %d in rows of %d, want an even divisor: %w", headDim, width, backend.ErrParameter)
	}
	if !(base > 0) || math.IsInf(base, 1) {
		return fmt.Errorf("rotary: base is %v, want a positive number: %w", base, backend.ErrParameter)
	}
	src, err := floatsOf[float64]("rotary", "x", x, tokens, width)
	if err != nil {
		return err
	}
	dst, err := floatsOf[float64]("rotary", "out", out, tokens, width)
	if err != nil {
		return err
	}
	position, err := elementsOf[int32]("rotary", "positions", positions, tokens)
	if err != nil {
		return err
	}
	turn := newTurning(headDim/2, base, x.Dtype() != tensor.Float64)
	split(tokens, 1<<12/max(width, 1), func(from, to int) {
		d := headDim / 2
		scratch := getScratch[float64](6 * d)
		defer putScratch(scratch)
		cos, sin := (*scratch)[:d], (*scratch)[d:2*d]
		buf, turned := (*scratch)[2*d:4*d], (*scratch)[4*d:]
		for t := from; t < to; t++ {
			turn.at(position[t], cos, sin)
			for at := t * width; at < (t+1)*width; at += headDim {
				head := src.read(at, at+headDim, buf)
				for i, a := range head[:d] {
					b := head[d+i]
					turned[i] = a*cos[i] - b*sin[i]
					turned[d+i] = b*cos[i] + a*sin[i]
				}
				dst.write(at, turned)
			}
		}
	})
	return nil
}

// turning is the angles of a position: position · frequency[i].
type turning struct {
	frequency []float64
	narrow    bool // each step is rounded to float32
}

func newTurning(d int, base float64, narrow bool) *turning {
	r := &turning{frequency: make([]float64, d), narrow: narrow}
	for i := range r.frequency {
		exponent := r.round(float64(i) / float64(d))
		r.frequency[i] = r.round(1 / r.round(math.Pow(base, exponent)))
	}
	return r
}

func (r *turning) at(position int32, cos, sin []float64) {
	p := r.round(float64(position))
	for i, f := range r.frequency {
		s, c := math.Sincos(r.round(p * f))
		cos[i], sin[i] = r.round(c), r.round(s)
	}
}

func (r *turning) round(x float64) float64 {
	if r.narrow {
		return float64(float32(x))
	}
	return x
}
