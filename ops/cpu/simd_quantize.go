package cpu

import (
	"math"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// Quantize implements backend.Quantize for x of float32 or bfloat16. The bits are those of plain Go.
func (s simd) Quantize(q *backend.Quantized, x backend.Value) error {
	v := s.k.vectors
	if v != nil && q != nil && q.Codes != nil && q.Scales != nil && x != nil && (quantizeRows(v, &v.f32, q, x) || quantizeRows(v, &v.bf16, q, x)) {
		return nil
	}
	return s.rowsUnsupported("quantize")
}

func quantizeRows[E row](v *vectors, k *rowKernels[E], q *backend.Quantized, x backend.Value) bool {
	l := getLoop[vectorQuantizer[E]]()
	defer l.free()
	z := &l.s
	var ok bool
	if z.x, ok = bitsOf[E](x, x.Shape()...); !ok {
		return false
	}
	var err error
	if z.blocks, err = blocksOf(q, x.Shape()); err != nil {
		return false
	}
	z.v, z.k = v, k
	l.run(len(z.scales), max(8*z.grain(), 1))
	return true
}

type vectorQuantizer[E row] struct {
	blocks
	v *vectors
	k *rowKernels[E]
	x []E
}

func (z *vectorQuantizer[E]) span(lo, hi int) {
	for b := lo; b < hi; b++ {
		top, bottom, left, right := z.block(b)
		n := (right - left) / z.v.step * z.v.step
		var most float32
		for r := top; r < bottom; r++ {
			x := z.x[r*z.width+left : r*z.width+right]
			if n > 0 {
				most = max(most, z.k.largest(&x[0], n))
			}
			for _, e := range x[n:] {
				if v := float32(math.Abs(float64(float(e)))); v > most && v <= math.MaxFloat32 {
					most = v
				}
			}
		}
		scale := scaleOf(most)
		z.scales[b] = scale
		for r := top; r < bottom; r++ {
			x, codes := z.x[r*z.width+left:r*z.width+right], z.codes[r*z.width+left:r*z.width+right]
			if n > 0 {
				z.k.codes((*uint8)(unsafe.Pointer(&codes[0])), &x[0], scale, n)
			}
			for i := n; i < len(x); i++ {
				codes[i] = backend.ToF8E4M3(float(x[i]) / scale)
			}
		}
	}
}
