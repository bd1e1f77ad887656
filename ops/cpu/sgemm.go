package cpu

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/gorgonia/moe/ops/backend"
)

// The general product of BLAS.
//
// The product is cut into blocks of up to blockRows rows and blockSteps steps of the inner dimension, which come one after the
// other. A block's part of a is copied as tiles read it, transposed if need be and multiplied with alpha; it stays in the third
// level of cache. Its part of b is cut into panels as wide as a tile. A worker packs a panel for itself, which stays in the second
// level of cache, and multiplies the strips of a, some tiles each, with it. Whoever comes to a strip first copies it; workers begin
// at different ones, so that nobody waits and no memory is read while nobody multiplies.
//
// While a worker multiplies a panel it packs its next, a part after each strip, which the strip's tiles have prefetched line by line:
// in bursts the tiles would wait for them. A worker that finds no panel left multiplies strips with those of others, so that all end
// together.

const (
	blockRows  = 1024    // of a block at most
	blockSteps = 1536    // of a block at most
	copyRows   = 48      // of a strip at least
	taskWork   = 1 << 18 // products of a strip at least: some microseconds
)

// blasMatrix is a matrix of float32 whose rows are ld elements apart, or the transpose of one.
type blasMatrix struct {
	data  []float32
	ld    int
	trans bool
}

// sgemm is a product in the course of being computed. It is kept for the next one, with its memory.
type sgemm struct {
	k           *kernels
	m, n, depth int
	alpha, beta float32
	a, b, c     blasMatrix

	block   blasBlock
	tiles   int // of the block's rows
	panels  int
	taken   atomic.Int64 // panels that workers have taken
	workers []blasWorker
	body    func(w int)

	copied     []float32 // the block's part of a
	ld         int       // elements of its rows
	strips     []blasStrip
	stripTiles int
}

// blasBlock is a block of the product: rows of c, steps of the inner dimension.
type blasBlock struct{ row, rows, from, steps int }

var sgemms sync.Pool

// Sgemm computes c = alpha·op(a)·op(b) + beta·c on the vector kernels of the stages' products. op(a) is (m,k), op(b) (k,n) and c
// (m,n). A matrix has its rows ld elements apart, of which those behind a row's last are neither read nor, in c, written; if transA is
// set a holds the rows of a (k,m) whose transpose op(a) is, and likewise b.
//
// As in BLAS c is overwritten if beta is 0, whatever it holds, and neither a nor b is read if alpha or k is 0. c must not overlap a or
// b. Sums run in float32, with alpha multiplied to a beforehand or, where c is one row or one column, to the sums. A call allocates
// nothing once its buffers, kept from call to call, are large enough; they take some 6 MiB at most, and 384 KiB for each worker. The same
// operands give the same bits, whatever GOMAXPROCS is.
//
// Where there are no vector kernels, or MOE_CPU=go forbids them, the error wraps backend.ErrUnsupported. If a size is negative, a
// leading dimension less than a row, or a slice too short, it wraps backend.ErrShape. c is then as it was.
func Sgemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, c []float32, ldc int) error {
	kernels := blasKernels()
	if kernels == nil {
		return errNoKernels
	}
	if m < 0 || n < 0 || k < 0 {
		return fmt.Errorf("sgemm: got m=%d, n=%d, k=%d, want none below 0: %w", m, n, k, backend.ErrShape)
	}
	for _, o := range []struct {
		name       string
		rows, cols int
		blasMatrix
	}{{"a", m, k, blasMatrix{a, lda, transA}}, {"b", k, n, blasMatrix{b, ldb, transB}}, {"c", m, n, blasMatrix{c, ldc, false}}} {
		if !o.fits(o.rows, o.cols, m == 0 || n == 0) {
			return fmt.Errorf("sgemm: matrix %s, (%d,%d), transposed in memory: %v, does not fit %d elements with rows %d apart: %w",
				o.name, o.rows, o.cols, o.trans, len(o.data), o.ld, backend.ErrShape)
		}
	}
	sgemmOn(kernels, m, n, k, alpha, blasMatrix{a, lda, transA}, blasMatrix{b, ldb, transB}, beta, blasMatrix{c, ldc, false})
	return nil
}

