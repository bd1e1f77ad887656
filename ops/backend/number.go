package backend

import (
	"reflect"

	"gorgonia.org/tensor"
)

// Number is an element type that the stages compute on. Arithmetic is done in float32: operands are widened when they are
// loaded, results narrowed when they are stored.
type Number interface {
	float32 | BF16 | F16 | F8E4M3
}

// Dtypes of the narrow formats, for tensor.Of and for the types of graph nodes. A *tensor.Dense of them can be made, sliced,
// transposed, copied and compared. Package tensor knows no arithmetic on them and answers with an error, and it prints them
// as bit patterns: to see the values, Widen the elements.
var (
	BFloat16   = tensor.Dtype{Type: reflect.TypeFor[BF16]()}
	Float16    = tensor.Dtype{Type: reflect.TypeFor[F16]()}
	Float8E4M3 = tensor.Dtype{Type: reflect.TypeFor[F8E4M3]()}
)

// Parts of the bit pattern of a float32, whose exponent is biased by 127.
const (
	signMask32     = 0x8000_0000
	infinity32     = 0x7f80_0000 // a greater magnitude is a NaN
	quietBit32     = 0x0040_0000
	mantissaBits32 = 23
)

// Widen sets dst[i] = float32(src[i]) for every i below the shorter length, which it returns, as copy does. Every value of a
// narrow format is a float32, so the result is exact. It allocates nothing.
func Widen[T Number](dst []float32, src []T) int {
	n := min(len(dst), len(src))
	dst = dst[:n]
	switch src := any(src[:n]).(type) {
	case []float32:
		copy(dst, src)
	case []BF16:
		for i, x := range src {
			dst[i] = x.Float32()
		}
	case []F16:
		for i, x := range src {
			dst[i] = x.Float32()
		}
	case []F8E4M3:
		for i, x := range src {
			dst[i] = x.Float32()
		}
	}
	return n
}

// Narrow sets dst[i] to src[i] rounded to T, for every i below the shorter length, which it returns, as copy does. The
// rounding is that of ToBF16, ToF16 and ToF8E4M3; to float32 it is a plain copy. It allocates nothing.
func Narrow[T Number](dst []T, src []float32) int {
	n := min(len(dst), len(src))
	src = src[:n]
	switch dst := any(dst[:n]).(type) {
	case []float32:
		copy(dst, src)
	case []BF16:
		for i, x := range src {
			dst[i] = ToBF16(x)
		}
	case []F16:
		for i, x := range src {
			dst[i] = ToF16(x)
		}
	case []F8E4M3:
		for i, x := range src {
			dst[i] = ToF8E4M3(x)
		}
	}
	return n
}
