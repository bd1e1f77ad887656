package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// The product out = x · wᵀ on tiles of a few rows of x by a panel of w.
//
// A task is a strip of rows of x by some columns of out; tasks are what the workers share out. Within a task the inner
// dimension is cut into lengths of partSteps: the strip's part of x and a panel's part stay in the second level of cache, or the
// third, as the tiles of the strip, all of about equal height, are multiplied with it. While they are, the next
// panel's part, or the first of the task that follows, is prefetched into the second level, evenly spread over the tiles and at
// several places at once. Before that all strips are copied, part by part and, if they have many rows, tile by tile, so that a tile
// reads x in one stream.
//
// With a few rows all time goes into reading w once: each panel is read from its beginning to its end, and x as it lies. Kernels
// for few rows, at the levels that have them, read several panels at once, so that the hardware has several streams to fetch ahead
// in; whether they prefetch besides is what was measured to be faster. A weight that is not packed is read as it lies by a kernel of
// dots for up to dotStrip rows; for more, parts of it are packed as they come into play.
//
// bfloat16 weights meet float32 by widening as they are loaded. Where no such kernel reads rows of x side by side, a strip of many
// rows widens each part of a panel once instead.
//
// An element of out is the sum, in ascending order, of the sums over each length, again in ascending order, with one rounding for
// each product: the same for all variants and whatever other rows there are. It is not so for a weight that is not packed and up
// to dotStrip rows, whose sums run side by side in the elements of a vector. Matrix units have an order of their own, which does not
// depend on other rows either.

const (
	partSteps = 768 // steps of a panel at a time: 96 KiB; 6 rows of x are 18 KiB, 36 where a step is two elements
	padWords  = 16  // between the rows of a copy, so that their distance is an odd number of cache lines
	dotStrip  = 16  // strips of up to so many rows read an unpacked weight as it lies
	stripRows = 128 // rows of a strip at most, but for what makes the last tile whole: with partSteps 384 or 768 KiB
	taskCols  = 512 // columns of w of a task at most
	widenRows = 64  // strips of so many rows or more widen a part once, without a kernel for such copies

	copyWords = 1 << 24 // of the copies of strips at a time, but for one strip that alone has more
)

// gemm is a product in the course of being computed. It is kept for the next one, with its memory.
type gemm struct {
	k       *kernels
	rows    int // of out, and of x if it is not gathered
	n       int // columns of out
	x, out  []byte
	xIsBF16 bool
	outBF16 bool
	w       source

	// rowSlot, if it is not nil, gathers x: row r of the product is that of row rowSlot[r]/slots of x.
	rowSlot []int32
	slots   int
	// gated says that w has the rows of gates above as many of ups, and out is silu of the ones times the others. then, if it is not
	// nil, is the product whose x that is: where it has copies of strips, they are what is written, and not out.
	gated  bool
	then   *gemm
	filled bool // the copies of strips are there already

	strips []placedStrip
	tasks  []task
	body   func(i int)
	begun  atomic.Int64 // tasks that a worker has begun

	// rounded are the rows of x that are rounded for a weight in blocks, places where each row is among them (blocks_rounded.go).
	rounded   []uint32
	places    []int32
	roundBody func(lo, hi int)

	copied   []uint32 // the copies of strips
	parts    []stripPart
	copyBody func(i int)
}

// placedStrip is a strip and where its copy begins, and that of the same rows in the product that comes then.
type placedStrip struct {
	strip
	at, then int
}

// task is a strip by some columns of out.
type task struct {
	placedStrip
	col, cols int
}

var gemms sync.Pool

func getGEMM(k *kernels) *gemm {
	g, ok := gemms.Get().(*gemm)
	if !ok {
		g = &gemm{}
		g.body = func(i int) {
			g.begun.Add(1)
			g.compute(g.tasks[i])
		}
		g.roundBody = g.roundRows
		g.copyBody = func(i int) { g.copyPart(g.parts[i]) }
	}
	g.k = k
	return g
}

// put keeps g for later, without the operands.
func (g *gemm) put() {
	clear(g.w.blocks)
	g.x, g.out, g.w.packed = nil, nil, nil
	g.rowSlot, g.gated, g.then, g.filled = nil, false, nil, false
	g.strips, g.tasks, g.parts = g.strips[:0], g.tasks[:0], g.parts[:0]
	gemms.Put(g)
}

// operands sets the operands and tells whether they are such as g can multiply.
func (g *gemm) operands(out, x, w backend.Value) bool {
	if out == nil || x == nil || !g.setWeight(w) {
		return false
	}
	var ok bool
	if g.rows, g.x, g.xIsBF16, ok = matrixBytes(x, g.w.d); !ok {
		return false
	}
	rows, data, narrow, ok := matrixBytes(out, g.w.n)
	g.out, g.outBF16, g.n = data, narrow, g.w.n
	g.choosePairs()
	return ok && rows == g.rows
}

