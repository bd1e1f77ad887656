package cpu

import (
	"sync"
	"unsafe"

	"github.com/gorgonia/moe/internal/hugepages"
)

// word is the address of x for the kernels, which take elements of 32 bits of any kind.
func word(x *float32) *uint32 { return (*uint32)(unsafe.Pointer(x)) }

// blasStrip is some tiles of a block's part of a, which are copied together.
type blasStrip struct {
	mu   sync.Mutex
	done bool
}

// newCopies makes room for the copy of the block's part of a.
func (g *sgemm) newCopies() {
	g.tiles = pieces(g.block.rows, g.k.blas.rows)
	g.ld = g.block.steps
	if !g.k.blas.beside {
		// An odd number of cache lines, so that rows do not fall on each other in the cache.
		g.ld = pieces(g.block.steps, 2*padWords)*2*padWords + padWords
	}
	if n := g.block.rows * g.ld; cap(g.copied) < n {
		g.copied = make([]float32, n)
		hugepages.Want(g.copied)
	} else {
		g.copied = g.copied[:n]
	}
	g.strips = grown(g.strips, pieces(g.tiles, g.stripTiles))
	for i := range g.strips {
		g.strips[i].done = false
	}
}

// stripOf are the first tile of a strip and the one behind it.
func (g *sgemm) stripOf(i int) (first, end int) {
	return i * g.stripTiles, min((i+1)*g.stripTiles, g.tiles)
}

// tile are the rows of a tile of the block.
func (g *sgemm) tile(i int) (lo, hi int) {
	rows := g.k.blas.rows
	return i * rows, min((i+1)*rows, g.block.rows)
}

// copyStrip copies a strip, times alpha, unless that has been done.
func (g *sgemm) copyStrip(i int) {
	s := &g.strips[i]
	lock(&s.mu)
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	first, end := g.stripOf(i)
	lo, _ := g.tile(first)
	_, hi := g.tile(end - 1)
	b, beside := &g.block, g.k.blas.beside
	switch {
	case g.a.trans && beside:
		g.copyColumns(lo, hi)
	case g.a.trans:
		g.transposeRows(lo, hi)
	case beside:
		for t := first; t < end; t++ {
			lo, hi := g.tile(t)
			besides(g.k, g.copied[lo*g.ld:hi*g.ld], g.a.data[(b.row+lo)*g.a.ld+b.from:], g.a.ld, b.steps, hi-lo)
		}
	default:
		for r := lo; r < hi; r++ {
			copy(g.copied[r*g.ld:][:b.steps], g.a.data[(b.row+r)*g.a.ld+b.from:])
		}
	}
	scale(g.copied[lo*g.ld:hi*g.ld], g.alpha)
}

// copyColumns copies rows of the transpose of a, those of a tile side by side as they are in memory. It goes through panels where the
// matrix is as wide as these, also beyond the last tile: their kernel prefetches, as the next step is far from the one before.
func (g *sgemm) copyColumns(lo, hi int) {
	const most = 128 // steps at a time, which stay in the first level of cache
	b, width, height := &g.block, g.k.blas.cols, g.k.blas.rows
	across := width / height * height // rows at a time, whole tiles
	s := getWorkspace()
	defer workspaces.Put(s)
	s.c = grown(s.c, most*width)
	for row := lo; row < hi; row += across {
		rows := min(across, hi-row)
		for first := 0; first < b.steps; first += most {
			steps := min(most, b.steps-first)
			from, ld := g.a.data[(b.from+first)*g.a.ld+b.row+row:], g.a.ld
			if b.row+row+width <= g.m {
				g.k.blas.copyPanel(word(&s.c[0]), word(&from[0]), 4*ld, steps)
				from, ld = s.c, width
			}
			for i := 0; i < rows; i += height {
				n := min(height, rows-i)
				gather(g.copied[(row+i)*g.ld+first*n:][:steps*n], from[i:], ld, n)
			}
		}
	}
}

// gather copies the first n elements of rows that are ld elements apart, one behind the other.
func gather(to, from []float32, ld, n int) {
	switch n {
	case 4: // the tile of AVX2
		for k := 0; 4*k < len(to); k++ {
			*(*[4]float32)(to[4*k:]) = [4]float32(from[k*ld:])
		}
	case 14: // that of AVX-512
		for k := 0; 14*k < len(to); k++ {
			*(*[14]float32)(to[14*k:]) = [14]float32(from[k*ld:])
		}
	default:
		for k := 0; k*n < len(to); k++ {
			copy(to[k*n:][:n], from[k*ld:])
		}
	}
}

// transposeRows copies rows of the transpose of a: as many of their elements at a time as a panel has columns.
func (g *sgemm) transposeRows(lo, hi int) {
	b, cols := &g.block, g.k.blas.cols
	s := getWorkspace()
	defer workspaces.Put(s)
	s.c = grown(s.c, (hi-lo)*cols)
	for from := 0; from < b.steps; from += cols {
		steps := min(cols, b.steps-from)
		g.transposed(s.c, g.a, b.from+from, steps, b.row+lo, hi-lo)
		for i := range hi - lo {
			copy(g.copied[(lo+i)*g.ld+from:][:steps], s.c[i*cols:])
		}
	}
}

// pack packs what is not yet packed of the first steps of a worker's next panel; zeros go beside b's last column. Where b is
// transposed it leaves what is no whole cache line for later.
func (g *sgemm) pack(w *blasWorker, steps int) {
	width := g.k.blas.cols
	if g.b.trans && steps < g.block.steps {
		steps = steps / lineSteps * lineSteps
	}
	if w.next == none || steps <= w.packed {
		return
	}
	col, from, n := w.next*width, g.block.from+w.packed, steps-w.packed
	cols := min(width, g.n-col)
	panel := w.buffers[1][w.packed*width:]
	w.packed = steps
	switch {
	case g.b.trans:
		g.transposed(panel, g.b, col, cols, from, n)
	case cols == width:
		g.k.blas.copyPanel(word(&panel[0]), word(&g.b.data[from*g.b.ld+col]), 4*g.b.ld, n)
	default:
		for k := range n {
			row := panel[k*width:][:width]
			clear(row[copy(row, g.b.data[(from+k)*g.b.ld+col:][:cols]):])
		}
	}
}

// transposed sets to[cols·k+i], of panels of cols columns, to the element k of the row i of m's memory, both counted from somewhere on,
// for k below n and i below rows, at most cols. It sets it to 0 for the columns from there on.
func (g *sgemm) transposed(to []float32, m blasMatrix, row, rows, from, n int) {
	lanes, cols := g.k.lanes, g.k.blas.cols
	for i := 0; i < cols; i += lanes {
		done := 0
		if i+lanes <= rows && n >= lanes {
			done = n / lanes * lanes
			g.k.blas.transpose(word(&to[i]), word(&m.data[(row+i)*m.ld+from]), 4*m.ld, done)
		}
		for j := i; j < i+lanes; j++ {
			if j >= rows {
				for s := range n {
					to[s*cols+j] = 0
				}
				continue
			}
			line := m.data[(row+j)*m.ld+from:][:n]
			for s := done; s < n; s++ {
				to[s*cols+j] = line[s]
			}
		}
	}
}
