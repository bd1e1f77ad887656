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
	r.turning = turningOf(r.halfD, base, true)
	defer turnings.Put(r.turning)
	r.v, r.k, r.past = v, k, pastCaches(r.outBits, r.halfD, len(r.outBits))
	l.run(len(r.positions), 1<<14/r.width)
	return true
}

type vectorRotation[E row] struct {
	rotation
	v              *vectors
	k              *rowKernels[E]
	outBits, xBits []E
	past           int
}

// angles computes the cosines and sines of a position.
func (r *vectorRotation[E]) angles(position int32, cos, sin []float64) {
	n := 0
	if r.base >= 1 { // no frequency is above 1, and no angle above mostAngle
		n = len(cos) / r.v.lanes * r.v.lanes
	}
	if n > 0 {
		r.v.angles(&cos[0], &sin[0], &r.frequency[0], r.round(float64(position)), n)
	}
	r.at(position, n, cos, sin)
}

func (r *vectorRotation[E]) span(from, to int) {
	d := r.halfD
	n := d / r.v.step * r.v.step
	scratch := getScratch[float64](2 * d)
	defer putScratch(scratch)
	cos, sin := (*scratch)[:d], (*scratch)[d:]
	for t := from; t < to; t++ {
		r.angles(r.positions[t], cos, sin)
		for at := t * r.width; at < (t+1)*r.width; at += 2 * d {
			x, out := r.xBits[at:at+2*d], r.outBits[at:at+2*d]
			if n > 0 {
				r.k.turn(&out[0], &x[0], &cos[0], &sin[0], d, n, r.past)
			}
			for i := n; i < d; i++ {
				a, b := float64(float(x[i])), float64(float(x[d+i]))
				out[i] = rounded[E](float32(a*cos[i] - b*sin[i]))
				out[d+i] = rounded[E](float32(b*cos[i] + a*sin[i]))
			}
		}
	}
	if r.past != 0 {
		r.v.fence()
	}
}
