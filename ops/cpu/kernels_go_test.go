package cpu

import (
	"math"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// goKernels are the kernels in plain Go, word by word what the type kernels says of each: the specification of those in assembly,
// and a way to test on any GOARCH how products are cut.
var goKernels = kernels{
	lanes: 4, rows: 5, callRows: 5, part: partSteps, streamPart: partSteps, reading: 8,
	full: 3, prefetch: 3, places: 3, lines: 1, besideRows: 32, panels: [2]int{3, 2}, streamRows: 4, formats: &goFormats,
	tileF32: goTileF32,
	tileDot: goTileDot,
	tileBesideF32: func(a *uint32, _ int, b *uint32, c *float32, ldc, steps, rows, cols, add int, _ *uint32, _, _ int) {
		goSums(c, ldc, rows, cols, add, func(i, j int) (sum float32) {
			for k := range steps {
				sum += math.Float32frombits(*at(a, 4*(rows*k+i))) * math.Float32frombits(*at(b, 4*(panelCols*k+j)))
			}
			return sum
		})
	},
	tileBesideWidened: func(a *uint32, _ int, b *uint32, c *float32, ldc, steps, rows, cols, add int, _ *uint32, _, _ int) {
		goSums(c, ldc, rows, cols, add, func(i, j int) (sum float32) {
			for k := range steps {
				pair := *at(b, 4*(panelCols*k+j))
				sum += math.Float32frombits(*at(a, 4*(rows*2*k+i))) * lower(pair)
				sum += math.Float32frombits(*at(a, 4*(rows*(2*k+1)+i))) * upper(pair)
			}
			return sum
		})
	},
	tileWidened: goTileWidened,
	fewF32:      goFew([2]int{3, 2}, goTileF32),
	fewWidened:  goFew([2]int{3, 2}, goTileWidened),
	fewDot:      goFew([2]int{3, 2}, goTileDot),
	dotF32: func(out, x *float32, ldx int, w *float32, ldw, n, rows int) {
		goDots(out, x, ldx, n, rows, func(j, k int) float32 { return *at(w, j*ldw+4*k) })
	},
	dotWidened: func(out, x *float32, ldx int, w *uint16, ldw, n, rows int) {
		goDots(out, x, ldx, n, rows, func(j, k int) float32 { return lower(uint32(*at(w, j*ldw+2*k))) })
	},
	dotRows: 3,
	axpyF32: func(y, a *float32, lda int, x *float32, n, rows int) {
		for i := range rows {
			for j := range n {
				*at(y, 4*j) += *at(x, 4*i) * *at(a, i*lda+4*j)
			}
		}
	},
	blas: &goBLAS,
	transpose: func(to, from *uint32, ld, steps int) {
		for i := range 4 {
			for k := range steps {
				*at(to, 4*(panelCols*k+i)) = *at(from, i*ld+4*k)
			}
		}
	},
	beside: func(to, from *uint32, ld, steps, rows int) {
		for k := range steps {
			for i := range rows {
				*at(to, 4*(rows*k+i)) = *at(from, i*ld+4*k)
			}
		}
	},
	widen: func(to *float32, from *uint16, n int) {
		for i := range n {
			*at(to, 4*i) = lower(uint32(*at(from, 2*i)))
		}
	},
	narrow: func(to *uint16, from *float32, n int) {
		for i := range n {
			*at(to, 2*i) = uint16(backend.ToBF16(*at(from, 4*i)))
		}
	},
	widenPanel: func(to, from *uint32, steps int) {
		for k := range steps {
			for j := range panelCols {
				pair := *at(from, 4*(panelCols*k+j))
				*at(to, 4*(panelCols*2*k+j)) = math.Float32bits(lower(pair))
				*at(to, 4*(panelCols*(2*k+1)+j)) = math.Float32bits(upper(pair))
			}
		}
	},
	swiglu: func(gate, up, out *float32, n int) {
		for i := range n {
			*at(out, 4*i) = float32(silu64(float64(*at(gate, 4*i))) * float64(*at(up, 4*i)))
		}
	},
	addScaled: func(to, x *float32, a float32, n int) {
		for i := range n {
			*at(to, 4*i) += a * *at(x, 4*i)
		}
	},
}

// goBLAS are those of Sgemm, of tiles that no other has.
var goBLAS = blasTiles{
	rows: 3, cols: 8, beside: true,
	tile: func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, _ *uint32, _, slot int) {
		goBLASTile(a, 4, 4*rows, b, 4*8, c, ldc, steps, rows, cols, add, slot)
	},
	copyPanel: func(to, from *uint32, ld, steps int) { goCopyPanel(to, from, ld, steps, 8) },
	transpose: func(to, from *uint32, ld, steps int) { goTranspose(to, from, ld, steps, 4, 8) },
}

