package cpu

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// goFormats are the kernels for blocks in plain Go.
var goFormats = formatKernels{
	blocks: [...]blockKernels{
		backend.Q8_0: withRounded(goBlockKernels(34, backend.Q8_0.Widen), backend.Q8_0),
		backend.Q4_0: withRounded(goBlockKernels(18, backend.Q4_0.Widen), backend.Q4_0),
	},
	f16: goBlockKernels(64, widenHalves),
}

// widenHalves makes float32 of float16.
func widenHalves(to []float32, from []byte) {
	for i := range to {
		to[i] = backend.F16(binary.LittleEndian.Uint16(from[2*i:])).Float32()
	}
}

// goBlockKernels are the kernels of a format, given how it is read.
func goBlockKernels(bytes int, widen func(to []float32, from []byte)) blockKernels {
	decode := func(to *float32, from *byte, blocks int) {
		for b := range blocks {
			block := unsafe.Slice(at(to, 4*backend.BlockElements*b), backend.BlockElements)
			widen(block, unsafe.Slice(byteAt(from, b*bytes), bytes))
		}
	}
	return blockKernels{
		bytes: bytes,
		dot: func(out, x *float32, ldx int, w *byte, ldw, blocks, rows int) {
			n := backend.BlockElements * blocks
			numbers := make([]float32, 4*n+1)
			for j := range 4 {
				decode(&numbers[j*n], byteAt(w, j*ldw), blocks)
			}
			goDots(out, x, ldx, n, rows, func(j, k int) float32 { return numbers[j*n+k] })
		},
		decode: decode,
	}
}

func byteAt(p *byte, bytes int) *byte { return at(p, bytes) }

// forFormats runs a test for each format of a level.
func forFormats(f, spec *formatKernels, test func(name string, got, want blockKernels)) {
	for i := range f.blocks {
		test(backend.BlockFormat(i).String(), f.blocks[i], spec.blocks[i])
	}
	test("f16", f.f16, spec.f16)
}

// smallBlocks sets the memory of rows to blocks whose scale is 2 or ½, and float16 to small whole numbers: sums of products of
// such with small numbers are exact.
func smallBlocks(r *rand.Rand, bytes int, memory []byte) {
	fill(memory, func() byte { return byte(r.Uint32()) })
	step := bytes
	if bytes == 64 {
		step = 2
	}
	for at := 0; at+step <= len(memory); at += step {
		d := []float32{2, 0.5, -1}[r.IntN(3)]
		if bytes == 64 {
			d = small(r)
		}
		binary.LittleEndian.PutUint16(memory[at:], uint16(backend.ToF16(d)))
	}
}

func TestBlockKernels(t *testing.T) {
	forKernels(t, hasFormats, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		forFormats(k.formats, &goFormats, func(name string, got, want blockKernels) {
			for _, blocks := range []int{0, 1, 2, 5} {
				for rows := 1; rows <= k.dotRows; rows++ {
					n := backend.BlockElements * blocks
					ldx, ldw := n+r.IntN(3), got.bytes*blocks+r.IntN(3)
					x := fill(guarded[float32](t, max((rows-1)*ldx+n, 1), atEnd), func() float32 { return small(r) })
					w := guarded[byte](t, max(3*ldw+got.bytes*blocks, 1), atEnd)
					for j := range 4 {
						smallBlocks(r, got.bytes, w[j*ldw:][:got.bytes*blocks])
					}
					out := guarded[float32](t, 4*rows, atEnd)
					expected := make([]float32, 4*rows)
					got.dot(&out[0], &x[0], 4*ldx, &w[0], ldw, blocks, rows)
					want.dot(&expected[0], &x[0], 4*ldx, &w[0], ldw, blocks, rows)
					if !slices.Equal(out, expected) {
						t.Fatalf("%s, %d blocks, %d rows: dots %v, want %v", name, blocks, rows, out, expected)
					}
				}
				w := guarded[byte](t, max(got.bytes*blocks, 1), atEnd)
				fill(w, func() byte { return byte(r.Uint32()) })
				out := guarded[float32](t, max(backend.BlockElements*blocks, 1), atEnd)
				expected := make([]float32, len(out))
				got.decode(&out[0], &w[0], blocks)
				want.decode(&expected[0], &w[0], blocks)
				sameNumbers(t, fmt.Sprintf("%s, %d blocks", name, blocks), out, expected)
			}
		})
	})
}

// TestDecodeEveryHalf decodes every float16 as a number and as a scale.
func TestDecodeEveryHalf(t *testing.T) {
	forKernels(t, hasFormats, func(t *testing.T, k *kernels, r *rand.Rand, _ bool) {
		forFormats(k.formats, &goFormats, func(name string, got, want blockKernels) {
			w := make([]byte, got.bytes)
			step := 1
			if testing.Short() {
				step = 61
			}
			for bits := 0; bits < 1<<16; bits += step {
				fill(w, func() byte { return byte(r.Uint32()) })
				binary.LittleEndian.PutUint16(w, uint16(bits))
				var a, b [backend.BlockElements]float32
				got.decode(&a[0], &w[0], 1)
				want.decode(&b[0], &w[0], 1)
				sameNumbers(t, fmt.Sprintf("%s, first half %#04x", name, bits), a[:], b[:])
			}
		})
	})
}

// sameNumbers wants equal numbers, and a NaN or an infinity for each of these: an infinite scale may make either.
func sameNumbers(t *testing.T, what string, got, want []float32) {
	t.Helper()
	finite := func(x float32) bool { return x-x == 0 }
	for i := range want {
		if got[i] != want[i] && (finite(got[i]) || finite(want[i])) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}
