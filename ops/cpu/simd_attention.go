package cpu

import (
	"math"
	"runtime"
	"unsafe"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Attention over a cache, each of whose rows is read once for all query heads that share it and for several tokens.
//
// The positions are cut into chunks of chunkPositions, at multiples of that. A chunk gives each head the greatest of its scores, the
// sum of the exponentials relative to that and the mix of values by them; chunks are merged in ascending order. A task is a few
// tokens by some heads of the cache by all chunks or, where there are few tokens, by one chunk: the parts of chunks are then kept and
// merged afterwards. Both ways do the same arithmetic, so a row of the result depends on nothing but its query, position and window.
//
// With few tokens a task takes all heads of the cache, a block of positions after the other, so that it reads the cache in order.
// With many it takes one head, whose blocks stay in the first level of cache while the tokens pass by.

const (
	chunkPositions = 256
	blockPositions = 16
	attendTokens   = 8 // tokens of a task at most
	orderedTokens  = 3 // up to so many tokens read the cache in order
)

// Attention implements backend.Attention for q and out of float32 or bfloat16, in any mixture, and a cache of one of them, with
// heads whose width is a multiple of the vectors', or of two in bfloat16. Products and sums run in float32, fused where plain Go
// rounds twice.
func (s simd) Attention(out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) error {
	v := s.k.vectors
	if v != nil && c != nil && window >= 0 &&
		(attendRows(s.k, &v.f32, out, q, c, positions, window) || attendRows(s.k, &v.bf16, out, q, c, positions, window)) {
		return nil
	}
	return s.rowsUnsupported("attention")
}

func attendRows[E row](k *kernels, rows *rowKernels[E], out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) bool {
	l := getLoop[attending[E]]()
	defer l.free()
	a := &l.s
	a.v, a.k, a.rowKernels = k.vectors, k, rows
	if !a.operands(out, q, c, positions, window) {
		return false
	}
	a.cut()
	if a.chunkParts == 1 {
		l.run(a.tasks(), 1)
		return true
	}
	parts := getScratch[float32](a.tokens * a.heads * a.chunkParts * (a.d + 2))
	defer putScratch(parts)
	a.parts = *parts
	l.run(a.tasks(), 1)
	merge := getLoop[merging[E]]()
	defer merge.free()
	merge.s.attending = a
	merge.run(a.tokens*a.heads, max(1, 1<<14/(a.chunkParts*a.d)))
	return true
}

type attending[E row] struct {
	v *vectors
	k *kernels
	*rowKernels[E]

	q, out       vectorRows
	keys, values []E
	positions    []int32

	tokens, heads, kvHeads, perGroup, d, window int
	scale                                       float32
	split                                       bool // the kernels have queries and sums in split order

	// Tasks are tokenParts·headParts·chunkParts; chunks begin with firstChunk.
	tokenParts, headParts, chunkParts, firstChunk, chunks int

	parts []float32 // (T, heads, chunkParts, 2+D): greatest score, sum, mix; only if chunkParts > 1
}

// vectorRows are rows of float32 or bfloat16, of which one is nil.
type vectorRows struct {
	f32  []float32
	bf16 []uint16
}

func (r *vectorRows) set(v backend.Value, rows, width int) bool {
	var wide, narrow bool
	if r.f32, wide = bitsOf[float32](v, rows, width); !wide {
		r.bf16, narrow = bitsOf[uint16](v, rows, width)
	}
	return wide || narrow
}

func (a *attending[E]) operands(out, q backend.Value, c *backend.KVCache, positions backend.Value, window int) bool {
	d, ok := q.(*tensor.Dense)
	if !ok || d == nil || len(d.Shape()) != 2 || c.KVHeads < 1 || c.HeadDim < 1 || c.HeadDim%a.v.lanes != 0 {
		return false
	}
	var e E
	a.split = unsafe.Sizeof(e) == 2
	if a.split && c.HeadDim%a.v.step != 0 {
		return false
	}
	tokens, width := d.Shape()[0], d.Shape()[1]
	if width%(c.KVHeads*c.HeadDim) != 0 || !a.q.set(q, tokens, width) || !a.out.set(out, tokens, width) {
		return false
	}
	var okKeys, okValues bool
	a.keys, okKeys = bitsOf[E](c.Keys, c.Capacity, c.KVHeads*c.HeadDim)
	a.values, okValues = bitsOf[E](c.Values, c.Capacity, c.KVHeads*c.HeadDim)
	if !okKeys || !okValues {
		return false
	}
	var err error
	if a.positions, err = indicesOf("attention", "positions", positions, tokens, c.Capacity); err != nil {
		return false
	}
	a.tokens, a.heads, a.kvHeads, a.d, a.window = tokens, width/c.HeadDim, c.KVHeads, c.HeadDim, window
	a.perGroup = a.heads / a.kvHeads
	a.scale = float32(1 / math.Sqrt(float64(a.d)))
	return true
}

// seen is the positions [from,to) that a token attends to.
func (a *attending[E]) seen(t int) (from, to int) {
	to = int(a.positions[t]) + 1
	if a.window > 0 {
		from = max(0, to-a.window)
	}
	return from, to
}

// cut chooses the parts, so that there are some tasks for each worker.
func (a *attending[E]) cut() {
	const each = 4
	a.firstChunk, a.chunks = math.MaxInt, 0
	for t := range a.tokens {
		from, to := a.seen(t)
		a.firstChunk = min(a.firstChunk, from/chunkPositions)
		a.chunks = max(a.chunks, pieces(to, chunkPositions))
	}
	workers := runtime.GOMAXPROCS(0)
	a.tokenParts = pieces(a.tokens, attendTokens)
	a.headParts, a.chunkParts = 1, 1
	if a.tokens > orderedTokens {
		a.headParts = a.kvHeads
	}
	if workers > 1 && a.tasks() < each*workers {
		a.chunkParts = a.chunks - a.firstChunk
	}
	if a.tasks() < 2*workers {
		a.headParts = a.kvHeads
	}
}

func (a *attending[E]) tasks() int { return a.tokenParts * a.headParts * a.chunkParts }

// attendTask is some tokens by some heads of the cache, with the memory for their rows: one for each token and query head.
type attendTask struct {
	*vectorWork
	t0, t1, g0, g1 int
}

func (a *attending[E]) span(lo, hi int) {
	work := vectorWorks.Get().(*vectorWork)
	defer vectorWorks.Put(work)
	for i := lo; i < hi; i++ {
		part, chunk := i/a.chunkParts, i%a.chunkParts
		tokens, heads := part/a.headParts, part%a.headParts
		t := attendTask{
			vectorWork: work,
			t0:         tokens * a.tokens / a.tokenParts, t1: (tokens + 1) * a.tokens / a.tokenParts,
			g0: heads * a.kvHeads / a.headParts, g1: (heads + 1) * a.kvHeads / a.headParts,
		}
		a.begin(&t)
		if a.chunkParts > 1 {
			a.chunk(&t, a.firstChunk+chunk)
			a.keep(&t, chunk)
			continue
		}
		for c := a.firstChunk; c < a.chunks; c++ {
			a.chunk(&t, c)
			a.mergeChunk(&t, c)
		}
		a.finish(&t)
	}
}

// row is the row of a task's memory for token t and the first query head of head g of the cache.
func (a *attending[E]) row(t *attendTask, token, g int) int {
	return ((token-t.t0)*(t.g1-t.g0) + g - t.g0) * a.perGroup
}

func (a *attending[E]) begin(t *attendTask) {
	rows := (t.t1 - t.t0) * (t.g1 - t.g0) * a.perGroup
	t.scores = grown(t.scores, rows*chunkPositions)
	t.mixed, t.sums = grown(t.mixed, rows*a.d), grown(t.sums, rows*a.d)
	t.most, t.totals = grown(t.most, 2*rows), grown(t.totals, 2*rows)
	if !a.copiesQuery() {
		return
	}
	n := (t.g1 - t.g0) * a.perGroup * a.d
	t.q, t.ordered = grown(t.q, rows*a.d), grown(t.ordered, n)
	for token := t.t0; token < t.t1; token++ {
		to, at := t.q[(token-t.t0)*n:][:n], (token*a.heads+t.g0*a.perGroup)*a.d
		switch {
		case a.q.f32 != nil:
			a.v.toSplit(to, a.q.f32[at:at+n])
		case a.split:
			widenRow(a.k, t.ordered, a.q.bf16[at:at+n])
			a.v.toSplit(to, t.ordered)
		default:
			widenRow(a.k, to, a.q.bf16[at:at+n])
		}
	}
}

// copiesQuery tells whether the kernels have queries otherwise than they are given.
func (a *attending[E]) copiesQuery() bool { return a.split || a.q.f32 == nil }

// query is where the query of token t and the first query head of head g begins.
func (a *attending[E]) query(t *attendTask, token, g int) []float32 {
	if !a.copiesQuery() {
		return a.q.f32[(token*a.heads+g*a.perGroup)*a.d:]
	}
	return t.q[a.row(t, token, g)*a.d:]
}

// within is what a token sees of a chunk, relative to its beginning.
func (a *attending[E]) within(token, chunk int) (lo, hi int) {
	from, to := a.seen(token)
	return max(from-chunk*chunkPositions, 0), min(to-chunk*chunkPositions, chunkPositions)
}

// chunk computes the greatest score, sum and mix of each row for a chunk.
func (a *attending[E]) chunk(t *attendTask, chunk int) {
	for block := 0; block < chunkPositions; block += blockPositions {
		for g := t.g0; g < t.g1; g++ {
			for token := t.t0; token < t.t1; token++ {
				a.blockScores(t, chunk, block, g, token)
			}
		}
	}
	rows := 0
	for token := t.t0; token < t.t1; token++ {
		lo, hi := a.within(token, chunk)
		for range (t.g1 - t.g0) * a.perGroup {
			t.most[2*rows], t.totals[2*rows] = a.softmax(t.vectorWork, t.scores[rows*chunkPositions:][:chunkPositions], lo, hi)
			rows++
		}
	}
	clear(t.mixed)
	for block := 0; block < chunkPositions; block += blockPositions {
		for g := t.g0; g < t.g1; g++ {
			for token := t.t0; token < t.t1; token++ {
				a.blockMix(t, chunk, block, g, token)
			}
		}
	}
}

// blockScores computes the scores of a token and the query heads of head g for a block of positions.
func (a *attending[E]) blockScores(t *attendTask, chunk, block, g, token int) {
	const group = 4 // positions of the kernel
	lo, hi := a.within(token, chunk)
	from, to := max(lo, block), min(hi, block+blockPositions)
	if from >= to {
		return
	}
	row, q, ld := a.row(t, token, g), a.query(t, token, g), a.kvHeads*a.d
	size := int(unsafe.Sizeof(a.keys[0]))
	keys := a.keys[chunk*chunkPositions*ld+g*a.d:]
	ahead := a.ahead(t, g, token) * size
	for h := 0; h < a.perGroup; h += a.v.heads {
		heads := min(a.v.heads, a.perGroup-h)
		scores := t.scores[(row+h)*chunkPositions:]
		rest := from
		if whole := (to - from) / group * group; whole > 0 {
			a.scores(&scores[from], 4*chunkPositions, &q[h*a.d], 4*a.d, &keys[from*ld], ld*size, a.d, whole, heads, ahead)
			rest += whole
		}
		ahead = 0
		if rest < to && to-lo >= group { // the last ones once more
			a.scores(&scores[to-group], 4*chunkPositions, &q[h*a.d], 4*a.d, &keys[(to-group)*ld], ld*size, a.d, group, heads, 0)
			continue
		}
		for ; rest < to; rest++ { // one position in the place of four
			a.scores(&t.dots[0], 4*group, &q[h*a.d], 4*a.d, &keys[rest*ld], 0, a.d, group, heads, 0)
			for i := range heads {
				scores[i*chunkPositions+rest] = t.dots[i*group]
			}
		}
	}
}

// ahead is how far behind a block of a head of the cache the next one lies that the task reads, in elements; 0 for tokens that find
// it in the cache.
func (a *attending[E]) ahead(t *attendTask, g, token int) int {
	if token > t.t0 {
		return 0
	}
	if g+1 < t.g1 {
		return a.d
	}
	return blockPositions*a.kvHeads*a.d - (g-t.g0)*a.d
}

// softmax turns the scores [lo,hi) of a row into weights and gives the greatest score and the sum of the weights.
func (a *attending[E]) softmax(work *vectorWork, scores []float32, lo, hi int) (most, total float32) {
	if lo >= hi {
		return -math.MaxFloat32, 0
	}
	from := lo / a.v.lanes * a.v.lanes
	to := pieces(hi, a.v.lanes) * a.v.lanes
	for i := from; i < lo; i++ {
		scores[i] = float32(math.Inf(-1))
	}
	for i := hi; i < to; i++ {
		scores[i] = float32(math.Inf(-1))
	}
	most = a.v.softmax(&scores[from], to-from, a.scale, &work.total)
	return most, work.total
}

// blockMix adds the values of a block of positions, by their weights, to the mixes of a token and the query heads of head g.
func (a *attending[E]) blockMix(t *attendTask, chunk, block, g, token int) {
	lo, hi := a.within(token, chunk)
	from, to := max(lo, block), min(hi, block+blockPositions)
	if from >= to {
		return
	}
	row, ld := a.row(t, token, g), a.kvHeads*a.d
	size := int(unsafe.Sizeof(a.values[0]))
	values := &a.values[(chunk*chunkPositions+from)*ld+g*a.d]
	ahead := a.ahead(t, g, token) * size
	for h := 0; h < a.perGroup; h += a.v.heads {
		a.mix(&t.mixed[(row+h)*a.d], 4*a.d, &t.scores[(row+h)*chunkPositions+from], 4*chunkPositions,
			values, ld*size, a.d, to-from, min(a.v.heads, a.perGroup-h), ahead)
		ahead = 0
	}
}
