package cpu

import (
	"math"
	"runtime"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// withRounded adds the kernels for rounded rows of x to those of blocks in a format.
func withRounded(k blockKernels, f backend.BlockFormat) blockKernels {
	k.rounded = roundedKernels{rows: 3, strips: 7, together: 2, round: goRound(inPairs), dot: goRoundedDots(inPairs, f)}
	return k
}

// roundedBlock is a block of x that became n·scale.
type roundedBlock struct {
	n     [backend.BlockElements]int32
	scale float32
}

// roundedLayout is how rounded blocks lie in memory.
type roundedLayout struct {
	most  int32 // the greatest n
	write func(to *uint32, blocks []roundedBlock)
	read  func(x *uint32, blocks int) []roundedBlock
}

// layoutOf is the layout that kernels have.
func layoutOf(k *roundedKernels) roundedLayout {
	if k.together == 4 {
		return inBytes
	}
	return inPairs
}

// inPairs is the layout of kernels that multiply n of 16 bits, inBytes that of those that multiply bytes.
var (
	inPairs = layoutWith(32767, 2, func(to *roundedPair, at int, b roundedBlock) {
		for k, n := range b.n {
			array, i := to.placeOf(k)
			to.n[array][8*at+i] = int16(n)
			for part := range 4 {
				if runtime.GOARCH != "arm64" || part == i/2 {
					to.eights[4*at+part] -= 8 * n
				}
			}
		}
		fill(to.scale[4*at:][:4], func() float32 { return b.scale })
	}, func(from *roundedPair, at int) (b roundedBlock) {
		for k := range b.n {
			array, i := from.placeOf(k)
			b.n[k] = int32(from.n[array][8*at+i])
		}
		b.scale = from.scale[4*at]
		return b
	})
	inBytes = layoutWith(127*256+127, 4, func(to *roundedFour, at int, b roundedBlock) {
		for k, n := range b.n {
			low := int8(n)
			to.low[k/16][16*at+k%16], to.high[k/16][16*at+k%16] = low, int8((n-int32(low))>>8)
			for part := range 4 {
				to.eights[4*at+part] -= 8 * n
			}
		}
		fill(to.scale[4*at:][:4], func() float32 { return b.scale })
	}, func(from *roundedFour, at int) (b roundedBlock) {
		for k := range b.n {
			b.n[k] = 256*int32(from.high[k/16][16*at+k%16]) + int32(from.low[k/16][16*at+k%16])
		}
		b.scale = from.scale[4*at]
		return b
	})
)

// roundedPair is two blocks of x, of each a half of every array.
type roundedPair struct {
	n      [4][16]int16 // elements 0, 2, …; 16, 18, …; 1, 3, …; 17, 19, …
	eights [8]int32     // −8 times the sum of all n, four times; on arm64 that of the n of four places each
	scale  [8]float32
}

// placeOf is where element k of a block is among the n of its half.
func (*roundedPair) placeOf(k int) (array, i int) { return k%2*2 + k/16, k % 16 / 2 }

// roundedFour is four blocks of x, of each a quarter of every array.
type roundedFour struct {
	high, low [2][64]int8 // elements 0 to 15; 16 to 31
	eights    [16]int32   // −8 times the sum of all n, four times
	scale     [16]float32
}

// layoutWith is the layout of blocks some of which lie together in a G.
func layoutWith[G any](most int32, together int, put func(to *G, at int, b roundedBlock), get func(from *G, at int) roundedBlock) roundedLayout {
	group := func(x *uint32, b int) *G { return (*G)(unsafe.Pointer(at(x, 4*roundedWords*(b-b%together)))) }
	return roundedLayout{
		most: most,
		write: func(to *uint32, blocks []roundedBlock) {
			for b := range blocks {
				if b%together == 0 {
					*group(to, b) = *new(G)
				}
				put(group(to, b), b%together, blocks[b])
			}
		},
		read: func(x *uint32, blocks int) (list []roundedBlock) {
			for b := range blocks {
				list = append(list, get(group(x, b), b%together))
			}
			return list
		},
	}
}

// goRound is roundedKernels.round for a layout.
func goRound(layout roundedLayout) func(to *uint32, x *float32, blocks int) bool {
	return func(to *uint32, x *float32, blocks int) bool {
		fits, out := true, make([]roundedBlock, blocks)
		for b := range blocks {
			in := (*[backend.BlockElements]float32)(unsafe.Pointer(at(x, 4*backend.BlockElements*b)))
			most := float32(0)
			for _, v := range in {
				if fits = fits && !math.IsNaN(float64(v)); v < 0 {
					v = -v
				}
				most = max(most, v)
			}
			fits = fits && (most == 0 || most >= 0x1p-80 && most <= 0x1p100)
			if !fits || most == 0 {
				continue
			}
			out[b].scale = most / float32(layout.most)
			for k, v := range in {
				out[b].n[k] = int32(math.RoundToEven(float64(v * (float32(layout.most) / most))))
			}
		}
		layout.write(to, out)
		return fits
	}
}

// goRoundedDots is roundedKernels.dot for a layout and a format.
func goRoundedDots(layout roundedLayout, f backend.BlockFormat) func(out *float32, ldo, step int, x *uint32, ldx int, w *byte, ldw, blocks, rows, groups int) {
	return func(out *float32, ldo, step int, x *uint32, ldx int, w *byte, ldw, blocks, rows, groups int) {
		for i := range rows {
			in := layout.read(at(x, ldx*i), blocks)
			for j := range 4 * groups {
				group, j := j/4, j%4
				row := byteAt(w, ldw*j+f.BlockBytes()*blocks*group)
				sum := float32(0)
				for b := range blocks {
					block := unsafe.Slice(byteAt(row, f.BlockBytes()*b), f.BlockBytes())
					whole := int32(0)
					for k, n := range in[b].n {
						whole += n * codeOf(f, block, k)
					}
					sum += float32(whole) * (in[b].scale * backend.F16(uint16(block[0])|uint16(block[1])<<8).Float32())
				}
				*at(out, 4*group+ldo*i+step*j) = sum
			}
		}
	}
}

// codeOf is the whole number that element k of a block is times the scale.
func codeOf(f backend.BlockFormat, block []byte, k int) int32 {
	if f == backend.Q8_0 {
		return int32(int8(block[2+k]))
	}
	return int32(block[2+k%16]>>(k/16*4)&15) - 8
}
