package cpu

import "unsafe"

// stripPart is the copy of a strip's rows of x for some steps of panels.
type stripPart struct {
	strip
	from, words int // of each row, 32-bit elements as the kernels take them
	begin       int // where the copy begins
	ld          int // elements from row to row, were each tile's rows not side by side
}

// part is the part for the steps from one on of a strip whose copy begins at at.
func (g *gemm) part(s strip, at int, l layout, from int) stripPart {
	p := stripPart{strip: s, from: l.words * from, words: l.words * min(l.steps, g.w.steps-from)}
	p.ld = p.words
	p.begin = at + s.rows*p.from
	if !l.beside {
		p.ld += padWords
		p.begin += s.rows * padWords * (from / l.steps)
	}
	return p
}

// copyLength is the number of elements of a strip's copy: none if it has few rows, which are read as they lie or copied by the tasks,
// or goes without tiles.
func (g *gemm) copyLength(s strip) int {
	if s.matrix == padding || g.k.streams(s.rows) || !g.onTiles(s) {
		return 0
	}
	l := g.layout(s)
	parts := pieces(g.w.steps, l.steps)
	last := g.part(s, 0, l, (parts-1)*l.steps)
	return last.begin + s.rows*last.ld
}

// place gives the strips from one on their places among the copies, and tells for how many there is room.
func (g *gemm) place(from int) int {
	n, words := 0, 0
	for strips := g.strips[from:]; n < len(strips); n++ {
		length := g.copyLength(strips[n].strip)
		if n > 0 && words+length > copyWords {
			break
		}
		strips[n].at = words
		words += length
	}
	g.copied = grown(g.copied, words)
	return n
}

// cutParts adds the parts of a strip that is copied.
func (g *gemm) cutParts(s placedStrip) {
	if g.copyLength(s.strip) == 0 {
		return
	}
	l := g.layout(s.strip)
	for from := 0; from < g.w.steps; from += l.steps {
		g.parts = append(g.parts, g.part(s.strip, s.at, l, from))
	}
}

// copyPart copies a part.
func (g *gemm) copyPart(p stripPart) {
	l := g.layout(p.strip)
	to := g.copied[p.begin:][:p.rows*p.ld]
	if !l.beside {
		for i := range p.rows {
			g.rowWords(to[i*p.ld:][:p.words], l, p.row+i, p.from)
		}
		return
	}
	s := getWorkspace()
	defer workspaces.Put(s)
	count := g.tileCount(p.strip)
	for i := range count {
		lo, hi := i*p.rows/count, (i+1)*p.rows/count
		s.a = grown(s.a, (hi-lo)*p.words)
		for r := range hi - lo {
			g.rowWords(s.a[r*p.words:][:p.words], l, p.row+lo+r, p.from)
		}
		besides(g.k, to[lo*p.words:hi*p.words], s.a, p.words, p.words, hi-lo)
	}
}

// besides puts the first n elements of rows, ld elements apart, side by side.
func besides[E uint32 | float32](k *kernels, to, from []E, ld, n, rows int) {
	// The kernel writes beyond what is to be written, but less than lanes steps: what follows may be another task's.
	done := max(n-k.lanes, 0) / k.lanes * k.lanes
	if done > 0 {
		k.beside((*uint32)(unsafe.Pointer(&to[0])), (*uint32)(unsafe.Pointer(&from[0])), 4*ld, done, rows)
	}
	for r := range rows {
		for i, v := range from[r*ld:][done:n] {
			to[(done+i)*rows+r] = v
		}
	}
}

// followedBy lets g, once it computes, fill the copies of the strips of the product that comes then, if all have room and both
// have the same strips: those of tiles of another height begin at other rows. An element of out is one of its x. It tells whether it
// does so and all strips of g have room as well: then those of both have their places.
func (g *gemm) followedBy(then *gemm) bool {
	if g.k.rows != then.k.rows || then.place(0) < len(then.strips) {
		return false
	}
	for i, s := range then.strips {
		g.strips[i].then = s.at
	}
	g.then, then.filled = then, true
	return g.place(0) == len(g.strips)
}

// fill puts what a task of the product before has computed, the rows of c, where the strip's copy is.
func (g *gemm) fill(t task, c []float32, ldc int) {
	l := g.layout(t.strip)
	if l.dot {
		g.fillPairs(t, l, c, ldc)
		return
	}
	rows := unsafe.Slice((*uint32)(unsafe.Pointer(&c[0])), len(c))
	end := t.col + t.cols
	if words := l.words * g.w.steps; end == g.w.d && words > end { // an element more than a row of x has
		for i := range t.rows {
			rows[i*ldc+t.cols] = 0
		}
		end = words
	}
	for col := t.col; col < end; {
		p := g.part(t.strip, t.then, l, col/l.words/l.steps*l.steps)
		n := min(end, p.from+p.words) - col
		g.fillPart(p, l, rows[col-t.col:], ldc, col-p.from, n)
		col += n
	}
}

// fillPairs does so where x is bfloat16, two elements to a word.
func (g *gemm) fillPairs(t task, l layout, c []float32, ldc int) {
	end := t.col + t.cols
	for col := t.col; col < end; {
		p := g.part(t.strip, t.then, l, col/2/l.steps*l.steps)
		n := min(end, 2*(p.from+p.words)) - col
		for i := range p.rows {
			row := unsafe.Slice((*uint16)(unsafe.Pointer(&g.copied[p.begin+i*p.ld])), 2*p.words)[col-2*p.from:]
			narrowRow(g.k, row[:n], c[i*ldc+col-t.col:])
			if col+n == g.w.d { // an element more than a row of x has, if that is odd
				clear(row[n:min(len(row), n+1)])
			}
		}
		col += n
	}
}

// fillPart puts the first n elements of rows, ld elements apart, where those from one on of a part are.
func (g *gemm) fillPart(p stripPart, l layout, rows []uint32, ld, from, n int) {
	to := g.copied[p.begin:][:p.rows*p.ld]
	if !l.beside {
		for i := range p.rows {
			copy(to[i*p.ld+from:][:n], rows[i*ld:])
		}
		return
	}
	count := g.tileCount(p.strip)
	for i := range count {
		lo, hi := i*p.rows/count, (i+1)*p.rows/count
		besides(g.k, to[lo*p.words+from*(hi-lo):][:n*(hi-lo)], rows[lo*ld:], ld, n, hi-lo)
	}
}

// rowWords fills to with elements of a row of the product, from one on, as the kernel takes them.
func (g *gemm) rowWords(to []uint32, l layout, row, from int) {
	if l.dot {
		g.pairs(to, row, 2*from, len(to))
		return
	}
	g.widened(to, row, from, len(to))
}

// fewRows are the rows of x of a strip of few: x itself if they lie as the kernel wants them, or a copy. lda is their distance in
// bytes.
func (g *gemm) fewRows(t task, s *workspace, l layout) (a *uint32, lda int) {
	words := l.words * g.w.steps
	size, perWord := 4, 1
	if g.xIsBF16 {
		size, perWord = 2, 2
	}
	if (l.dot || !g.xIsBF16) && g.inPlace(t) && words*perWord == g.w.d {
		return (*uint32)(unsafe.Pointer(&g.x[g.xRow(t.row)*g.w.d*size])), g.w.d * size
	}
	ld := words + padWords
	s.a = grown(s.a, t.rows*ld)
	for i := range t.rows {
		g.rowWords(s.a[i*ld:][:words], l, t.row+i, 0)
	}
	return &s.a[0], 4 * ld
}
