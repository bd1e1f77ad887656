package cpu

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/gorgonia/moe/ops/backend"
)

// The product of a matrix and a vector. All time goes into reading the matrix once, several rows side by side: it is cut into blocks
// so wide that rows are read in long runs, yet a piece of the vector that lies along a row stays in the second level of cache, and as
// tall as makes a task. What the blocks give is added up in their order.

const (
	gemvCols   = 16384   // of a block at most: 64 KiB of a vector
	gemvWork   = 1 << 16 // elements of a block at least, if it is not all: 256 KiB
	gemvBlocks = 64      // blocks side by side, or one above the other, at most, if their results are to be added up
)

// sgemv is a product of a matrix and a vector in the course of being computed. It is kept for the next one, with its memory.
type sgemv struct {
	k          *kernels
	a          blasMatrix
	rows, cols int // of a's memory

	x, sums                        []float32 // x without gaps; a row of sums for each block of the inner dimension
	blockRows, blockCols, vertical int
	xBuffer                        []float32
	body                           func(i int)
}

var sgemvs sync.Pool

// Sgemv computes y = alpha·op(a)·x + beta·y on the vector kernels of the stages' products. a is a matrix (m,n) with its rows lda
// elements apart; op(a) is a or, if transA is set, its transpose. Elements of x are incX apart, those of y incY; if that is negative
// the first is the last in memory.
//
// As in BLAS nothing happens if a has no elements, y is overwritten if beta is 0, whatever it holds, and neither a nor x is read if
// alpha is 0. y must not overlap a or x. Sums run in float32 and are multiplied with alpha. A call allocates nothing once its buffers,
// kept from call to call, are large enough. The same operands give the same bits, whatever GOMAXPROCS is.
//
// Errors are as with Sgemm; an increment of 0 wraps backend.ErrParameter.
func Sgemv(transA bool, m, n int, alpha float32, a []float32, lda int, x []float32, incX int,
	beta float32, y []float32, incY int) error {
	kernels := blasKernels()
	if kernels == nil {
		return errNoKernels
	}
	if m < 0 || n < 0 {
		return fmt.Errorf("sgemv: got m=%d, n=%d, want none below 0: %w", m, n, backend.ErrShape)
	}
	if incX == 0 || incY == 0 {
		return fmt.Errorf("sgemv: got incX=%d, incY=%d, want none of 0: %w", incX, incY, backend.ErrParameter)
	}
	empty := m == 0 || n == 0
	if !(blasMatrix{a, lda, false}).fits(m, n, empty) {
		return fmt.Errorf("sgemv: matrix a, (%d,%d), does not fit %d elements with rows %d apart: %w", m, n, len(a), lda, backend.ErrShape)
	}
	if empty {
		return nil
	}
	outer, inner := m, n
	if transA {
		outer, inner = n, m
	}
	if !vectorFits(x, inner, incX) || !vectorFits(y, outer, incY) {
		return fmt.Errorf("sgemv: vectors x and y of %d and %d elements, %d and %d apart, do not fit slices of %d and %d: %w",
			inner, outer, incX, incY, len(x), len(y), backend.ErrShape)
	}
	sgemvOn(kernels, outer, inner, alpha, blasMatrix{a, lda, transA}, x, incX, beta, y, incY)
	return nil
}

// vectorFits tells whether n elements, at least one, that are inc apart, not 0, fit x.
func vectorFits(x []float32, n, inc int) bool {
	distance := uint64(inc)
	if inc < 0 {
		distance = -distance
	}
	return len(x) > 0 && uint64(n-1) <= uint64(len(x)-1)/distance
}

// start is where the first of n elements is that are inc apart.
func start(n, inc int) int {
	if inc < 0 {
		return (1 - n) * inc
	}
	return 0
}

// sgemvOn is Sgemv with operands that fit; op(a) is (outer,inner), neither of them 0.
func sgemvOn(k *kernels, outer, inner int, alpha float32, a blasMatrix, x []float32, incX int, beta float32, y []float32, incY int) {
	if alpha == 0 {
		for i, at := 0, start(outer, incY); i < outer; i, at = i+1, at+incY {
			scale(y[at:at+1], beta)
		}
		return
	}
	g, ok := sgemvs.Get().(*sgemv)
	if !ok {
		g = &sgemv{}
		g.body = g.task
	}
	g.k, g.a = k, a
	g.rows, g.cols = outer, inner
	if a.trans {
		g.rows, g.cols = inner, outer
	}
	g.x = x
	if incX != 1 {
		g.xBuffer = grown(g.xBuffer, inner)
		for i, at := 0, start(inner, incX); i < inner; i, at = i+1, at+incX {
			g.xBuffer[i] = x[at]
		}
		g.x = g.xBuffer
	}
	blocks := g.run(outer)
	for i, at := 0, start(outer, incY); i < outer; i, at = i+1, at+incY {
		var sum float32
		for b := range blocks {
			sum += g.sums[b*outer+i]
		}
		if beta == 0 {
			y[at] = alpha * sum
		} else {
			y[at] = alpha*sum + beta*y[at]
		}
	}
	g.a, g.x = blasMatrix{}, nil
	sgemvs.Put(g)
}

