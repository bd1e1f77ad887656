package cpu

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// forKernels runs a test for the kernels of every variant of the machine that has those in question, those for pairs of bfloat16
// too where they are others, with operands that end at a page that cannot be touched and with operands that begin behind one.
func forKernels(t *testing.T, has func(k *kernels) bool, test func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool)) {
	list := someVariants(t, has)
	for _, v := range list {
		if k := v.k.pairs; k != nil && has(k) {
			list = append(list, simd{v.name + "/pairs", k, 0})
		}
	}
	for _, v := range list {
		for _, atEnd := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/end=%v", v.name, atEnd), func(t *testing.T) {
				test(t, v.k, rand.New(rand.NewPCG(1, 2)), atEnd)
			})
		}
	}
}

// small is a small whole number: sums of products of such are exact, in whatever order.
func small(r *rand.Rand) float32 { return float32(r.IntN(17) - 8) }

func smallWord(r *rand.Rand) uint32 { return math.Float32bits(small(r)) }

func smallPair(r *rand.Rand) uint32 {
	return uint32(backend.ToBF16(small(r))) | uint32(backend.ToBF16(small(r)))<<16
}

// fill draws every element.
func fill[E any](to []E, draw func() E) []E {
	for i := range to {
		to[i] = draw()
	}
	return to
}

func TestTileKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, kind := range []struct {
			name      string
			got, want tileKernel
			words     int // of a for a step
			a, b      func(*rand.Rand) uint32
		}{
			{"f32", k.tileF32, goKernels.tileF32, 1, smallWord, smallWord},
			{"beside f32", k.tileBesideF32, goKernels.tileBesideF32, 1, smallWord, smallWord},
			{"beside widened", k.tileBesideWidened, goKernels.tileBesideWidened, 2, smallWord, smallPair},
			{"widened", k.tileWidened, goKernels.tileWidened, 2, smallWord, smallPair},
			{"dot", k.tileDot, goKernels.tileDot, 1, smallPair, smallPair},
		} {
			if kind.got == nil {
				continue
			}
			for rows := 1; rows <= min(k.callRows, 3*k.rows+1); rows++ {
				for _, steps := range []int{0, 1, 2, 3, 4, 7, 8, 16, 33} {
					cols := 1 + r.IntN(k.cols(rows))
					if steps == 33 {
						cols = k.cols(rows)
					}
					lda, ldc := steps*kind.words+r.IntN(3), cols+r.IntN(3)
					a := fill(guarded[uint32](t, max((rows-1)*lda+steps*kind.words, 1), atEnd), func() uint32 { return kind.a(r) })
					b := fill(guarded[uint32](t, max(steps*panelCols, 1), atEnd), func() uint32 { return kind.b(r) })
					c := fill(guarded[float32](t, (rows-1)*ldc+cols, atEnd), func() float32 { return small(r) })
					for add := range 2 {
						want := slices.Clone(c)
						kind.want(&a[0], 4*lda, &b[0], &want[0], 4*ldc, steps, rows, cols, add, &b[0], 192, 64)
						kind.got(&a[0], 4*lda, &b[0], &c[0], 4*ldc, steps, rows, cols, add, &b[0], 192, 64)
						if !slices.Equal(c, want) {
							t.Fatalf("%s, %d rows, %d columns, %d steps, add %d: got %v, want %v", kind.name, rows, cols, steps, add, c, want)
						}
					}
				}
			}
		}
	})
}

func TestFewKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, kind := range []struct {
			name  string
			got   fewKernel
			want  tileKernel
			words int // of a for a step
			a, b  func(*rand.Rand) uint32
		}{
			{"f32", k.fewF32, goKernels.tileF32, 1, smallWord, smallWord},
			{"widened", k.fewWidened, goKernels.tileWidened, 2, smallWord, smallPair},
			{"dot", k.fewDot, goKernels.tileDot, 1, smallPair, smallPair},
		} {
			if kind.got == nil {
				continue
			}
			for rows := 1; k.streams(rows); rows++ {
				for _, steps := range []int{0, 1, 2, 5, 8, 16, 33} {
					panels := k.fewPanels(rows)
					cols := panels * panelCols
					lda, ldc, apart := steps*kind.words+r.IntN(3), cols+r.IntN(3), (steps+r.IntN(3))*panelCols
					a := fill(guarded[uint32](t, max((rows-1)*lda+steps*kind.words, 1), atEnd), func() uint32 { return kind.a(r) })
					b := fill(guarded[uint32](t, max((panels-1)*apart+steps*panelCols, 1), atEnd), func() uint32 { return kind.b(r) })
					c := fill(guarded[float32](t, (rows-1)*ldc+cols, atEnd), func() float32 { return small(r) })
					for add := range 2 {
						want := slices.Clone(c)
						goFew(k.panels, kind.want)(&a[0], 4*lda, &b[0], 4*apart, &want[0], 4*ldc, steps, rows, add)
						kind.got(&a[0], 4*lda, &b[0], 4*apart, &c[0], 4*ldc, steps, rows, add)
						if !slices.Equal(c, want) {
							t.Fatalf("%s, %d rows, %d steps, add %d: got %v, want %v", kind.name, rows, steps, add, c, want)
						}
					}
				}
			}
		}
	})
}

// inexactPanel is a panel of numbers whose sums are not exact: as float32, and as bfloat16, which it can be without loss.
func inexactPanel(t *testing.T, r *rand.Rand, elements int, atEnd bool) (wide []float32, pairs []uint32) {
	wide = fill(guarded[float32](t, elements*panelCols, atEnd), func() float32 { return backend.ToBF16(float32(r.NormFloat64())).Float32() })
	pairs = guarded[uint32](t, elements/2*panelCols, atEnd)
	for i := range pairs {
		at := i/panelCols*2*panelCols + i%panelCols
		pairs[i] = uint32(backend.ToBF16(wide[at])) | uint32(backend.ToBF16(wide[at+panelCols]))<<16
	}
	return wide, pairs
}

// roundedOnce is a·b for the first columns of a panel b, in ascending order with one rounding for each product.
func roundedOnce(a, b []float32, rows, cols int) []float32 {
	exact := func(x float32) *big.Float { return new(big.Float).SetPrec(1 << 9).SetFloat64(float64(x)) }
	sums := make([]float32, rows*cols)
	elements := len(b) / panelCols
	for i := range sums {
		for s := range elements {
			product := exact(0).Mul(exact(a[i/cols*elements+s]), exact(b[s*panelCols+i%cols]))
			sums[i], _ = exact(0).Add(product, exact(sums[i])).Float32()
		}
	}
	return sums
}

// TestFewKernelsRoundOncePerProduct holds kernels for few rows to the order of sums that tiles have.
func TestFewKernelsRoundOncePerProduct(t *testing.T) {
	forKernels(t, hasFew, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		const elements = 38
		for rows := 1; k.streams(rows); rows++ {
			a := fill(guarded[float32](t, rows*elements, atEnd), func() float32 { return float32(r.NormFloat64()) })
			b, pairs := inexactPanel(t, r, elements, atEnd)
			want := roundedOnce(a, b, rows, panelCols)
			x, wide := (*uint32)(unsafe.Pointer(&a[0])), (*uint32)(unsafe.Pointer(&b[0]))
			ld := k.fewPanels(rows) * panelCols // columns of the same panel several times
			sums := guarded[float32](t, rows*ld, atEnd)
			check := func(kind string) {
				for i, got := range sums {
					if want := want[i/ld*panelCols+i%panelCols]; got != want {
						t.Fatalf("%s, %d rows: element %d is %v, want %v", kind, rows, i, got, want)
					}
				}
				clear(sums)
			}
			k.fewF32(x, 4*elements, wide, 0, &sums[0], 4*ld, elements, rows, 0)
			check("float32")
			k.fewWidened(x, 4*elements, &pairs[0], 0, &sums[0], 4*ld, elements/2, rows, 0)
			check("bfloat16")
		}
	})
}

