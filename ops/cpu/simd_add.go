package cpu

import "github.com/gorgonia/moe/ops/backend"

// Add implements backend.Add for a, b and out of float32 or of bfloat16. The bits are those of plain Go.
func (s simd) Add(out, a, b backend.Value) error {
	v := s.k.vectors
	if v != nil && a != nil && (addRows(v, &v.f32, out, a, b) || addRows(v, &v.bf16, out, a, b)) {
		return nil
	}
	return s.rowsUnsupported("add")
}

func addRows[E row](v *vectors, k *rowKernels[E], out, a, b backend.Value) bool {
	l := getLoop[vectorAddition[E]]()
	defer l.free()
	var okA, okB, okOut bool
	l.s.a, okA = bitsOf[E](a, a.Shape()...)
	l.s.b, okB = bitsOf[E](b, a.Shape()...)
	l.s.out, okOut = bitsOf[E](out, a.Shape()...)
	if !okA || !okB || !okOut {
		return false
	}
	l.s.v, l.s.k = v, k
	l.s.past = pastCaches(l.s.out, addStretch, 2*len(l.s.out))
	l.run(pieces(len(l.s.a), addStretch), 1<<15/addStretch)
	return true
}

// addStretch is the elements that are added at a time.
const addStretch = 1 << 11

type vectorAddition[E row] struct {
	v         *vectors
	k         *rowKernels[E]
	out, a, b []E
	past      int
}

func (s *vectorAddition[E]) span(from, to int) {
	lo, hi := from*addStretch, min(to*addStretch, len(s.a))
	n := (hi - lo) / s.v.step * s.v.step
	if n > 0 {
		s.k.add(&s.out[lo], &s.a[lo], &s.b[lo], n, s.past)
	}
	for i := lo + n; i < hi; i++ {
		s.out[i] = rounded[E](float(s.a[i]) + float(s.b[i]))
	}
	if s.past != 0 {
		s.v.fence()
	}
}
