package cpu

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/gorgonia/moe/ops/backend"
)

// The general product of BLAS on the tiles of the stages' products.
//
// The product is cut into blocks of up to blockCols columns, blockDepth steps of the inner dimension and blockRows rows. Of a block b
// is packed into panels and a is copied, transposed if need be and multiplied with alpha, both by all workers together and once for
// as long as the block stays: they then wait in the third level of cache. Tasks, strips of rows by some columns, are what the workers
// share out next. A task goes through the inner dimension in parts, so that a strip's part of a stays in the second level of cache,
// and c too, while part of one panel after the other passes through.
//
// With no more rows than a strip has, each panel is used by one task alone, which packs it for itself.

const (
	partSteps     = 512           // steps of a part at most: 72 rows are 144 KiB, a panel is 64 KiB
	blockDepth    = 3 * partSteps // of a block at most
	blockCols     = 2048          // of a block at most: 12 MiB of panels
	blockRows     = 1024          // of a block at most, give or take a strip: 6 MiB of a
	blasStripRows = 72            // of a strip at most
	blasTaskCols  = 512           // columns of a task at most
	aloneCols     = 128           // columns that a task packs at a time for itself
	asIsCols      = 64            // with up to so many columns a is not worth a copy
	taskWork      = 1 << 18       // products of a task at least: some microseconds
	packRows      = 64            // rows of a that are copied at a time
	packCols      = 256           // columns of b that are packed at a time
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

	asIs     bool // a is read where it lies
	alone    bool // tasks pack panels for themselves
	strip    int  // rows of a strip
	part     int  // steps of a part
	block    blasBlock
	taskCols int

	packedA, packedB   []float32
	ldA                int
	packs              [2]int // pieces of a and b to pack
	packBody, taskBody func(i int)
}

// blasBlock is a block of the product: rows and columns of c, steps of the inner dimension.
type blasBlock struct{ row, rows, col, cols, from, steps int }

var sgemms sync.Pool

// Sgemm computes c = alpha·op(a)·op(b) + beta·c on the vector kernels of the stages' products. op(a) is (m,k), op(b) (k,n) and c
// (m,n). A matrix has its rows ld elements apart, of which those behind a row's last are neither read nor, in c, written; if transA is
// set a holds the rows of a (k,m) whose transpose op(a) is, and likewise b.
//
// As in BLAS c is overwritten if beta is 0, whatever it holds, and neither a nor b is read if alpha or k is 0. c must not overlap a or
// b. Sums run in float32, with alpha multiplied to a beforehand. A call allocates nothing once its buffers, kept from call to call,
// are large enough; they take up to 20 MiB. The same operands give the same bits, whatever GOMAXPROCS is.
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
		g.packBody, g.taskBody = g.packPiece, g.task
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
	pieces := (n + most - 1) / most
	return ((n+pieces-1)/pieces + unit - 1) / unit * unit
}

// run computes the product block by block.
func (g *sgemm) run() {
	g.workers = 1
	if float64(g.m)*float64(g.n)*float64(g.depth) >= 2*taskWork {
		g.workers = runtime.GOMAXPROCS(0)
	}
	g.strip = min(evenly(g.m, blasStripRows, g.k.rows), blasStripRows/g.k.rows*g.k.rows)
	g.alone = g.m <= g.strip
	g.asIs = !g.a.trans && g.alpha == 1 && (g.n <= asIsCols || g.m <= streamRows)
	depth := evenly(g.depth, blockDepth, panelCols)
	cols := evenly(g.n, blockCols, panelCols)
	rows := evenly(g.m, blockRows, g.strip)
	g.part = evenly(min(depth, g.depth), partSteps, panelCols)
	for from := 0; from < g.depth; from += depth {
		for col := 0; col < g.n; col += cols {
			for row := 0; row < g.m; row += rows {
				newA := !g.asIs && (col == 0 || rows < g.m)
				newB := !g.alone && row == 0
				g.block = blasBlock{row, min(rows, g.m-row), col, min(cols, g.n-col), from, min(depth, g.depth-from)}
				g.pack(newA, newB)
				g.multiply()
			}
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
	const tasksEach = 12 // for a worker
	b := &g.block
	strips := (b.rows + g.strip - 1) / g.strip
	aim := max(b.rows*b.cols/(tasksEach*g.workers), taskWork/b.steps)
	g.taskCols = min(max(aim/g.strip/panelCols, 1)*panelCols, blasTaskCols)
	if g.workers == 1 {
		g.taskCols = blasTaskCols
	}
	g.each(strips*((b.cols+g.taskCols-1)/g.taskCols), g.taskBody)
}

// task computes a strip by some columns of the block.
func (g *sgemm) task(i int) {
	b := &g.block
	across := (b.cols + g.taskCols - 1) / g.taskCols
	row, col := i/across*g.strip, i%across*g.taskCols
	rows, cols := min(g.strip, b.rows-row), min(g.taskCols, b.cols-col)
	add := 1
	if b.from == 0 {
		if g.beta == 0 {
			add = 0
		} else if g.beta != 1 {
			for r := range rows {
				scale(g.c.data[(b.row+row+r)*g.c.ld+b.col+col:][:cols], g.beta)
			}
		}
	}
	if g.alone {
		g.aloneTask(row, rows, col, cols, add)
		return
	}
	for from := 0; from < b.steps; from += g.part {
		steps := min(g.part, b.steps-from)
		for j := col; j < col+cols; j += panelCols {
			next := from
			after := j + panelCols
			if after >= col+cols {
				after, next = col, from+g.part
			}
			var ahead []float32
			if next < b.steps {
				ahead = g.packedB[after*b.steps+next*panelCols:][:min(g.part, b.steps-next)*panelCols]
			}
			g.tiles(row, rows, j, min(panelCols, col+cols-j), from, steps, g.packedB[j*b.steps+from*panelCols:][:steps*panelCols], ahead, add)
		}
		add = 1
	}
}

// aloneTask is a task whose panels no other task needs.
func (g *sgemm) aloneTask(row, rows, col, cols, add int) {
	b := &g.block
	s := getWorkspace()
	defer workspaces.Put(s)
	s.c = grown(s.c, g.part*aloneCols)
	for from := 0; from < b.steps; from += g.part {
		steps := min(g.part, b.steps-from)
		for j := col; j < col+cols; j += aloneCols {
			here := min(aloneCols, col+cols-j)
			g.packPanels(s.c, steps, b.col+j, here, b.from+from, steps)
			for p := 0; p < here; p += panelCols {
				g.tiles(row, rows, j+p, min(panelCols, here-p), from, steps, s.c[p*steps:][:steps*panelCols], nil, add)
			}
		}
		add = 1
	}
}
