package cpu

import "sync"

// none is no panel.
const none = -1

// blasWorker is what a worker has at hand: a panel that it, and who helps it, multiplies, and the next one, which it packs meanwhile.
type blasWorker struct {
	buffers [2][]float32 // for both, in turns

	mu    sync.Mutex // while a panel is begun, and for each strip that is taken
	panel blasPanel
	first int // the strip to begin with
	left  int // strips that nobody has taken

	next, packed, fetched int // the next panel, the steps of it that are packed and the lines that are prefetched
	_                     [64]byte
}

// blasPanel is a panel of b for the columns of c from one on.
type blasPanel struct {
	data []float32
	col  int
}

// work is the share of a worker in a block.
func (g *sgemm) work(w int) {
	own := &g.workers[w]
	own.first = w * len(g.strips) / len(g.workers)
	for g.begin(own) {
		for strips := 1; ; strips++ {
			panel, s, ok := g.takeStrip(own)
			if !ok {
				break
			}
			g.multiply(own, panel, s)
			g.pack(own, g.block.steps*strips/len(g.strips))
		}
	}
	for i := range g.workers {
		other := &g.workers[(w+i)%len(g.workers)]
		for panel, s, ok := g.takeStrip(other); ok; panel, s, ok = g.takeStrip(other) {
			g.multiply(own, panel, s)
		}
	}
}

// begin makes a worker's next panel the one to multiply, and tells whether there is one. Who wants to help it waits until that is
// packed. The one that comes then is taken ahead, to be packed meanwhile, unless few are left: those go to whoever is ready first.
func (g *sgemm) begin(w *blasWorker) bool {
	lock(&w.mu)
	defer w.mu.Unlock()
	if w.next == none {
		g.takePanel(w, 0)
	}
	if w.next == none {
		return false
	}
	g.pack(w, g.block.steps)
	w.buffers[0], w.buffers[1] = w.buffers[1], w.buffers[0]
	w.panel, w.left = blasPanel{w.buffers[0], w.next * g.k.blas.cols}, len(g.strips)
	g.takePanel(w, len(g.workers))
	return true
}

// takePanel takes the next panel for a worker, if more than some are left.
func (g *sgemm) takePanel(w *blasWorker, leave int) {
	w.next, w.packed, w.fetched = none, 0, 0
	for {
		taken := g.taken.Load()
		if int(taken)+leave >= g.panels {
			return
		}
		if g.taken.CompareAndSwap(taken, taken+1) {
			w.next = int(taken)
			return
		}
	}
}

// takeStrip takes a strip that is to be multiplied with a worker's panel, if one is left.
func (g *sgemm) takeStrip(w *blasWorker) (panel blasPanel, strip int, ok bool) {
	lock(&w.mu)
	defer w.mu.Unlock()
	if w.left == 0 {
		return blasPanel{}, 0, false
	}
	strip = (w.first + len(g.strips) - w.left) % len(g.strips)
	w.left--
	return w.panel, strip, true
}

// multiply computes what a strip and a panel add to c. Its tiles prefetch a part of the worker's next panel.
func (g *sgemm) multiply(w *blasWorker, panel blasPanel, strip int) {
	g.copyStrip(strip)
	t, b, c := g.k.blas, &g.block, &g.c
	cols := min(t.cols, g.n-panel.col)
	add := 1
	if b.from == 0 && g.beta == 0 {
		add = 0
	}
	first, end := g.stripOf(strip)
	for i := first; i < end; i++ {
		lo, hi := g.tile(i)
		if b.from == 0 && g.beta != 0 {
			for r := b.row + lo; r < b.row+hi; r++ {
				scale(c.data[r*c.ld+panel.col:][:cols], g.beta)
			}
		}
		next, ahead, slot := g.fetch(w)
		t.tile(word(&g.copied[lo*g.ld]), 4*g.ld, word(&panel.data[0]), &c.data[(b.row+lo)*c.ld+panel.col], 4*c.ld,
			b.steps, hi-lo, cols, add, word(next), ahead, slot)
	}
}

// lineSteps is how many steps of a column of b that lies along a row of memory are in a cache line.
const lineSteps = 16

// fetch says what a tile prefetches of the worker's next panel: from where on, how far apart in bytes, and every how many steps of
// its own. A line is the columns of a step or, if b is transposed, lineSteps of a column.
func (g *sgemm) fetch(w *blasWorker) (next *float32, ahead, slot int) {
	t, b, steps := g.k.blas, &g.b, g.block.steps
	lines := steps
	if b.trans {
		lines = t.cols * pieces(steps, lineSteps)
	}
	col := w.next * t.cols
	if w.next == none || w.fetched >= lines || col+t.cols > g.n {
		return &w.buffers[0][0], 0, steps
	}
	step, j := w.fetched, 0
	if b.trans {
		step, j = w.fetched/t.cols*lineSteps, w.fetched%t.cols
	}
	each := pieces(lines, g.tiles)
	w.fetched += each
	return &b.data[b.index(g.block.from+step, col+j)], 4 * b.ld, max(steps/each/unrolled, 1) * unrolled
}

// unrolled is how many steps a tile does in a turn of its loop.
const unrolled = 4
