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
	l.run(len(z.scales)/z.across, max(1<<15/(z.blockRows*z.width), 1))
	return true
}

// vectorQuantizer works on rows of blocks.
type vectorQuantizer[E row] struct {
	blocks
	v *vectors
	k *rowKernels[E]
	x []E
}

func (z *vectorQuantizer[E]) span(lo, hi int) {
	whole := 0 // blocks of a row that the kernels take
	if z.blockCols%z.v.step == 0 {
		whole = z.width / z.blockCols
	}
	rest := whole * z.blockCols
	for i := lo; i < hi; i++ {
		scales := z.scales[i*z.across : (i+1)*z.across]
		top, bottom, _, _ := z.block(i * z.across)
		clear(scales)
		for r := top; r < bottom; r++ {
			x := z.x[r*z.width : (r+1)*z.width]
			if whole > 0 {
				z.k.largest(&scales[0], &x[0], z.blockCols, whole)
			}
			for j := rest; j < z.width; j++ {
				most := &scales[j/z.blockCols]
				if v := float32(math.Abs(float64(float(x[j])))); v > *most && v <= math.MaxFloat32 {
					*most = v
				}
			}
		}
		for b, most := range scales {
			scales[b] = scaleOf(most)
		}
		for r := top; r < bottom; r++ {
			x, codes := z.x[r*z.width:(r+1)*z.width], z.codes[r*z.width:(r+1)*z.width]
			if whole > 0 {
				z.k.codes((*uint8)(unsafe.Pointer(&codes[0])), &x[0], &scales[0], z.blockCols, whole)
			}
			for j := rest; j < z.width; j++ {
				codes[j] = backend.ToF8E4M3(float(x[j]) / scales[j/z.blockCols])
			}
		}
	}
}
