package cpu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// wholeRow sets x to whole numbers whose largest in each block is the greatest n: what rounding leaves alone. Sums of their products
// with blocks of small codes are exact.
func wholeRow(r *rand.Rand, greatest float32, x []float32) {
	for i := range x {
		x[i] = float32(r.IntN(601) - 300)
	}
	for b := 0; b < len(x); b += backend.BlockElements {
		x[b+r.IntN(backend.BlockElements)] = []float32{greatest, -greatest}[r.IntN(2)]
	}
}

func TestRoundedDotKernels(t *testing.T) {
	forRounded(t, func(t *testing.T, f backend.BlockFormat, got blockKernels, r *rand.Rand, atEnd bool) {
		layout := layoutOf(&got.rounded)
		for _, blocks := range []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 13} {
			for rows := 1; rows <= got.rounded.rows; rows++ {
				n := backend.BlockElements * blocks
				x := make([]float32, n*rows)
				wholeRow(r, float32(layout.most), x)
				groups := 1 + r.IntN(3)
				size := f.BlockBytes() * blocks * groups
				ldx, ldw := got.rounded.len(blocks)+r.IntN(3), size+r.IntN(3)
				rounded := guarded[uint32](t, max((rows-1)*ldx+got.rounded.len(blocks), 1), atEnd)
				for i := range rows {
					if blocks > 0 && !goRound(layout)(&rounded[i*ldx], &x[i*n], blocks) {
						t.Fatal("no whole numbers")
					}
				}
				w := guarded[byte](t, max(3*ldw+size, 1), atEnd)
				for j := range 4 {
					row := w[j*ldw:][:size]
					smallBlocks(r, f.BlockBytes(), row)
					for k := range row {
						if f == backend.Q8_0 && k%f.BlockBytes() >= 2 { // or sums are no longer exact
							row[k] = byte(r.IntN(31) - 15)
						}
					}
				}
				step := groups + r.IntN(3)
				ldo := 3*step + groups + r.IntN(3)
				for _, apart := range []int{1, 0} {
					out := fill(guarded[float32](t, (rows-1)*ldo+3*step*apart+groups, atEnd), func() float32 { return -1 })
					want := slices.Clone(out)
					got.rounded.dot(&out[0], 4*ldo, 4*step*apart, &rounded[0], 4*ldx, &w[0], ldw*apart, blocks, rows, groups)
					goRoundedDots(layout, f)(&want[0], 4*ldo, 4*step*apart, &rounded[0], 4*ldx, &w[0], ldw*apart, blocks, rows, groups)
					if !slices.Equal(out, want) {
						t.Fatalf("%d blocks, %d rows, %d groups, w's rows %d apart: dots %v, want %v",
							blocks, rows, groups, ldw*apart, out, want)
					}
				}
			}
		}
	})
}

// TestRoundedDotsOfExtremes multiplies the largest whole numbers there are with each other.
func TestRoundedDotsOfExtremes(t *testing.T) {
	forRounded(t, func(t *testing.T, f backend.BlockFormat, got blockKernels, _ *rand.Rand, atEnd bool) {
		greatest := float32(layoutOf(&got.rounded).most)
		for _, sign := range []float32{1, -1} {
			for _, code := range []byte{0x00, 0xff, 0xf0, 0x0f, 0x80, 0x7f} {
				x, rounded := guarded[float32](t, backend.BlockElements, atEnd), guarded[uint32](t, got.rounded.len(1), atEnd)
				fill(x, func() float32 { return sign * greatest })
				got.rounded.round(&rounded[0], &x[0], 1)
				w := fill(guarded[byte](t, f.BlockBytes(), atEnd), func() byte { return code })
				binary.LittleEndian.PutUint16(w, uint16(backend.ToF16(1)))
				out := guarded[float32](t, 4, atEnd)
				got.rounded.dot(&out[0], 0, 4, &rounded[0], 0, &w[0], 0, 1, 1, 1)
				want := sign * greatest * 16 * float32(codeOf(f, w, 0)+codeOf(f, w, 31))
				if !slices.Equal(out, []float32{want, want, want, want}) {
					t.Fatalf("x %v, codes %#02x: dots %v, want %v", sign*greatest, code, out, want)
				}
			}
		}
	})
}

// roundedEdges are numbers next to where blocks are no longer rounded, and the words that are none.
var roundedEdges = []float32{
	0, 0x1p-80, 0x1.fffffep-81, 0x1p100, 0x1.000002p100, math.SmallestNonzeroFloat32, 0x1p-126, math.MaxFloat32,
	float32(math.Inf(1)), float32(math.NaN()),
}

