package cpu

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// Experts implements backend.Experts for x and y of float32 or bfloat16, one dtype, gates of float32, and w13 and w2 of float32,
// bfloat16, float16 or BlockQuantized, each a stack or as it is, float32 and bfloat16 also packed. Rows of x are gathered as the first
// product reads them, SwiGLU is computed on sums that are still in a cache, and rows of the second product are added up token by token.
// Everything between x and y stays float32, but for what the second product multiplies in bfloat16: SwiGLU's result is then rounded to
// it. What a product multiplies with blocks, x or SwiGLU's result, may be rounded as GroupedMatMul rounds it (see
// backend.BlockQuantized). A result does not depend on the number of workers.
//
// A plan whose tables contradict each other is declined, as the composition defines what becomes of it.
func (s simd) Experts(y, x, gates backend.Value, p *backend.Plan, w13, w2 backend.Value) error {
	if s.k.swiglu == nil || s.k.addScaled == nil {
		return s.decline("experts", x, w13)
	}
	f := getFused(s.k)
	defer f.put()
	if p == nil || !f.weights(w13, w2) || !f.tokens(y, x, p) || !f.plan(gates, p) {
		return s.decline("experts", x, w13)
	}
	f.multiply()
	f.sum()
	return nil
}

// fused is Experts in the course of being computed. It is kept for the next one, with its memory.
type fused struct {
	k             *kernels
	first, second *gemm
	hidden        []uint32  // (R,F), float32 or bfloat16
	rows          []float32 // (R,H)
	task          func(i int)
	unfinished    []countdown // the first product's tasks of each expert

	y         []byte
	yIsBF16   bool
	gates     []float32
	slotRow   []int32
	sumTokens func(i int)
	pieces    int // that tokens are summed in
}

var fuseds sync.Pool

func getFused(k *kernels) *fused {
	f, ok := fuseds.Get().(*fused)
	if !ok {
		f = &fused{}
		f.task = f.compute
		f.sumTokens = func(i int) {
			n := f.parts()
			f.sumParts(i*n/f.pieces, (i+1)*n/f.pieces)
		}
	}
	f.k, f.first, f.second = k, getGEMM(k), getGEMM(k)
	return f
}

// put keeps f for later, without the operands.
func (f *fused) put() {
	f.first.put()
	f.second.put()
	f.first, f.second, f.y, f.gates, f.slotRow = nil, nil, nil, nil, nil
	fuseds.Put(f)
}

// weights sets w13 (E,2F,H) and w2 (E,H,F) and tells whether they are such as f takes.
func (f *fused) weights(w13, w2 backend.Value) bool {
	a, b := &f.first.w, &f.second.w
	return f.first.setWeight(w13) && f.second.setWeight(w2) && a.dims == 3 && b.dims == 3 &&
		a.matrices == b.matrices && a.n == 2*b.d && a.d == b.n
}

// tokens sets x and y (T,H) and the matrices between them. It tells whether x and y fit.
func (f *fused) tokens(y, x backend.Value, p *backend.Plan) bool {
	a, b := f.first, f.second
	var ok bool
	var tokens int
	if tokens, a.x, a.xIsBF16, ok = matrixBytes(x, a.w.d); !ok || tokens != p.Tokens {
		return false
	}
	if tokens, f.y, f.yIsBF16, ok = matrixBytes(y, b.w.n); !ok || tokens != p.Tokens || f.yIsBF16 != a.xIsBF16 || p.Rows < 0 {
		return false
	}
	a.rows, a.n, a.gated = p.Rows, b.w.d, true
	b.rows, b.n = p.Rows, b.w.n
	a.outBF16 = a.xIsBF16 && b.w.size == 2 && f.k.forPairs().tileDot != nil
	b.xIsBF16, b.outBF16 = a.outBF16, false
	a.choosePairs()
	b.choosePairs()
	f.hidden = grown(f.hidden, (p.Rows*a.n*a.outSize()+3)/4)
	f.rows = grown(f.rows, p.Rows*b.n)
	a.out = bytesOf(f.hidden)
	b.x, b.out = a.out, bytesOf(f.rows)
	return true
}

func bytesOf[E uint32 | float32](s []E) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}