// fits tells whether m can be a matrix, op(m), of some rows and columns, none of them negative. The data of a matrix that nobody
// looks at may be short.
func (m blasMatrix) fits(rows, cols int, unseen bool) bool {
	if m.trans {
		rows, cols = cols, rows
	}
	if m.ld < max(1, cols) {
		return false
	}
	return unseen || rows == 0 || cols <= len(m.data) && rows-1 <= (len(m.data)-cols)/m.ld
}

// t is the transpose of m.
func (m blasMatrix) t() blasMatrix { return blasMatrix{m.data, m.ld, !m.trans} }

// step is the distance between the elements of a row of op(m).
func (m blasMatrix) step() int {
	if m.trans {
		return m.ld
	}
	return 1
}

// index is where the element (i,j) of op(m) is.
func (m blasMatrix) index(i, j int) int {
	if m.trans {
		i, j = j, i
	}
	return i*m.ld + j
}

// sgemmOn is Sgemm with operands that fit.
func sgemmOn(k *kernels, m, n, depth int, alpha float32, a, b blasMatrix, beta float32, c blasMatrix) {
	switch {
	case m == 0 || n == 0:
		return
	case alpha == 0 || depth == 0:
		for i := range m {
			scale(c.data[i*c.ld:][:n], beta)
		}
		return
	case m == 1:
		sgemvOn(k, n, depth, alpha, b.t(), a.data, a.step(), beta, c.data, 1)
		return
	case n == 1:
		sgemvOn(k, m, depth, alpha, a, b.data, b.t().step(), beta, c.data, c.ld)
		return
	}
	g, ok := sgemms.Get().(*sgemm)
	if !ok {
		g = &sgemm{}
		g.body = g.work
	}
	g.k, g.m, g.n, g.depth, g.alpha, g.beta, g.a, g.b, g.c = k, m, n, depth, alpha, beta, a, b, c
	g.run()
	g.a, g.b, g.c = blasMatrix{}, blasMatrix{}, blasMatrix{}
	sgemms.Put(g)
}

// scale multiplies x with beta, which makes 0 of anything if it is 0.
func scale(x []float32, beta float32) {
	switch beta {
	case 0:
		clear(x)
	case 1:
	default:
		for i := range x {
			x[i] *= beta
		}
	}
}

// evenly is the size of pieces of n, of about equal size, multiples of unit and at most most but for what that rounds up.
func evenly(n, most, unit int) int {
	return pieces(pieces(n, pieces(n, most)), unit) * unit
}

// run computes the product block by block.
func (g *sgemm) run() {
	t := g.k.blas
	g.panels = pieces(g.n, t.cols)
	steps, rows := evenly(g.depth, blockSteps, panelCols), evenly(g.m, blockRows, t.rows)
	g.stripTiles = pieces(max(copyRows, taskWork/(steps*t.cols)), t.rows)
	g.employ(steps)
	for from := 0; from < g.depth; from += steps {
		for row := 0; row < g.m; row += rows {
			g.block = blasBlock{row, min(rows, g.m-row), from, min(steps, g.depth-from)}
			g.newCopies()
			g.taken.Store(0)
			if len(g.workers) == 1 {
				g.work(0)
			} else {
				parallel(len(g.workers), g.body)
			}
		}
	}
}

// employ sets how many workers there are, with panels of up to some steps.
func (g *sgemm) employ(steps int) {
	work := float64(g.m) * float64(g.n) * float64(g.depth) / taskWork
	n := 1
	if most := runtime.GOMAXPROCS(0); most > 1 {
		n = int(min(max(work, 1), float64(most)))
	}
	if cap(g.workers) < n {
		g.workers = make([]blasWorker, n)
	}
	g.workers = g.workers[:n]
	for i := range g.workers {
		w := &g.workers[i]
		w.next = none
		for j, p := range w.buffers {
			w.buffers[j] = grown(p, steps*g.k.blas.cols)
		}
	}
}
