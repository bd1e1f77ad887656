package cpu

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/gorgonia/moe/ops/backend"
)

// The general product of BLAS on the tiles of the stages' products.
//
// The product is cut into blocks of up to blockRows rows and blockSteps steps of the inner dimension. All workers together copy a
// block's part of a, transposed if need be and multiplied with alpha; it stays in the third level of cache. Tasks, the columns of
// a panel and all rows of the block or, if panels are few, some of them, are what the workers share out next. A task packs its
// columns of b into a panel, which stays in the second level of cache, and multiplies its rows with it, those of one tile after
// the other. No worker waits for another's panel, and panels never go to memory.

const (
	blockRows    = 1024    // of a block at most
	blockSteps   = 1536    // of a block at most: 192 KiB of a panel
	blasTaskRows = 192     // rows of a task at least, if there are as many: b is packed for each
	tasksEach    = 8       // tasks of a worker in a block at least, if they would not be too small
	taskWork     = 1 << 18 // products of a task at least: some microseconds
	asIsCols     = 64      // with up to so many columns a is not worth a copy
	copyRows     = 64      // rows of a that are copied at a time
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
	workers     int

	block    blasBlock
	taskRows int
	asIs     bool       // a is read where it lies
	left     blasMatrix // the block's part of a, as it lies or copied
	copied   []float32

	copyBody, taskBody func(i int)
}

// blasBlock is a block of the product: rows of c, steps of the inner dimension.
type blasBlock struct{ row, rows, from, steps int }

var sgemms sync.Pool

// Sgemm computes c = alpha·op(a)·op(b) + beta·c on the vector kernels of the stages' products. op(a) is (m,k), op(b) (k,n) and c
// (m,n). A matrix has its rows ld elements apart, of which those behind a row's last are neither read nor, in c, written; if transA is
// set a holds the rows of a (k,m) whose transpose op(a) is, and likewise b.
//
// As in BLAS c is overwritten if beta is 0, whatever it holds, and neither a nor b is read if alpha or k is 0. c must not overlap a or
// b. Sums run in float32, with alpha multiplied to a beforehand. A call allocates nothing once its buffers, kept from call to call,
// are large enough; they take up to 6 MiB, and 192 KiB for each worker. The same operands give the same bits, whatever GOMAXPROCS is.
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
		g.copyBody, g.taskBody = g.copyPiece, g.task
	}
	g.k, g.m, g.n, g.depth, g.alpha, g.beta, g.a, g.b, g.c = k, m, n, depth, alpha, beta, a, b, c
	g.run()
	g.a, g.b, g.c, g.left = blasMatrix{}, blasMatrix{}, blasMatrix{}, blasMatrix{}
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
	g.workers = 1
	if float64(g.m)*float64(g.n)*float64(g.depth) >= 2*taskWork {
		g.workers = runtime.GOMAXPROCS(0)
	}
	g.asIs = !g.a.trans && g.alpha == 1 && (g.n <= asIsCols || g.m <= streamRows)
	steps, rows := evenly(g.depth, blockSteps, panelCols), evenly(g.m, blockRows, g.k.rows)
	for from := 0; from < g.depth; from += steps {
		for row := 0; row < g.m; row += rows {
			g.block = blasBlock{row, min(rows, g.m-row), from, min(steps, g.depth-from)}
			g.copyLeft()
			g.multiply()
		}
	}
}

// each calls body for 0 … n−1.
func (g *sgemm) each(n int, body func(i int)) {
	if g.workers > 1 {
		parallel(n, body)
		return
	}
	for i := range n {
		body(i)
	}
}

// multiply computes what the block adds to c.
func (g *sgemm) multiply() {
	b := &g.block
	g.taskRows = b.rows
	if g.workers > 1 {
		aim := max(b.rows*g.n/(tasksEach*g.workers), taskWork/b.steps) / panelCols
		g.taskRows = min(evenly(b.rows, max(aim, blasTaskRows), g.k.rows), b.rows)
	}
	g.each(pieces(b.rows, g.taskRows)*pieces(g.n, panelCols), g.taskBody)
}

// task computes what some rows of the block add to the columns of a panel in c.
func (g *sgemm) task(i int) {
	b, panels := &g.block, pieces(g.n, panelCols)
	row, col := i/panels*g.taskRows, i%panels*panelCols
	rows, cols := min(g.taskRows, b.rows-row), min(panelCols, g.n-col)
	add := 1
	if b.from == 0 && g.beta == 0 {
		add = 0
	} else if b.from == 0 {
		for r := b.row + row; r < b.row+row+rows; r++ {
			scale(g.c.data[r*g.c.ld+col:][:cols], g.beta)
		}
	}
	s := getWorkspace()
	defer workspaces.Put(s)
	s.c = grown(s.c, b.steps*panelCols)
	g.packPanel(s.c, col, cols)
	g.tiles(row, rows, col, cols, s.c, add)
}