func TestRoundKernels(t *testing.T) {
	forRounded(t, func(t *testing.T, _ backend.BlockFormat, got blockKernels, r *rand.Rand, atEnd bool) {
		for _, blocks := range []int{0, 1, 2, 3, 4, 6, 7, 9} {
			for trial := range 200 {
				x := guarded[float32](t, max(backend.BlockElements*blocks, 1), atEnd)
				for b := 0; b < backend.BlockElements*blocks; b += backend.BlockElements {
					scale := math.Exp2(float64(r.IntN(170) - 78))
					fill(x[b:][:backend.BlockElements], func() float32 { return float32(scale * (2*r.Float64() - 1)) })
				}
				if blocks > 0 && trial%2 == 1 { // a block with an edge, alone or among zeros
					block := x[r.IntN(blocks)*backend.BlockElements:][:backend.BlockElements]
					if trial%4 == 1 {
						clear(block)
					}
					sign := []float64{1, -1}[r.IntN(2)]
					block[r.IntN(len(block))] = float32(math.Copysign(float64(roundedEdges[trial/4%len(roundedEdges)]), sign))
				}
				to := guarded[uint32](t, max(got.rounded.len(blocks), 1), atEnd)
				want := make([]uint32, len(to))
				fits := got.rounded.round(&to[0], &x[0], blocks)
				if wanted := goRound(layoutOf(&got.rounded))(&want[0], &x[0], blocks); fits != wanted {
					t.Fatalf("rounded: %v, want %v: %v", fits, wanted, x)
				}
				if fits && !slices.Equal(to, want) {
					t.Fatalf("%v became %x, want %x", x, to, want)
				}
			}
		}
	})
}

// forRounded runs a test for every format of every level that rounds x for it.
func forRounded(t *testing.T, test func(t *testing.T, f backend.BlockFormat, k blockKernels, r *rand.Rand, atEnd bool)) {
	for _, f := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		rounds := func(k *kernels) bool { return k.formats != nil && k.formats.blocks[f].rounded.dot != nil }
		t.Run(f.String(), func(t *testing.T) {
			forKernels(t, rounds, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
				test(t, f, k.formats.blocks[f], r, atEnd)
			})
		})
	}
}

// rowKinds are what rows of x may hold; draw sets one.
var rowKinds = []struct {
	name    string
	rounded bool // unless dtype or range forbid
	draw    func(r *rand.Rand, x []float64)
}{
	{"normal", true, func(*rand.Rand, []float64) {}},
	{"wide range", true, func(r *rand.Rand, x []float64) {
		for k := range x {
			x[k] *= math.Exp2(float64(40 * (k / backend.BlockElements % 3)))
		}
	}},
	{"zero", true, func(_ *rand.Rand, x []float64) { clear(x) }},
	{"a zero block", true, func(_ *rand.Rand, x []float64) { clear(x[:min(backend.BlockElements, len(x))]) }},
	{"a huge element", false, func(r *rand.Rand, x []float64) { x[r.IntN(len(x))] = 0x1.fep127 }},
	{"tiny elements", false, func(_ *rand.Rand, x []float64) {
		for k := range min(backend.BlockElements, len(x)) {
			x[k] *= 0x1p-100
		}
	}},
	{"subnormal elements", false, func(r *rand.Rand, x []float64) {
		for k := range x {
			x[k] *= 0x1p-130
		}
	}},
	{"an infinity", false, func(r *rand.Rand, x []float64) { x[r.IntN(len(x))] = math.Inf(1) }},
	{"a NaN", false, func(r *rand.Rand, x []float64) { x[r.IntN(len(x))] = math.NaN() }},
}

// TestRoundedProducts holds products with weights in blocks to float64 sums and the bound of backend.BlockQuantized. Rows that are not
// rounded are held to that of float32.
func TestRoundedProducts(t *testing.T) {
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		t.Run(format.String(), func(t *testing.T) { testRoundedProducts(t, format) })
	}
}

