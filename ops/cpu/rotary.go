package cpu

import (
	"fmt"
	"math"
	"sync"

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
	l := getLoop[rotation]()
	defer l.free()
	if err := l.s.operands(out, x, positions, headDim, base); err != nil {
		return err
	}
	if l.s.width == 0 { // of which every headDim is a divisor
		return nil
	}
	l.s.turning = turningOf(headDim/2, base, x.Dtype() != tensor.Float64)
	defer turnings.Put(l.s.turning)
	l.run(len(l.s.positions), 1<<12/max(l.s.width, 1))
	return nil
}

type rotation struct {
	out, x       floats[float64]
	positions    []int32
	width, halfD int
	*turning
}

func (r *rotation) operands(out, x, positions backend.Value, headDim int, base float64) error {
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
	r.width, r.halfD = width, headDim/2
	if r.x, err = floatsOf[float64]("rotary", "x", x, tokens, width); err != nil {
		return err
	}
	if r.out, err = floatsOf[float64]("rotary", "out", out, tokens, width); err != nil {
		return err
	}
	r.positions, err = elementsOf[int32]("rotary", "positions", positions, tokens)
	return err
}

func (r *rotation) span(from, to int) {
	d := r.halfD
	scratch := getScratch[float64](6 * d)
	defer putScratch(scratch)
	cos, sin := (*scratch)[:d], (*scratch)[d:2*d]
	buf, turned := (*scratch)[2*d:4*d], (*scratch)[4*d:]
	for t := from; t < to; t++ {
		r.at(r.positions[t], 0, cos, sin)
		for at := t * r.width; at < (t+1)*r.width; at += 2 * d {
			head := r.x.read(at, at+2*d, buf)
			for i, a := range head[:d] {
				b := head[d+i]
				turned[i] = a*cos[i] - b*sin[i]
				turned[d+i] = b*cos[i] + a*sin[i]
			}
			r.out.write(at, turned)
		}
	}
}

// turning is the angles of a position: position · frequency[i].
type turning struct {
	base      float64
	narrow    bool // each step is rounded to float32
	frequency []float64
}

// turnings keeps frequencies for a later call, which mostly has the same base.
var turnings = sync.Pool{New: func() any { return new(turning) }}

// turningOf is one of the pool.
func turningOf(halfD int, base float64, narrow bool) *turning {
	r := turnings.Get().(*turning)
	if len(r.frequency) == halfD && r.base == base && r.narrow == narrow {
		return r
	}
	*r = turning{base, narrow, grown(r.frequency, halfD)}
	for i := range r.frequency {
		exponent := r.round(float64(i) / float64(halfD))
		r.frequency[i] = r.round(1 / r.round(math.Pow(base, exponent)))
	}
	return r
}

// at computes the cosines and sines of a position, from number n on.
func (r *turning) at(position int32, n int, cos, sin []float64) {
	p := r.round(float64(position))
	for i := n; i < len(r.frequency); i++ {
		angle, sincos := r.round(p*r.frequency[i]), math.Sincos
		if r.narrow && math.Abs(angle) <= mostAngle {
			sincos = narrowSincos
		}
		s, c := sincos(angle)
		cos[i], sin[i] = r.round(c), r.round(s)
	}
}

func (r *turning) round(x float64) float64 {
	if r.narrow {
		return float64(float32(x))
	}
	return x
}