// plan sets the tables and cuts the products. It tells whether the gates fit and the tables are true to each other: every row of a
// segment is of a slot that is sent to it, no slot is sent elsewhere, and no other row is of a slot.
func (f *fused) plan(gates backend.Value, p *backend.Plan) bool {
	firsts, counts, ok := f.first.segments(p)
	if !ok || gates == nil || p.SlotRow == nil || p.RowSlot == nil {
		return false
	}
	n := p.Tokens * p.Slots
	var errs [3]error
	f.gates, errs[0] = backend.Slice[float32](gates)
	f.slotRow, errs[1] = backend.Slice[int32](p.SlotRow)
	rowSlot, err := backend.Slice[int32](p.RowSlot)
	errs[2] = err
	if shape := gates.Shape(); errs != [3]error{} || len(shape) != 2 || shape[0] != p.Tokens || shape[1] != p.Slots ||
		len(f.slotRow) != n || len(rowSlot) != p.Rows {
		return false
	}
	here := 0
	for e, count := range counts {
		first := int(firsts[e])
		for r := first; r < first+int(count); r++ {
			if slot := int(rowSlot[r]); slot < 0 || slot >= n || int(f.slotRow[slot]) != r {
				return false
			}
		}
		here += int(count)
		f.first.cut(first, first+int(count), e)
		f.second.cut(first, first+int(count), e)
	}
	f.first.rowSlot, f.first.slots = rowSlot, p.Slots
	return here == routed(f.slotRow) && here == routed(rowSlot)
}

// routed is the number of places of a plan's table that are not −1.
func routed(table []int32) (n int) {
	for _, at := range table {
		if at != -1 {
			n++
		}
	}
	return n
}

// multiply computes both products in one loop, so that no worker waits for the last task of the first one: a task of the second waits
// for those of its expert. Where tiles differ or not all strips can be copied at a time, it computes one after the other.
func (f *fused) multiply() {
	a, b := f.first, f.second
	if !a.followedBy(b) {
		a.run()
		b.run()
		return
	}
	a.roundStrips()
	b.placeRounded()
	a.prepare(a.strips)
	b.prepare(b.strips)
	f.unfinished = grown(f.unfinished, a.w.matrices)
	clear(f.unfinished)
	for i := range a.tasks {
		f.unfinished[a.tasks[i].matrix].expect()
	}
	parallel(len(a.tasks)+len(b.tasks), f.task)
}

// compute does task i of the first product and then the second. Whoever ends an expert's first product rounds its rows for the second.
func (f *fused) compute(i int) {
	a, b := f.first, f.second
	if i < len(a.tasks) {
		e := a.tasks[i].matrix
		defer f.unfinished[e].done(func() { b.roundMatrix(e) })
		a.body(i)
		return
	}
	i -= len(a.tasks)
	f.unfinished[b.tasks[i].matrix].wait()
	b.body(i)
}

// sum computes y[t] = Σ_k gates[t,k]·rows[slotRow[t,k]], k ascending, in parts of some columns of a token.
func (f *fused) sum() {
	const grain = 16
	f.pieces = max(1, min(f.parts()/grain, 4*runtime.GOMAXPROCS(0)))
	parallel(f.pieces, f.sumTokens)
}

// parts is the number of parts of y.
func (f *fused) parts() int {
	h := f.second.n
	return len(f.y) / f.ySize() / h * pieces(h, tile)
}

func (f *fused) ySize() int {
	if f.yIsBF16 {
		return 2
	}
	return 4
}

func (f *fused) sumParts(from, to int) {
	s := getWorkspace()
	defer workspaces.Put(s)
	h := f.second.n
	across := pieces(h, tile)
	slots := f.first.slots
	for i := from; i < to; i++ {
		t, lo := i/across, i%across*tile
		hi := min(lo+tile, h)
		y := f.y[f.ySize()*(t*h+lo):][:f.ySize()*(hi-lo)]
		var sum []float32
		if f.yIsBF16 {
			s.c = grown(s.c, hi-lo)
			sum = s.c
		} else {
			sum = unsafe.Slice((*float32)(unsafe.Pointer(&y[0])), hi-lo)
		}
		clear(sum)
		for at := t * slots; at < (t+1)*slots; at++ {
			if r := int(f.slotRow[at]); r >= 0 {
				f.addRow(sum, f.gates[at], f.rows[r*h+lo:r*h+hi])
			}
		}
		if f.yIsBF16 {
			narrowRow(f.k, unsafe.Slice((*uint16)(unsafe.Pointer(&y[0])), hi-lo), sum)
		}
	}
}

// addRow adds a·x to sum.
func (f *fused) addRow(sum []float32, a float32, x []float32) {
	done := len(x) / f.k.lanes * f.k.lanes
	if done > 0 {
		f.k.addScaled(&sum[0], &x[0], a, done)
	}
	for i := done; i < len(x); i++ {
		sum[i] += a * x[i]
	}
}