// run computes the sums of each block of the inner dimension and tells how many blocks there are.
func (g *sgemv) run(outer int) (blocks int) {
	g.blockCols = evenly(g.cols, gemvCols, panelCols)
	g.blockRows = (gemvWork/g.blockCols + axpyRows) / axpyRows * axpyRows
	if g.a.trans {
		g.blockRows = max(g.blockRows, (g.rows/gemvBlocks+axpyRows)/axpyRows*axpyRows)
	} else {
		g.blockCols = max(g.blockCols, (g.cols/gemvBlocks+panelCols)/panelCols*panelCols)
	}
	g.vertical = pieces(g.rows, g.blockRows)
	horizontal := pieces(g.cols, g.blockCols)
	blocks = horizontal
	if g.a.trans {
		blocks = g.vertical
	}
	g.sums = grown(g.sums, blocks*outer)
	if tasks := g.vertical * horizontal; tasks > 1 && runtime.GOMAXPROCS(0) > 1 {
		parallel(tasks, g.body)
	} else {
		for i := range tasks {
			g.task(i)
		}
	}
	return blocks
}

// task computes the sums of a block.
func (g *sgemv) task(i int) {
	row, col := i%g.vertical*g.blockRows, i/g.vertical*g.blockCols
	rows, cols := min(g.blockRows, g.rows-row), min(g.blockCols, g.cols-col)
	if g.a.trans {
		g.columnSums(g.sums[i%g.vertical*g.cols+col:][:cols], row, rows, col)
	} else {
		g.rowSums(g.sums[i/g.vertical*g.rows+row:][:rows], row, col, cols)
	}
}

// columnSums sets sums to those of the columns of a block, each row times its element of x.
func (g *sgemv) columnSums(sums []float32, row, rows, col int) {
	clear(sums)
	cols := len(sums)
	whole := cols / g.k.lanes * g.k.lanes
	for i := 0; i < rows; {
		n := 1
		if rows-i >= axpyRows {
			n = axpyRows
		}
		a := g.a.data[(row+i)*g.a.ld+col:]
		x := g.x[row+i:][:n]
		if whole > 0 {
			g.k.axpyF32(&sums[0], &a[0], 4*g.a.ld, &x[0], whole, n)
		}
		for j := whole; j < cols; j++ {
			for r, x := range x {
				sums[j] += x * a[r*g.a.ld+j]
			}
		}
		i += n
	}
}

// rowSums sets sums to the dots of the rows of a block with their part of x.
func (g *sgemv) rowSums(sums []float32, row, col, cols int) {
	s := getWorkspace()
	defer workspaces.Put(s)
	x := g.x[col:][:cols]
	whole := cols / g.k.lanes * g.k.lanes
	for i := 0; i < len(sums); {
		n, ld := 4, g.a.ld
		if len(sums)-i < n {
			n, ld = 1, 0 // the kernel takes the one row four times
		}
		a := g.a.data[(row+i)*g.a.ld+col:]
		g.k.dotF32(&s.dots[0], &x[0], 0, &a[0], 4*ld, whole, 1)
		for r := range n {
			sum := s.dots[r]
			for k := whole; k < cols; k++ {
				sum += x[k] * a[r*ld+k]
			}
			sums[i+r] = sum
		}
		i += n
	}
}

// errNoKernels is what Sgemm and Sgemv give where they have nothing to run on.
var errNoKernels = fmt.Errorf("sgemm and sgemv: no vector kernels for this machine, or none allowed: %w", backend.ErrUnsupported)

// blasKernels are the kernels of the variant that the machine does the stages' products with, nil if that is plain Go.
var blasKernels = sync.OnceValue(func() *kernels {
	for _, b := range backend.Backends("cpu") {
		if s, ok := b.(simd); ok && s.k.axpyF32 != nil {
			return s.k
		}
	}
	return nil
})
