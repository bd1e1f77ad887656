package cpu

import "unsafe"

// word is the address of x for the kernels, which take elements of 32 bits of any kind.
func word(x *float32) *uint32 { return (*uint32)(unsafe.Pointer(x)) }

// tiles multiplies rows of the block's part of a with a panel, and stores the products in c or adds them to it. The tiles of some rows
// prefetch the rows below, each a share.
func (g *sgemm) tiles(row, rows, col, cols int, panel []float32, add int) {
	a, lda, steps := g.left.data, g.left.ld, g.block.steps
	count := pieces(rows, g.k.rows)
	width := g.k.cols(pieces(rows, count))
	for i := range count {
		lo, hi := row+i*rows/count, row+(i+1)*rows/count
		c := g.c.data[(g.block.row+lo)*g.c.ld+col:]
		next, share := &panel[0], 0
		for j := 0; j < cols; j += width {
			if i+1 < count && !g.asIs {
				share = (hi - lo) * lda / pieces(cols, width)
				next = &a[hi*lda+j/width*share]
			}
			g.k.tileF32(word(&a[lo*lda]), 4*lda, word(&panel[j]), &c[j], 4*g.c.ld, steps, hi-lo, min(width, cols-j), add,
				word(next), 4*share*g.k.prefetch/steps)
		}
	}
}

// copyLeft copies the block's part of a, if it is not to be read where it lies.
func (g *sgemm) copyLeft() {
	b := &g.block
	if g.asIs {
		g.left = blasMatrix{g.a.data[b.row*g.a.ld+b.from:], g.a.ld, false}
		return
	}
	// An odd number of cache lines, so that rows do not fall on each other in the cache.
	ld := pieces(b.steps, 2*padWords)*2*padWords + padWords
	g.copied = grown(g.copied, b.rows*ld)
	g.left = blasMatrix{g.copied, ld, false}
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
	for i := row; i < row+rows; i++ {
		times(g.left.data[i*g.left.ld:][:b.steps], g.a.data[(b.row+i)*g.a.ld+b.from:][:b.steps], g.alpha)
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
		for i := range rows {
			times(g.left.data[(row+i)*g.left.ld+from:][:steps], s.c[i*panelCols:][:steps], g.alpha)
		}
	}
}

// packPanel fills a panel with the block's part of up to as many columns of b, and with zeros beside them.
func (g *sgemm) packPanel(panel []float32, col, cols int) {
	from, steps := g.block.from, g.block.steps
	switch {
	case g.b.trans:
		transposed(g.k, panel, g.b, col, cols, from, steps)
	case cols == panelCols:
		g.k.copyPanel(word(&panel[0]), word(&g.b.data[from*g.b.ld+col]), 4*g.b.ld, steps)
	default:
		for k := range steps {
			row := panel[k*panelCols:][:panelCols]
			clear(row[copy(row, g.b.data[(from+k)*g.b.ld+col:][:cols]):])
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
