package cpu

import "unsafe"

// word is the address of x for the kernels, which take elements of 32 bits of any kind.
func word(x *float32) *uint32 { return (*uint32)(unsafe.Pointer(x)) }

// tiles multiplies rows of the block, from the steps from one on, with a part of a panel, and stores the products in c or adds them
// to it. Together the tiles prefetch what comes next, each a share.
func (g *sgemm) tiles(row, rows, col, cols, from, steps int, panel, next []float32, add int) {
	a, lda := g.packedA, g.ldA
	at := row*lda + from
	if g.asIs {
		a, lda = g.a.data, g.a.ld
		at = (g.block.row+row)*lda + g.block.from + from
	}
	c := g.c.data[(g.block.row+row)*g.c.ld+g.block.col+col:]
	count := (rows + g.k.rows - 1) / g.k.rows
	width := g.k.cols((rows + count - 1) / count)
	calls := count * ((cols + width - 1) / width)
	ahead := 4 * len(next) / (calls * steps)
	call := 0
	for i := range count {
		lo, hi := i*rows/count, (i+1)*rows/count
		for j := 0; j < cols; j += width {
			prefetched := &panel[j]
			if len(next) > 0 {
				prefetched = &next[call*len(next)/calls]
			}
			g.k.tileF32(word(&a[at+lo*lda]), 4*lda, word(&panel[j]), &c[lo*g.c.ld+j], 4*g.c.ld, steps, hi-lo, min(width, cols-j), add,
				word(prefetched), ahead)
			call++
		}
	}
}

// pack packs what is new of the block's operands.
func (g *sgemm) pack(newA, newB bool) {
	b := &g.block
	g.packs = [2]int{}
	if newA {
		// An odd number of cache lines, so that rows do not fall on each other in the cache.
		g.ldA = (b.steps+2*padWords-1)/(2*padWords)*2*padWords + padWords
		g.packedA = grown(g.packedA, b.rows*g.ldA)
		g.packs[0] = (b.rows + packRows - 1) / packRows
	}
	if newB {
		g.packedB = grown(g.packedB, (b.cols+panelCols-1)/panelCols*panelCols*b.steps)
		g.packs[1] = (b.cols + packCols - 1) / packCols * ((b.steps + g.part - 1) / g.part)
	}
	g.each(g.packs[0]+g.packs[1], g.packBody)
}

// packPiece packs a piece of a or b.
func (g *sgemm) packPiece(i int) {
	b := &g.block
	if i < g.packs[0] {
		row := i * packRows
		rows := min(packRows, b.rows-row)
		if g.a.trans {
			g.transposeRows(row, rows)
		} else {
			g.copyRows(row, rows)
		}
		return
	}
	i -= g.packs[0]
	parts := (b.steps + g.part - 1) / g.part
	col, from := i/parts*packCols, i%parts*g.part
	g.packPanels(g.packedB[col*b.steps+from*panelCols:], b.steps, b.col+col, min(packCols, b.cols-col), b.from+from, min(g.part, b.steps-from))
}

// copyRows copies rows of a, times alpha.
func (g *sgemm) copyRows(row, rows int) {
	b := &g.block
	for i := row; i < row+rows; i++ {
		times(g.packedA[i*g.ldA:][:b.steps], g.a.data[(b.row+i)*g.a.ld+b.from:][:b.steps], g.alpha)
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
	s.c = grown(s.c, packRows*panelCols)
	for from := 0; from < b.steps; from += panelCols {
		steps := min(panelCols, b.steps-from)
		transposed(g.k, s.c, g.a, b.from+from, steps, b.row+row, rows)
		for i := range rows {
			times(g.packedA[(row+i)*g.ldA+from:][:steps], s.c[i*panelCols:][:steps], g.alpha)
		}
	}
}

// packPanels fills panels, each distance steps long, with steps of columns of op(b). The last one may have fewer columns than a panel.
func (g *sgemm) packPanels(to []float32, distance, col, cols, from, steps int) {
	if g.b.trans {
		for j := 0; j < cols; j += panelCols {
			transposed(g.k, to[j*distance:][:steps*panelCols], g.b, col+j, min(panelCols, cols-j), from, steps)
		}
		return
	}
	for k := range steps {
		row := g.b.data[(from+k)*g.b.ld+col:][:cols]
		at := k * panelCols
		for ; len(row) >= panelCols; row = row[panelCols:] {
			*(*[panelCols]float32)(to[at:]) = *(*[panelCols]float32)(row)
			at += panelCols * distance
		}
		if len(row) > 0 {
			copy(to[at:], row)
			clear(to[at:][len(row):panelCols])
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
