package cpu

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestBLASKernels holds the kernels of Sgemm to those in plain Go.
func TestBLASKernels(t *testing.T) {
	forKernels(t, hasAxpy, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for _, steps := range []int{0, 1, 2, 9} {
			ld := k.blas.cols + r.IntN(3)
			from := fill(guarded[uint32](t, max((steps-1)*ld+k.blas.cols, 1), atEnd), r.Uint32)
			to := fill(guarded[uint32](t, max(steps*k.blas.cols, 1), atEnd), r.Uint32)
			want := slices.Clone(to)
			goCopyPanel(&want[0], &from[0], 4*ld, steps, k.blas.cols)
			k.blas.copyPanel(&to[0], &from[0], 4*ld, steps)
			if !slices.Equal(to, want) {
				t.Fatalf("copyPanel, %d steps: got %x, want %x", steps, to, want)
			}
		}
		for _, vectors := range []int{0, 1, 3} {
			steps := vectors * k.lanes
			ld := steps + 5
			from := fill(guarded[uint32](t, (k.lanes-1)*ld+steps, atEnd), r.Uint32)
			to := fill(guarded[uint32](t, max(steps*k.blas.cols-(k.blas.cols-k.lanes), 1), atEnd), r.Uint32)
			want := slices.Clone(to)
			goTranspose(&want[0], &from[0], 4*ld, steps, k.lanes, k.blas.cols)
			k.blas.transpose(&to[0], &from[0], 4*ld, steps)
			if !slices.Equal(to, want) {
				t.Fatalf("transpose, %d steps: got %x, want %x", steps, to, want)
			}
		}
	})
}

func TestBLASTiles(t *testing.T) {
	forKernels(t, hasAxpy, func(t *testing.T, k *kernels, r *rand.Rand, atEnd bool) {
		for rows := 1; rows <= k.blas.rows; rows++ {
			for _, steps := range []int{0, 1, 2, 3, 4, 7, 8, 33} {
				cols := 1 + r.IntN(k.blas.cols)
				if steps == 33 {
					cols = k.blas.cols
				}
				lda, ldc := steps+r.IntN(3), cols+r.IntN(3)
				stepA, rowA := 4, 4*lda
				if k.blas.beside {
					lda, stepA, rowA = steps, 4*rows, 4
				}
				a := fill(guarded[uint32](t, max((rows-1)*lda+steps, 1), atEnd), func() uint32 { return smallWord(r) })
				b := fill(guarded[uint32](t, max(steps*k.blas.cols, 1), atEnd), func() uint32 { return smallWord(r) })
				c := fill(guarded[float32](t, (rows-1)*ldc+cols, atEnd), func() float32 { return small(r) })
				for add := range 2 {
					for _, slot := range []int{1, 4, 8, 11, 100} {
						want := slices.Clone(c)
						goBLASTile(&a[0], rowA, stepA, &b[0], 4*k.blas.cols, &want[0], 4*ldc, steps, rows, cols, add, slot)
						k.blas.tile(&a[0], 4*lda, &b[0], &c[0], 4*ldc, steps, rows, cols, add, &b[0], 1<<20, slot)
						if !slices.Equal(c, want) {
							t.Fatalf("%d rows, %d columns, %d steps, add %d, slot %d: got %v, want %v", rows, cols, steps, add, slot, c, want)
						}
					}
				}
			}
		}
	})
}
