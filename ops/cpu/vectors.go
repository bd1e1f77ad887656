package cpu

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// vectors are the inner loops of the stages beside the products, at one level of vector instructions. Where past is not 0 the
// destination, a multiple of 64 bytes, is written past the caches.
type vectors struct {
	lanes int // float32 of a vector
	step  int // lengths n of rowKernels are multiples of it

	stream func(to, from *byte, n int) // copies n bytes, a multiple of 64, past the caches
	fence  func()                      // must follow writes past the caches, before another goroutine hears of them

	f32  rowKernels[float32]
	bf16 rowKernels[uint16]

	// softmax replaces n scores s, n a multiple of lanes, by e^(scale·(s − most)), sets total to their sum and gives most, the
	// greatest score, −MaxFloat32 at least.
	softmax func(scores *float32, n int, scale float32, total *float32) (most float32)
	heads   int // query heads that scores and mix take at most
	// angles computes what narrowSincos gives for position·frequency[i], rounded to float32 like that, i below n, a multiple of lanes.
	angles func(cos, sin, frequency *float64, position float64, n int)
}

// row are the bits of elements: float32 or bfloat16.
type row interface{ float32 | uint16 }

// rowKernels are kernels for rows of E.
type rowKernels[E row] struct {
	// to[j] = Σ weights[i]·(element j of the row at[i] bytes behind from), in the order of terms, each step rounded to float32. The rows
	// next[i] bytes behind from are prefetched meanwhile if they are bfloat16.
	weighted func(to, from *E, at, next *int, weights *float32, terms, n, past int)
	add      func(to, a, b *E, n, past int) // to[j] = a[j] + b[j]
	squares  func(x *E, n int) float64      // Σ x[j]²
	// to[j] = x[j]·factor·w[j], in float64 for float32 and in float32 for bfloat16.
	norm func(to, x *E, w *float32, factor float64, n, past int)
	turn func(to, x *E, cos, sin *float64, d, n, past int) // turns the pairs (x[i], x[d+i]) for i below n

	// For each block i of x: largest raises most[i] to the greatest finite magnitude, codes computes e4m3(x[j]/scales[i]).
	largest func(most *float32, x *E, block, blocks int)
	codes   func(to *uint8, x *E, scales *float32, block, blocks int)

	// scores computes out[i,j] = q[i]·keys[j], positions a multiple of 4; mix adds Σ_j weights[i,j]·values[j] to out[i]. Rows have d
	// elements, a multiple of lanes, and are ld… bytes apart. Where keys and values are bfloat16, d is a multiple of step and the rows
	// of q and mix's out are in split order. What is ahead bytes behind keys and values is prefetched.
	scores func(out *float32, ldo int, q *float32, ldq int, keys *E, ldk, d, positions, heads, ahead int)
	mix    func(out *float32, ldo int, weights *float32, ldw int, values *E, ldv, d, positions, heads, ahead int)
}

const (
	// cacheBytes is what an output must exceed to be written past the caches, if half of what is moved is output: of a larger one little
	// would still be there when it is read.
	cacheBytes = 16 << 20
	lineBytes  = 64
)

// pastCaches is 1 if rows should be written past the caches, while so many elements are read, and can be: each begins at a cache line.
func pastCaches[E row](out []E, width, read int) int {
	size := int(unsafe.Sizeof(out[0]))
	if (len(out)+read)*size <= 2*cacheBytes || width*size%lineBytes != 0 || uintptr(unsafe.Pointer(&out[0]))%lineBytes != 0 {
		return 0
	}
	return 1
}

// bitsOf is the memory of a contiguous tensor of E with the given shape and at least one element.
func bitsOf[E row](v backend.Value, shape ...int) ([]E, bool) {
	var e E
	dt := tensor.Float32
	if unsafe.Sizeof(e) == 2 {
		dt = backend.BFloat16
	}
	d, ok := v.(*tensor.Dense)
	if !ok || d == nil || d.Dtype() != dt || !slices.Equal(d.Shape(), shape) {
		return nil, false
	}
	b, err := backend.Bytes(d)
	if err != nil || len(b) == 0 {
		return nil, false
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(e))), true
}

// float is the number of an element.
func float[E row](x E) float32 {
	if bits, narrow := any(x).(uint16); narrow {
		return backend.BF16(bits).Float32()
	}
	return any(x).(float32)
}

// rounded is the element nearest to a number.
func rounded[E row](x float32) (e E) {
	switch e := any(&e).(type) {
	case *float32:
		*e = x
	case *uint16:
		*e = uint16(backend.ToBF16(x))
	}
	return e
}

// toSplit puts a row into split order: of each step elements the even ones first. fromSplit puts it back.
func (v *vectors) toSplit(to, from []float32) {
	for ; len(from) >= v.step; to, from = to[v.step:], from[v.step:] {
		even, odd := to[:v.step/2], to[v.step/2:v.step]
		for i := range even {
			even[i], odd[i] = from[2*i], from[2*i+1]
		}
	}
}

func (v *vectors) fromSplit(to, from []float32) {
	for ; len(from) >= v.step; to, from = to[v.step:], from[v.step:] {
		even, odd := from[:v.step/2], from[v.step/2:v.step]
		for i := range even {
			to[2*i], to[2*i+1] = even[i], odd[i]
		}
	}
}

// vectorWork is the memory of a piece of a loop.
type vectorWork struct {
	terms [2]terms
	dots  [4 * 4]float32
	total float32

	scores, mixed, sums, q []float32
	ordered                []float32 // a head, or some, between the caller's order and the kernels'
	most, totals           []float32
}

// mostTerms is the rows that a weighted sum may have; with more it is left to plain Go.
const mostTerms = 64

var vectorWorks = sync.Pool{New: func() any { return new(vectorWork) }}

// rowsUnsupported is the error of a stage that leaves its operands to plain Go.
func (s simd) rowsUnsupported(stage string) error {
	return fmt.Errorf("%s: %s takes rows of float32 or bfloat16 that fit each other: %w", stage, s.name, backend.ErrUnsupported)
}