// choosePairs takes the kernels for bfloat16 by bfloat16 if that is what g multiplies.
func (g *gemm) choosePairs() {
	if g.xIsBF16 && g.w.size == 2 {
		g.k = g.k.forPairs()
	}
}

// setWeight sets w and tells whether it is one that g can multiply with.
func (g *gemm) setWeight(w backend.Value) bool {
	return w != nil && (g.w.set(w) || g.w.setCoded(g.k, w))
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

// segments are the rows of each expert, from firsts[e] on counts[e] of them. ok tells whether they are as many as w has matrices,
// in order and within the plan's rows.
func (g *gemm) segments(p *backend.Plan) (firsts, counts []int32, ok bool) {
	if p.Rows != g.rows || p.Offsets == nil || p.Counts == nil {
		return nil, nil, false
	}
	firsts, err := backend.Slice[int32](p.Offsets)
	if err != nil || len(firsts) != g.w.matrices+1 {
		return nil, nil, false
	}
	counts, err = backend.Slice[int32](p.Counts)
	if err != nil || len(counts) != g.w.matrices {
		return nil, nil, false
	}
	end := 0
	for e, count := range counts {
		lo, hi := int(firsts[e]), int(firsts[e])+int(count)
		if lo < end || hi < lo || hi > int(firsts[e+1]) || hi > p.Rows {
			return nil, nil, false
		}
		end = hi
	}
	return firsts, counts, true
}

// cutPlan makes strips of a plan's segments and of what lies between them. It tells whether the plan fits the operands.
func (g *gemm) cutPlan(p *backend.Plan) bool {
	firsts, counts, ok := g.segments(p)
	end := 0
	for e, count := range counts {
		first := int(firsts[e])
		g.cut(end, first, padding)
		end = first + int(count)
		g.cut(first, end, e)
	}
	g.cut(end, g.rows, padding)
	return ok
}

// cut adds the rows [from,to) as strips of about as many tiles, all but the last of the greatest height.
func (g *gemm) cut(from, to, e int) {
	tiles := pieces(to-from, g.k.rows)
	strips := pieces(to-from, stripRows)
	for i := range strips {
		lo := from + i*tiles/strips*g.k.rows
		hi := min(from+(i+1)*tiles/strips*g.k.rows, to)
		g.strips = append(g.strips, placedStrip{strip: strip{lo, hi - lo, e}})
	}
}

// run cuts the strips into tasks and computes all, for as many strips at a time as can be copied.
func (g *gemm) run() {
	g.roundStrips()
	for from := 0; from < len(g.strips); {
		n := g.place(from)
		g.prepare(g.strips[from:][:n])
		parallel(len(g.tasks), g.body)
		from += n
	}
}

// prepare cuts strips that have their places into tasks, and copies them.
func (g *gemm) prepare(strips []placedStrip) {
	g.tasks, g.parts = g.tasks[:0], g.parts[:0]
	g.divide(strips)
	if !g.filled {
		parallel(len(g.parts), g.copyBody)
	}
	g.begun.Store(0)
}

// divide cuts strips into columns, so that there are some tasks for each worker and all take about as long. The strips of a matrix
// take turns, so that its columns are still in a cache for the next strip.
func (g *gemm) divide(strips []placedStrip) {
	const (
		each  = 12     // tasks for a worker
		least = 1 << 9 // of their weight: below, handing out costs more than it gains
	)
	total := 0
	for _, s := range strips {
		g.cutParts(s)
		total += g.weight(s.strip) * g.n / unit
	}
	aim := max(total/(each*runtime.GOMAXPROCS(0)), least<<10/g.w.d)
	most := taskCols
	if g.gated {
		most /= 2
	}
	for len(strips) > 0 {
		same := 1
		for same < len(strips) && strips[same].matrix == strips[0].matrix {
			same++
		}
		cols := min(pieces(aim*unit/g.weight(strips[0].strip), panelCols)*panelCols, most)
		if kernel, atOnce := g.few(strips[0].strip); kernel != nil && cols > atOnce {
			cols = cols / atOnce * atOnce
		}
		for col := 0; col < g.n; col += cols {
			for _, s := range strips[:same] {
				g.tasks = append(g.tasks, task{s, col, min(cols, g.n-col)})
			}
		}
		strips = strips[same:]
	}
}

// unit is the weight of a row.
const unit = 64

// weight is how long a column of a strip takes. What reads w takes as long as some rows at least.
func (g *gemm) weight(s strip) int {
	if s.matrix == padding {
		return s.rows
	}
	return unit * max(s.rows, g.k.reading)
}
