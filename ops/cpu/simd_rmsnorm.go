package cpu

import (
	"math"

	"github.com/gorgonia/moe/ops/backend"
)

// RMSNorm implements backend.RMSNorm for x and out of float32 or of bfloat16 and w of either. As in plain Go it is computed in
// float64, but the sum of squares runs in another order; bfloat16 numbers are scaled in float32, and their squares summed in it, eight at
// a time, unless that leaves its range.
func (s simd) RMSNorm(out, x, w backend.Value, eps float64) error {
	v := s.k.vectors
	if v != nil && eps >= 0 && (normRows(s.k, &v.f32, out, x, w, eps) || normRows(s.k, &v.bf16, out, x, w, eps)) {
		return nil
	}
	return s.rowsUnsupported("rmsnorm")
}

func normRows[E row](k *kernels, rows *rowKernels[E], out, x, w backend.Value, eps float64) bool {
	tokens, width, err := matrixDims("rmsnorm", "x", x)
	if err != nil {
		return false
	}
	l := getLoop[vectorNorm[E]]()
	defer l.free()
	var okX, okOut bool
	l.s.x, okX = bitsOf[E](x, tokens, width)
	l.s.out, okOut = bitsOf[E](out, tokens, width)
	if !okX || !okOut {
		return false
	}
	weights := getScratch[float32](width)
	defer putScratch(weights)
	if f32, ok := bitsOf[float32](w, width); ok {
		l.s.w = f32
	} else if bf16, ok := bitsOf[uint16](w, width); ok {
		widenRow(k, *weights, bf16)
		l.s.w = *weights
	} else {
		return false
	}
	l.s.v, l.s.k, l.s.width, l.s.eps, l.s.past = k.vectors, rows, width, eps, pastCaches(l.s.out, width, len(l.s.out))
	l.run(tokens, 1<<15/width)
	return true
}

type vectorNorm[E row] struct {
	v      *vectors
	k      *rowKernels[E]
	out, x []E
	w      []float32
	width  int
	eps    float64
	past   int
}

func (r *vectorNorm[E]) span(from, to int) {
	n := r.width / r.v.step * r.v.step
	for t := from; t < to; t++ {
		x, out := r.x[t*r.width:(t+1)*r.width], r.out[t*r.width:(t+1)*r.width]
		var squares float64
		if n > 0 {
			squares = r.k.squares(&x[0], n)
		}
		for _, e := range x[n:] {
			v := float64(float(e))
			squares += v * v
		}
		factor := 1 / math.Sqrt(squares/float64(r.width)+r.eps)
		done := 0
		if n > 0 && factor < math.MaxFloat32 {
			r.k.norm(&out[0], &x[0], &r.w[0], factor, n, r.past)
			done = n
		}
		for i := done; i < r.width; i++ {
			out[i] = rounded[E](float32(float64(float(x[i])) * factor * float64(r.w[i])))
		}
	}
	if r.past != 0 {
		r.v.fence()
	}
}