// goBLASTile is a tile of Sgemm whose a has rows and steps some bytes apart, and whose b has steps some bytes apart.
func goBLASTile(a *uint32, lda, stepA int, b *uint32, stepB int, c *float32, ldc, steps, rows, cols, add, slot int) {
	if slot < 1 {
		panic("a slot without steps")
	}
	goSums(c, ldc, rows, cols, add, func(i, j int) (sum float32) {
		for k := range steps {
			sum += math.Float32frombits(*at(a, i*lda+k*stepA)) * math.Float32frombits(*at(b, k*stepB+4*j))
		}
		return sum
	})
}

func goCopyPanel(to, from *uint32, ld, steps, cols int) {
	for k := range steps {
		for j := range cols {
			*at(to, 4*(cols*k+j)) = *at(from, k*ld+4*j)
		}
	}
}

func goTranspose(to, from *uint32, ld, steps, lanes, cols int) {
	for i := range lanes {
		for k := range steps {
			*at(to, 4*(cols*k+i)) = *at(from, i*ld+4*k)
		}
	}
}

// goVariant is the variant on these kernels.
var goVariant = simd{"cpu/kernels in go", &goKernels, 0}

// goPairs are such kernels with others for pairs of bfloat16, whose tiles have other sizes.
var goPairs = func() kernels {
	k, pairs := goKernels, goKernels
	pairs.rows, pairs.callRows, pairs.full, pairs.prefetch = 19, unlimited, unlimited, 5
	pairs.part, pairs.streamPart, pairs.reading = 512, unlimited, 64
	pairs.dotF32, pairs.addScaled = nil, nil
	pairs.tileF32, pairs.tileWidened, pairs.tileBesideF32, pairs.tileBesideWidened = nil, nil, nil, nil
	pairs.fewF32, pairs.fewWidened = nil, nil
	pairs.panels, pairs.streamRows = [2]int{2, 2}, 16
	pairs.fewDot = goFew(pairs.panels, goTileDot)
	k.tileDot, k.fewDot, k.pairs = nil, nil, &pairs
	return k
}()

// lower and upper are the two bfloat16 of a word.
func lower(w uint32) float32 { return math.Float32frombits(w << 16) }
func upper(w uint32) float32 { return math.Float32frombits(w &^ 0xffff) }

// at is the element some bytes behind p.
func at[E any](p *E, bytes int) *E { return (*E)(unsafe.Add(unsafe.Pointer(p), bytes)) }

// goTile is a tile kernel whose steps are of one word, given the product of two words.
func goTile(product func(a, b uint32) float32) tileKernel {
	return func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, _ *uint32, _, _ int) {
		goSums(c, ldc, rows, cols, add, func(i, j int) (sum float32) {
			for k := range steps {
				sum += product(*at(a, i*lda+4*k), *at(b, 4*(panelCols*k+j)))
			}
			return sum
		})
	}
}

var (
	goTileF32 = goTile(func(a, b uint32) float32 { return math.Float32frombits(a) * math.Float32frombits(b) })
	goTileDot = goTile(func(a, b uint32) float32 { return lower(a)*lower(b) + upper(a)*upper(b) })
)

// goFew is a kernel for few rows, given the numbers of panels and the kernel for tiles.
func goFew(panels [2]int, tile tileKernel) fewKernel {
	return func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int) {
		for p := range (&kernels{panels: panels}).fewPanels(rows) {
			tile(a, lda, at(b, p*apart), at(c, 4*panelCols*p), ldc, steps, rows, panelCols, add, b, 0, 0)
		}
	}
}

func goTileWidened(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, _ *uint32, _, _ int) {
	goSums(c, ldc, rows, cols, add, func(i, j int) (sum float32) {
		for k := range steps {
			pair := *at(b, 4*(panelCols*k+j))
			sum += math.Float32frombits(*at(a, i*lda+8*k)) * lower(pair)
			sum += math.Float32frombits(*at(a, i*lda+8*k+4)) * upper(pair)
		}
		return sum
	})
}

func goSums(c *float32, ldc, rows, cols, add int, sum func(i, j int) float32) {
	for i := range rows {
		for j := range cols {
			to := at(c, i*ldc+4*j)
			if add == 0 {
				*to = 0
			}
			*to += sum(i, j)
		}
	}
}

func goDots(out, x *float32, ldx, n, rows int, w func(j, k int) float32) {
	for i := range rows {
		for j := range 4 {
			var sum float32
			for k := range n {
				sum += *at(x, i*ldx+4*k) * w(j, k)
			}
			*at(out, 4*(4*i+j)) = sum
		}
	}
}
