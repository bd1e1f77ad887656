package cpu

import "unsafe"

// word is the address of x for the kernels, which take elements of 32 bits of any kind.
func word(x *float32) *uint32 { return (*uint32)(unsafe.Pointer(x)) }

// tiles multiplies a part of a task with its panels, and stores the products in c or adds them to it. The tiles of some rows prefetch
// the rows below, each a share.
func (g *sgemm) tiles(t blasTask, panels []float32, add int) {
	a, ld := g.left(t.from)
	count := pieces(t.rows, g.k.rows)
	width := g.k.cols(pieces(t.rows, count))
	across := pieces(t.cols, width)
	for i := range count {
		lo, hi := t.row+i*t.rows/count, t.row+(i+1)*t.rows/count
		c := g.c.data[(g.block.row+lo)*g.c.ld+t.col:]
		next, share := &panels[0], 0
		for j := 0; j < t.cols; j += width {
			if i+1 < count && !g.asIs {
				share = (hi - lo) * ld / across
				next = &a[hi*ld+j/width*share]
			}
			g.k.tileF32(word(&a[lo*ld]), 4*ld, word(&panels[j/panelCols*panelCols*t.steps+j%panelCols]), &c[j], 4*g.c.ld, t.steps, hi-lo,
				min(width, t.cols-j), add, word(next), 4*share*g.k.prefetch/t.steps)
		}
	}
}

// left is the block's part of a for the steps from one on, and the distance of its rows.
func (g *sgemm) left(from int) ([]float32, int) {
	if g.asIs {
		return g.a.data[g.block.row*g.a.ld+g.block.from+from:], g.a.ld
	}
	return g.copied[from/g.part*g.block.rows*g.ld:], g.ld
}

// copyLeft copies the block's part of a, all workers together.
func (g *sgemm) copyLeft() {
	b := &g.block
	// An odd number of cache lines, so that rows do not fall on each other in the cache.
	g.ld = (g.part+2*padWords-1)/(2*padWords)*2*padWords + padWords
	g.copied = grown(g.copied, pieces(b.steps, g.part)*b.rows*g.ld)
	g.each(pieces(b.rows, copyRows), g.copyBody)
}

// copyPiece copies some rows of the block's part of a, times alpha.
func (g *sgemm) copyPiece(i int) {
	b := &g.block
	row := i * copyRows
	rows := min(copyRows, b.rows-row)
	if g.a.trans {
		g.transposeRows(row, rows)
		return
	}
	for from := 0; from < b.steps; from += g.part {
		to, ld := g.left(from)
		steps := min(g.part, b.steps-from)
		for i := row; i < row+rows; i++ {
			times(to[i*ld:][:steps], g.a.data[(b.row+i)*g.a.ld+b.from+from:][:steps], g.alpha)
		}
	}
}

// times sets to to from times alpha.
func times(to, from []float32, alpha float32) {
	if alpha == 1 {
		copy(to, from)
		return
	}
	to = to[:len(from)]
	for i, x := range from {
		to[i] = alpha * x
	}
}

// transposeRows copies rows of the transpose of a, times alpha: as many of their elements at a time as a panel has columns.
func (g *sgemm) transposeRows(row, rows int) {
	b := &g.block
	s := getWorkspace()
	defer workspaces.Put(s)
	s.c = grown(s.c, copyRows*panelCols)
	for from := 0; from < b.steps; from += panelCols {
		steps := min(panelCols, b.steps-from)
		transposed(g.k, s.c, g.a, b.from+from, steps, b.row+row, rows)
		to, ld := g.left(from)
		for i := range rows {
			times(to[(row+i)*ld+from%g.part:][:steps], s.c[i*panelCols:][:steps], g.alpha)
		}
	}
}

// packPanels fills panels, one after the other, with the part of b that t needs. The last one may have fewer columns than a panel.
func (g *sgemm) packPanels(to []float32, t blasTask) {
	from := g.block.from + t.from
	for j := 0; j < t.cols; j += panelCols {
		panel, cols := to[j*t.steps:][:t.steps*panelCols], min(panelCols, t.cols-j)
		switch {
		case g.b.trans:
			transposed(g.k, panel, g.b, t.col+j, cols, from, t.steps)
		case cols == panelCols:
			g.k.copyPanel(word(&panel[0]), word(&g.b.data[from*g.b.ld+t.col+j]), 4*g.b.ld, t.steps)
		default:
			for k := range t.steps {
				row := panel[k*panelCols:][:panelCols]
				clear(row[copy(row, g.b.data[(from+k)*g.b.ld+t.col+j:][:cols]):])
			}
		}
	}
}

// transposed sets to[32k+i] to the element k of the row i of m's memory, both counted from somewhere on, for k below n and i below
// rows, at most 32. It sets it to 0 for i from there to 31.
func transposed(k *kernels, to []float32, m blasMatrix, row, rows, from, n int) {
	for i := 0; i < panelCols; i += k.lanes {
		done := 0
		if i+k.lanes <= rows && n >= k.lanes {
			done = n / k.lanes * k.lanes
			k.transpose(word(&to[i]), word(&m.data[(row+i)*m.ld+from]), 4*m.ld, done)
		}
		for j := i; j < i+k.lanes; j++ {
			if j >= rows {
				for s := range n {
					to[s*panelCols+j] = 0
				}
				continue
			}
			line := m.data[(row+j)*m.ld+from:][:n]
			for s := done; s < n; s++ {
				to[s*panelCols+j] = line[s]
			}
		}
	}
}