// TestTilesRoundOncePerProduct holds tiles, on numbers whose sums are not exact, to one order of sums: ascending, with one
// rounding for each product, whatever the size of the tile.
func TestTilesRoundOncePerProduct(t *testing.T) {
	forKernels(t, hasTileF32, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		const elements = 38
		normal := func() float32 { return float32(r.NormFloat64()) }
		for rows := 1; rows <= k.rows; rows++ {
			cols := k.cols(rows)
			a := fill(guarded[float32](t, rows*elements, atEnd), normal)
			b, pairs := inexactPanel(t, r, elements, atEnd)
			want := roundedOnce(a, b, rows, cols)
			wide, x := (*uint32)(unsafe.Pointer(&b[0])), (*uint32)(unsafe.Pointer(&a[0]))
			got := guarded[float32](t, len(want), atEnd)
			k.tileF32(x, 4*elements, wide, &got[0], 4*cols, elements, rows, cols, 0, wide, 192, 64)
			if !slices.Equal(got, want) {
				t.Fatalf("float32, %d rows: got %v, want %v", rows, got, want)
			}
			for _, kind := range []struct {
				kernel tileKernel
				b      *uint32
				steps  int
			}{{k.tileBesideF32, wide, elements}, {k.tileBesideWidened, &pairs[0], elements / 2}} {
				if kind.kernel == nil {
					continue
				}
				beside := guarded[float32](t, rows*elements, atEnd)
				for i, v := range a {
					beside[i%elements*rows+i/elements] = v
				}
				clear(got)
				kind.kernel((*uint32)(unsafe.Pointer(&beside[0])), 0, kind.b, &got[0], 4*cols, kind.steps, rows, cols, 0, wide, 192, 64)
				if !slices.Equal(got, want) {
					t.Fatalf("side by side, %d rows, %d steps: got %v, want %v", rows, kind.steps, got, want)
				}
			}
			clear(got)
			k.tileWidened(x, 4*elements, &pairs[0], &got[0], 4*cols, elements/2, rows, cols, 0, wide, 192, 64)
			if !slices.Equal(got, want) {
				t.Fatalf("bfloat16, %d rows: got %v, want %v", rows, got, want)
			}
		}
	})
}

func TestDotKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for rows := 1; rows <= k.dotRows; rows++ {
			for _, vectors := range []int{0, 1, 2, 5} {
				n := vectors * k.lanes
				ldx := n + r.IntN(3)
				x := fill(guarded[float32](t, max((rows-1)*ldx+n, 1), atEnd), func() float32 { return small(r) })
				wide := fill(guarded[float32](t, max(4*n, 1), atEnd), func() float32 { return small(r) })
				narrow := fill(guarded[uint16](t, max(4*n, 1), atEnd), func() uint16 { return uint16(backend.ToBF16(small(r))) })
				got, want := guarded[float32](t, 4*rows, atEnd), make([]float32, 4*rows)
				for _, ldw := range []int{n, 0} { // 0: the same row four times
					if k.dotF32 != nil { // kernels for pairs lack it
						k.dotF32(&got[0], &x[0], 4*ldx, &wide[0], 4*ldw, n, rows)
						goKernels.dotF32(&want[0], &x[0], 4*ldx, &wide[0], 4*ldw, n, rows)
						if !slices.Equal(got, want) {
							t.Fatalf("float32, %d rows of %d, w's rows %d apart: got %v, want %v", rows, n, ldw, got, want)
						}
					}
					k.dotWidened(&got[0], &x[0], 4*ldx, &narrow[0], 2*ldw, n, rows)
					goKernels.dotWidened(&want[0], &x[0], 4*ldx, &narrow[0], 2*ldw, n, rows)
					if !slices.Equal(got, want) {
						t.Fatalf("bfloat16, %d rows of %d, w's rows %d apart: got %v, want %v", rows, n, ldw, got, want)
					}
				}
			}
		}
	})
}

func TestAxpyKernels(t *testing.T) {
	forKernels(t, hasAxpy, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, rows := range []int{1, axpyRows} {
			for vectors := range 11 {
				n := vectors * k.lanes
				lda := n + r.IntN(3)
				x := fill(guarded[float32](t, rows, atEnd), func() float32 { return small(r) })
				a := fill(guarded[float32](t, max((rows-1)*lda+n, 1), atEnd), func() float32 { return small(r) })
				y := fill(guarded[float32](t, max(n, 1), atEnd), func() float32 { return small(r) })
				want := slices.Clone(y)
				goKernels.axpyF32(&want[0], &a[0], 4*lda, &x[0], n, rows)
				k.axpyF32(&y[0], &a[0], 4*lda, &x[0], n, rows)
				if !slices.Equal(y, want) {
					t.Fatalf("%d rows of %d: got %v, want %v", rows, n, y, want)
				}
			}
		}
	})
}

func TestTransposeKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, vectors := range []int{0, 1, 3} {
			steps := vectors * k.lanes
			ld := steps + 5
			from := fill(guarded[uint32](t, max((k.lanes-1)*ld+steps, 1), atEnd), r.Uint32)
			to := fill(guarded[uint32](t, max(steps*panelCols-(panelCols-k.lanes), 1), atEnd), r.Uint32)
			want := slices.Clone(to)
			for i := range k.lanes {
				for s := range steps {
					want[s*panelCols+i] = from[i*ld+s]
				}
			}
			k.transpose(&to[0], &from[0], 4*ld, steps)
			if !slices.Equal(to, want) {
				t.Fatalf("%d steps: got %x, want %x", steps, to, want)
			}
		}
	})
}

func TestBesideKernels(t *testing.T) {
	hasBeside := func(k *kernels) bool { return k.beside != nil }
	forKernels(t, hasBeside, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for rows := 1; rows <= k.lanes; rows++ {
			for _, vectors := range []int{0, 1, 3} {
				steps := vectors * k.lanes
				ld := steps + 5
				from := fill(guarded[uint32](t, max((rows-1)*ld+steps, 1), atEnd), r.Uint32)
				to := fill(guarded[uint32](t, steps*rows+k.lanes-rows+1, atEnd), r.Uint32)
				want := slices.Clone(to)
				goKernels.beside(&want[0], &from[0], 4*ld, steps, rows)
				k.beside(&to[0], &from[0], 4*ld, steps, rows)
				if !slices.Equal(to[:steps*rows], want[:steps*rows]) || to[len(to)-1] != want[len(to)-1] {
					t.Fatalf("%d rows, %d steps: got %x, want %x", rows, steps, to, want)
				}
			}
		}
	})
}

func TestWidenKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		from := guarded[uint16](t, 1<<16, atEnd) // every number there is
		for i := range from {
			from[i] = uint16(i)
		}
		to := guarded[uint32](t, len(from), atEnd)
		k.widen((*float32)(unsafe.Pointer(&to[0])), &from[0], len(from))
		for i, x := range to {
			if x != uint32(i)<<16 {
				t.Fatalf("bfloat16 %#04x became %#08x", i, x)
			}
		}
	})
}

func TestWidenPanelKernels(t *testing.T) {
	hasWidenPanel := func(k *kernels) bool { return k.widenPanel != nil }
	forKernels(t, hasWidenPanel, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, steps := range []int{0, 1, 5} {
			pairs := fill(guarded[uint32](t, max(steps*panelCols, 1), atEnd), r.Uint32)
			got, want := guarded[uint32](t, max(2*steps*panelCols, 1), atEnd), make([]uint32, max(2*steps*panelCols, 1))
			k.widenPanel(&got[0], &pairs[0], steps)
			goKernels.widenPanel(&want[0], &pairs[0], steps)
			if !slices.Equal(got, want) {
				t.Fatalf("a panel of %d steps: got %x, want %x", steps, got, want)
			}
		}
	})
}

func TestNarrowKernels(t *testing.T) {
	forKernels(t, hasAll, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		from, to := guarded[uint32](t, 1<<16, atEnd), guarded[uint16](t, 1<<16, atEnd)
		for _, low := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, r.Uint32N(1 << 16)} {
			for i := range from {
				from[i] = uint32(i)<<16 | low
			}
			k.narrow(&to[0], (*float32)(unsafe.Pointer(&from[0])), len(from))
			for i, x := range to {
				if want := uint16(backend.ToBF16(math.Float32frombits(from[i]))); x != want {
					t.Fatalf("float32 %#08x became %#04x, want %#04x", from[i], x, want)
				}
			}
		}
	})
}
