package cpu

import (
	"runtime"
	"sync"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// The product out = x · wᵀ on tiles of a few rows of x by a panel of w.
//
// A task is a strip of rows of x by some columns of out; tasks are what the workers share out. Within a task the inner
// dimension is cut into lengths of blockWords: the strip's part of x, copied to a buffer whose rows do not fall on each other
// in the cache, stays in the second level of cache, a panel's part passes through the first as the tiles of the strip, all of
// about equal height, are multiplied with it. While they are, the next panel is prefetched.
//
// With a few rows all time goes into reading w once: each panel is read from its beginning to its end, and x as it lies. A weight
// that is not packed is read as it lies by a kernel of dots for up to dotStrip rows; for more, parts of it are packed as they come
// into play.
//
// bfloat16 weights meet float32 by widening: as they are loaded if a strip has few tiles, once for the strip if it has more.
//
// An element of out is the sum, in ascending order, of the sums over each length, again in ascending order, with one rounding for
// each product: the same for all variants and whatever other rows there are. It is not so for a weight that is not packed and up
// to dotStrip rows, whose sums run side by side in the elements of a vector.

const (
	blockWords = 384 // 32-bit elements of a row of x at a time: 14 rows are 21 KiB, a panel is 48 KiB
	padWords   = 16  // between the rows of the buffer, so that their distance is an odd number of cache lines
	streamRows = 4   // strips of up to so many rows read a panel from its beginning to its end
	dotStrip   = 16  // strips of up to so many rows read an unpacked weight as it lies
	stripTiles = 10  // tiles of a strip at most
	cColumns   = 512 // columns of a task at most if its sums need a buffer
	widenTiles = 3   // strips of so many tiles or more widen a panel once
)

// gemm is a product in the course of being computed. It is kept for the next one, with its memory.
type gemm struct {
	k       *kernels
	rows    int // of x and out
	x, out  []byte
	xIsBF16 bool
	outBF16 bool
	w       source

	tasks []task
	body  func(i int)
}

// task is a strip of rows of x by some columns of out, all of matrix e of w; e is padding for rows of zeros.
type task struct{ row, rows, e, col, cols int }

var gemms sync.Pool

func getGEMM(k *kernels) *gemm {
	g, ok := gemms.Get().(*gemm)
	if !ok {
		g = &gemm{}
		g.body = func(i int) { g.compute(g.tasks[i]) }
	}
	g.k = k
	return g
}

// put keeps g for later, without the operands.
func (g *gemm) put() {
	clear(g.w.blocks)
	g.x, g.out, g.w.packed = nil, nil, nil
	g.tasks = g.tasks[:0]
	gemms.Put(g)
}

// operands sets the operands and tells whether they are such as g can multiply.
func (g *gemm) operands(out, x, w backend.Value) bool {
	if out == nil || x == nil || w == nil || !g.w.set(w) && !g.w.setCoded(g.k, w) {
		return false
	}
	var ok bool
	if g.rows, g.x, g.xIsBF16, ok = matrixBytes(x, g.w.d); !ok {
		return false
	}
	rows, data, narrow, ok := matrixBytes(out, g.w.n)
	g.out, g.outBF16 = data, narrow
	return ok && rows == g.rows
}

// matrixBytes is the memory of a contiguous matrix of the given width, float32 or bfloat16.
func matrixBytes(v backend.Value, width int) (rows int, data []byte, bf16, ok bool) {
	d, isDense := v.(*tensor.Dense)
	if !isDense || d == nil || d.Dtype() != tensor.Float32 && d.Dtype() != backend.BFloat16 {
		return 0, nil, false, false
	}
	shape := d.Shape()
	if len(shape) != 2 || shape[1] != width || backend.Elements(shape) == 0 {
		return 0, nil, false, false
	}
	data, err := backend.Bytes(d)
	return shape[0], data, d.Dtype() == backend.BFloat16, err == nil
}

// cutPlan makes tasks of a plan's segments. It tells whether the plan fits the operands.
func (g *gemm) cutPlan(p *backend.Plan) bool {
	if p.Rows != g.rows || p.Offsets == nil || p.Counts == nil {
		return false
	}
	offsets, err := backend.Slice[int32](p.Offsets)
	if err != nil || len(offsets) != g.w.matrices+1 {
		return false
	}
	counts, err := backend.Slice[int32](p.Counts)
	if err != nil || len(counts) != g.w.matrices {
		return false
	}
	end := 0
	for e, count := range counts {
		lo, hi := int(offsets[e]), int(offsets[e])+int(count)
		if lo < end || hi < lo || hi > int(offsets[e+1]) || hi > p.Rows {
			return false
		}
		g.cut(end, lo, padding)
		g.cut(lo, hi, e)
		end = hi
	}
	g.cut(end, p.Rows, padding)
	return true
}

// cut adds the rows [from,to) as strips of about equal height that have all columns.
func (g *gemm) cut(from, to, e int) {
	n := to - from
	strips := (n + stripTiles*g.k.rows - 1) / (stripTiles * g.k.rows)
	for i := range strips {
		lo, hi := from+i*n/strips, from+(i+1)*n/strips
		g.tasks = append(g.tasks, task{lo, hi - lo, e, 0, g.w.n})
	}
}

// run cuts the strips into columns and computes all.
func (g *gemm) run() {
	g.divide()
	parallel(len(g.tasks), g.body)
}

// divide cuts each strip into columns, so that there are some tasks for each worker and all take about as long.
func (g *gemm) divide() {
	const (
		each  = 12     // tasks for a worker
		least = 1 << 9 // of their weight: below, handing out costs more than it gains
	)
	total := 0
	for _, t := range g.tasks {
		total += weight(t)
	}
	aim := max(total/(each*runtime.GOMAXPROCS(0)), least<<10/g.w.d)
	for i := range len(g.tasks) {
		t := g.tasks[i]
		cols := (aim*t.cols/weight(t) + panelCols - 1) / panelCols * panelCols
		if g.outBF16 {
			cols = min(cols, cColumns)
		}
		g.tasks[i].cols = min(cols, t.cols)
		for col := cols; col < t.cols; col += cols {
			g.tasks = append(g.tasks, task{t.row, t.rows, t.e, col, min(cols, t.cols-col)})
		}
	}
}

// weight is how long a task takes, in columns of a row. What reads w takes as long as some rows at least.
func weight(t task) int {
	const reading = 8
	if t.e == padding {
		return max(t.rows*t.cols/64, 1)
	}
	return max(t.rows, reading) * t.cols
}
