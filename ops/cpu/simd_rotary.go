package cpu

import "github.com/gorgonia/moe/ops/backend"

// Rotary implements backend.Rotary for x and out of float32 or of bfloat16. The bits are those of plain Go.
func (s simd) Rotary(out, x, positions backend.Value, headDim int, base float64) error {
	v := s.k.vectors
	if v != nil && (turnRows(v, &v.f32, out, x, positions, headDim, base) || turnRows(v, &v.bf16, out, x, positions, headDim, base)) {
		return nil
	}
	return s.rowsUnsupported("rotary")
}

func turnRows[E row](v *vectors, k *rowKernels[E], out, x, positions backend.Value, headDim int, base float64) bool {
	l := getLoop[vectorRotation[E]]()
	defer l.free()
	r := &l.s
	if r.operands(out, x, positions, headDim, base) != nil {
		return false
	}
	var okX, okOut bool
	r.xBits, okX = bitsOf[E](x, len(r.positions), r.width)
	r.outBits, okOut = bitsOf[E](out, len(r.positions), r.width)
	if !okX || !okOut {
		return false
	}
	frequencies := getScratch[float64](r.halfD)
	defer putScratch(frequencies)
	r.turn.set(*frequencies, base, true)
	r.v, r.k = v, k
	l.run(len(r.positions), 1<<14/r.width)
	return true
}

type vectorRotation[E row] struct {
	rotation
	v              *vectors
	k              *rowKernels[E]
	outBits, xBits []E
}

func (r *vectorRotation[E]) span(from, to int) {
	d := r.halfD
	n := d / r.v.step * r.v.step
	scratch := getScratch[float64](2 * d)
	defer putScratch(scratch)
	cos, sin := (*scratch)[:d], (*scratch)[d:]
	for t := from; t < to; t++ {
		r.turn.at(r.positions[t], cos, sin)
		for at := t * r.width; at < (t+1)*r.width; at += 2 * d {
			x, out := r.xBits[at:at+2*d], r.outBits[at:at+2*d]
			if n > 0 {
				r.k.turn(&out[0], &x[0], &cos[0], &sin[0], d, n)
			}
			for i := n; i < d; i++ {
				a, b := float64(float(x[i])), float64(float(x[d+i]))
				out[i] = rounded[E](float32(a*cos[i] - b*sin[i]))
				out[d+i] = rounded[E](float32(b*cos[i] + a*sin[i]))
			}
		}
	}
}
