package cpu

import "unsafe"

// layout says how the tiles of a strip read their operands.
type layout struct {
	kernel     tileKernel
	words      int  // 32-bit elements of a row of x for a step of a panel
	beside     bool // the kernel is tileBesideF32 or tileBesideWidened
	dot        bool // x stays bfloat16
	widenFirst bool // a panel becomes float32 before tiles read it
	steps      int  // of a part of a panel, at most
}

func (g *gemm) layout(s strip) layout {
	l := layout{kernel: g.k.tileF32, words: 1, steps: g.k.part}
	if g.k.streams(s.rows) {
		l.steps = g.k.streamPart
	}
	switch {
	case g.w.size == 4:
		if s.rows >= g.k.besideRows && g.k.tileBesideF32 != nil {
			l.kernel, l.beside = g.k.tileBesideF32, true
		}
	case g.xIsBF16 && g.k.tileDot != nil:
		l.kernel, l.dot = g.k.tileDot, true
	case !g.k.streams(s.rows) && g.k.tileBesideWidened != nil:
		l.kernel, l.words, l.beside = g.k.tileBesideWidened, 2, true
	case s.rows >= widenRows:
		l.words, l.widenFirst = 2, true
	default:
		l.kernel, l.words = g.k.tileWidened, 2
	}
	return l
}

// onTiles tells whether a strip is computed on tiles.
func (g *gemm) onTiles(s strip) bool { return g.w.packed != nil || s.rows > dotStrip }

// tileCount is the number of calls of a tileKernel for a strip's rows. What is not streamed has two at least where one alone is too
// short to prefetch all of the next panel.
func (g *gemm) tileCount(s strip) int {
	count := pieces(s.rows, g.k.callRows)
	if g.k.lines == 1 && !g.k.streams(s.rows) {
		return max(count, 2)
	}
	return count
}

// tiles computes a task on tiles.
func (g *gemm) tiles(t task, s *workspace, c []float32, ldc int) {
	l := g.layout(t.strip)
	if g.k.streams(t.rows) {
		g.stream(t, s, l, c, ldc)
		return
	}
	for from := 0; from < g.w.steps; from += l.steps {
		p := g.part(t.strip, t.at, l, from)
		for col := 0; col < t.cols; col += panelCols {
			g.panelTiles(t, s, l, from, col, &g.copied[p.begin], 4*p.ld, c, ldc)
		}
	}
}

// stream computes a task of few rows: several panels at a time, as far as there are a kernel and panels for that, or one.
func (g *gemm) stream(t task, s *workspace, l layout, c []float32, ldc int) {
	a, lda := g.fewRows(t, s, l)
	col := 0
	if kernel, cols := g.few(t.strip); kernel != nil {
		for ; col+cols <= t.cols; col += cols {
			b := g.w.packed.part(t.matrix, t.col+col, 0, g.w.steps)
			for from, add := 0, 0; from < g.w.steps; from, add = from+l.steps, 1 {
				at := (*uint32)(unsafe.Add(unsafe.Pointer(a), 4*l.words*from))
				kernel(at, lda, &b[from*panelCols], 4*g.w.packed.apart, &c[col], 4*ldc, min(l.steps, g.w.steps-from), t.rows, add)
			}
		}
	}
	for ; col < t.cols; col += panelCols {
		for from := 0; from < g.w.steps; from += l.steps {
			at := (*uint32)(unsafe.Add(unsafe.Pointer(a), 4*l.words*from))
			g.panelTiles(t, s, l, from, col, at, lda, c, ldc)
		}
	}
}

// few is the kernel that multiplies a strip with several panels at a time, nil if there is none, and the number of their columns.
func (g *gemm) few(s strip) (kernel fewKernel, cols int) {
	cols = g.k.fewPanels(s.rows) * panelCols
	switch {
	case !g.k.streams(s.rows) || g.w.packed == nil:
		return nil, cols
	case g.w.size == 4:
		return g.k.fewF32, cols
	case g.xIsBF16 && g.k.tileDot != nil:
		return g.k.fewDot, cols
	}
	return g.k.fewWidened, cols
}

// panelPart is the steps of a panel from one on.
func (g *gemm) panelPart(t task, s *workspace, col, from, steps int) []uint32 {
	if g.w.packed != nil {
		return g.w.packed.part(t.matrix, col, from, steps)
	}
	s.panel = grown(s.panel, steps*panelCols)
	if g.w.coded.bytes != 0 {
		g.codedPanel(s, s.panel, t.matrix, col, from)
		return s.panel
	}
	g.w.panel(g.k, s.panel, t.matrix, col, from)
	return s.panel
}

// nextPart is what is read from panels after the steps from one on of the panel at col; nothing if that is not known. After the last
// part of a task it is the first of the task that most likely follows.
func (g *gemm) nextPart(t task, l layout, col, from int) []uint32 {
	if g.w.packed == nil || g.k.streams(t.rows) {
		return nil
	}
	if col += panelCols; col >= t.col+t.cols {
		col, from = t.col, from+l.steps
	}
	if from >= g.w.steps {
		from = 0
		if g.gated && t.col+t.cols <= g.n { // these are the gates, and the ups follow
			col = (g.n + t.col) / panelCols * panelCols
		} else {
			i := int(g.begun.Load())
			if i >= len(g.tasks) || g.tasks[i].matrix == padding || g.k.streams(g.tasks[i].rows) {
				return nil
			}
			t, col = g.tasks[i], g.tasks[i].col
		}
	}
	return g.w.packed.part(t.matrix, col, from, min(l.steps, g.w.steps-from))
}

// panelTiles multiplies the tiles of a strip with a part of a panel: the steps from one on of the panel at col, counted from the
// task's first column. Together they prefetch the next part, each a share of it at each place, as a burst would wait for memory.
func (g *gemm) panelTiles(t task, s *workspace, l layout, from, col int, a *uint32, lda int, c []float32, ldc int) {
	steps := min(l.steps, g.w.steps-from)
	cols := min(panelCols, t.cols-col)
	b := g.panelPart(t, s, t.col+col, from, steps)
	next := g.nextPart(t, l, t.col+col, from)
	if l.widenFirst {
		s.wide = grown(s.wide, 2*panelCols*steps)
		g.k.widenPanel(&s.wide[0], &b[0], steps)
		b, steps = s.wide, 2*steps
	}
	add := 1
	if from == 0 {
		add = 0
	}
	count := g.tileCount(t.strip)
	tallest := pieces(t.rows, count)
	calls := count * pieces(cols, g.k.cols(tallest)) // or less, where some tiles are less high and wider
	passes := calls * pieces(tallest, g.k.rows)      // over the part of the panel
	share := len(next) / g.k.places
	ahead := 4 * share * g.k.prefetch / (passes * steps)
	call := 0
	for i := range count {
		lo, hi := i*t.rows/count, (i+1)*t.rows/count
		row := (*uint32)(unsafe.Add(unsafe.Pointer(a), lo*lda))
		width := g.k.cols(hi - lo)
		for j := 0; j < cols; j += width {
			prefetched := &b[0]
			if len(next) > 0 {
				prefetched = &next[call*share/calls]
			}
			l.kernel(row, lda, &b[j], &c[lo*ldc+col+j], 4*ldc, steps, hi-lo, min(width, cols-j), add, prefetched, 4*share, ahead)
			call++
		}
	}
}