func testRoundedProducts(t *testing.T, format backend.BlockFormat) {
	const n = 23
	mostScale := map[backend.BlockFormat]int{backend.Q8_0: 0x1fff, backend.Q4_0: 0x2fff}[format]
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		for _, d := range []int{1, 32, 37, 96, 805, 4096} {
			for _, rows := range []int{1, 2, 3, 4, 7, 8, 9, 17} {
				if testing.Short() && d*rows > 1<<12 {
					continue
				}
				r := rand.New(rand.NewPCG(uint64(d), uint64(rows)))
				w := guardedBlocks(t, r, format, n, d).(*backend.BlockQuantized)
				for at := 0; at < len(w.Bytes()); at += format.BlockBytes() { // |d| from the least subnormal, no element above 1
					binary.LittleEndian.PutUint16(w.Bytes()[at:], uint16(1+r.IntN(mostScale))|uint16(r.IntN(2))<<15)
				}
				plain, err := w.Unpack()
				if err != nil {
					t.Fatal(err)
				}
				numbers := floatsIn(t, plain)
				in := guardedTensor(t, r, dt, rows, d)
				first := r.IntN(len(rowKinds))
				for i := range rows {
					row := make([]float64, d)
					fill(row, r.NormFloat64)
					rowKinds[(first+i)%len(rowKinds)].draw(r, row)
					f, err := floatsOf[float64]("test", "x", in, rows, d)
					if err != nil {
						t.Fatal(err)
					}
					f.write(i*d, row)
				}
				x := floatsIn(t, in)
				list := []backend.Backend{Go{}, simd{"cpu/kernels in go", &goKernels, 0}}
				for _, v := range variantsWith(hasFormats) {
					list = append(list, v)
				}
				for _, b := range list {
					out := guardedTensor(t, r, dt, rows, n)
					if err := b.(backend.Linear).Linear(out, in, w); err != nil {
						t.Fatal(err)
					}
					for i, got := range floatsIn(t, out) {
						row, kind := x[i/n*d:][:d], rowKinds[(first+i/n)%len(rowKinds)]
						want, tolerance := roundedDot(row, numbers[i%n*d:][:d], kind.rounded)
						tolerance += 1.1*unitOf(dt)*math.Abs(want) + 0x1p-126
						if finite := want-want == 0; finite && !(math.Abs(got-want) <= tolerance) || !finite && !sameFloats([]float64{got}, []float64{want}) {
							t.Fatalf("%s, %v, D=%d, %d rows: element (%d,%d) of a row with %s is %v, want %v ± %v",
								b.Name(), dt, d, rows, i/n, i%n, kind.name, got, want, tolerance)
						}
					}
				}
			}
		}
	}
}

// roundedDot is the dot of two vectors and how far from it the sum of their products in float32 may be, if x is rounded or not.
func roundedDot(x, w []float64, rounded bool) (dot, tolerance float64) {
	dot, magnitude := dotOf(x, w)
	tolerance = 1.1 * float64(len(x)+1) * 0x1p-24 * magnitude
	for from := 0; rounded && from < len(x); from += backend.BlockElements {
		most, sum := 0.0, 0.0
		for k := from; k < min(from+backend.BlockElements, len(x)); k++ {
			most = max(most, math.Abs(x[k]))
			sum += math.Abs(w[k])
		}
		tolerance += 0x1.04p-16 * most * sum
	}
	return dot, tolerance
}

// TestScalesThatAreNotFinite: the results of a row of w one of whose scales is not finite are not either, even for x = 0, and the
// others do not change.
func TestScalesThatAreNotFinite(t *testing.T) {
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		t.Run(format.String(), func(t *testing.T) { testScalesThatAreNotFinite(t, format) })
	}
}

func testScalesThatAreNotFinite(t *testing.T, format backend.BlockFormat) {
	r := rand.New(rand.NewPCG(11, 12))
	const n, d = 6, 100
	for _, scale := range []uint16{0x7c00, 0xfc00, 0x7e00} {
		for _, zero := range []bool{false, true} {
			x, w := guardedTensor(t, r, tensor.Float32, 2, d), guardedBlocks(t, r, format, n, d).(*backend.BlockQuantized)
			if zero {
				clear(x.Data().([]float32))
			}
			for _, b := range append(variantsWith(hasFormats), simd{"cpu/kernels in go", &goKernels, 0}) {
				before, after := guardedTensor(t, r, tensor.Float32, 2, n), guardedTensor(t, r, tensor.Float32, 2, n)
				if err := b.Linear(before, x, w); err != nil {
					t.Fatal(err)
				}
				bad, err := backend.NewBlockQuantized(format, w.Shape(), slices.Clone(w.Bytes()))
				if err != nil {
					t.Fatal(err)
				}
				binary.LittleEndian.PutUint16(bad.Bytes()[2*format.RowBytes(d)+format.BlockBytes():], scale)
				if err := b.Linear(after, x, bad); err != nil {
					t.Fatal(err)
				}
				for i, got := range after.Data().([]float32) {
					want := before.Data().([]float32)[i]
					if i%n == 2 && got-got == 0 || i%n != 2 && got != want {
						t.Errorf("%s, scale %#04x: element (%d,%d) is %v, it was %v", b.Name(), scale, i/n, i%n, got, want)
					}
				}
			}
		}
	}
}
