package checkpoint

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
)

// DType is the name of an element type as a safetensors header spells it.
type DType string

// The element types of the safetensors format.
const (
	Bool       DType = "BOOL"        // one byte, 0 or 1
	U8         DType = "U8"          // unsigned integers
	U16        DType = "U16"         //
	U32        DType = "U32"         //
	U64        DType = "U64"         //
	I8         DType = "I8"          // signed integers, two's complement
	I16        DType = "I16"         //
	I32        DType = "I32"         //
	I64        DType = "I64"         //
	F16        DType = "F16"         // IEEE 754 binary16
	BF16       DType = "BF16"        // the upper half of a binary32
	F32        DType = "F32"         // IEEE 754 binary32
	F64        DType = "F64"         // IEEE 754 binary64
	C64        DType = "C64"         // a pair of binary32
	F8E4M3     DType = "F8_E4M3"     // 8-bit floats
	F8E5M2     DType = "F8_E5M2"     //
	F8E8M0     DType = "F8_E8M0"     // an exponent only: microscaling scales
	F8E4M3FNUZ DType = "F8_E4M3FNUZ" //
	F8E5M2FNUZ DType = "F8_E5M2FNUZ" //
	F6E2M3     DType = "F6_E2M3"     // 6-bit floats, packed
	F6E3M2     DType = "F6_E3M2"     //
	F4         DType = "F4"          // 4-bit floats (E2M1), packed
)

// Bits returns the size of one element in bits, 0 for a name that is not an
// element type of the format.
func (d DType) Bits() int {
	switch d {
	case F4:
		return 4
	case F6E2M3, F6E3M2:
		return 6
	case Bool, U8, I8, F8E4M3, F8E5M2, F8E8M0, F8E4M3FNUZ, F8E5M2FNUZ:
		return 8
	case U16, I16, F16, BF16:
		return 16
	case U32, I32, F32:
		return 32
	case U64, I64, F64, C64:
		return 64
	}
	return 0
}

// maxDims bounds the number of dimensions; the common array libraries stop at
// 64 or earlier.
const maxDims = 64

// byteSize returns the bytes a tensor of this element type and shape takes:
// bits·Π shape / 8. The empty shape is one element. It fails for an unknown
// type, a negative dimension, a total that is no whole number of bytes, and
// wherever the product of the non-zero dimensions overflows, so that a
// caller may multiply any of them.
func byteSize(d DType, shape []int) (int64, error) {
	width := d.Bits()
	if width == 0 {
		return 0, fmt.Errorf("%w: unknown dtype %s", ErrFormat, quote(d))
	}
	if len(shape) > maxDims {
		return 0, fmt.Errorf("%w: shape has %d dimensions, at most %d are supported", ErrFormat, len(shape), maxDims)
	}
	total, empty := uint64(width), false
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("%w: shape %v has the negative dimension %d", ErrFormat, shape, n)
		}
		if n == 0 {
			empty = true
			continue
		}
		hi, lo := bits.Mul64(total, uint64(n))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("%w: shape %v of %s overflows", ErrFormat, shape, d)
		}
		total = lo
	}
	if empty {
		return 0, nil
	}
	if total%8 != 0 {
		return 0, fmt.Errorf("%w: shape %v of %s takes %d bits, not whole bytes", ErrFormat, shape, d, total)
	}
	return int64(total / 8), nil
}

// weightTypes are the element types that a weight may have: the floats of
// which each element is a number by itself. The narrower ones need scales.
var weightTypes = []DType{F64, F32, F16, BF16}

// isWeight tells whether d is one of weightTypes.
func (d DType) isWeight() bool { return slices.Contains(weightTypes, d) }
