package cpu

import "sync"

// The matrix product out = x · wᵀ. Both operands keep their rows contiguous, so an element of the product is the dot of a row
// of x and a row of w, and neither needs to be transposed or repacked.
//
// The work is cut three times. A tile is a strip of up to tileRows rows of x by some columns of out; tiles are what the
// workers share out. Within a tile the inner dimension is cut into lengths of depth, so that the strip stays in the second
// level of cache while it is read again for every group of columns. A group is a few rows of w, which stay in the first
// level while the rows of the strip pass by, each giving the dots with all of them at once. Six of them are six independent
// chains of additions, enough to keep a scalar core's adders busy; with their products and operands they fill the sixteen
// registers of amd64, and two more make the compiler spill.
//
// Rows of another type than the sums' are converted as they come into play: a row of x once a tile and length, a row of w
// once a strip. Each element is the sum of the sums over the lengths, each in ascending order, however many rows the strip
// has and wherever the tile begins: a row of out depends on nothing but its row of x and w.

const (
	tileRows = 64         // rows of a strip at most: the products that an element of w is read for
	minCols  = 10 * group // columns of a tile at least: the products that the conversion of an element of x serves
	maxCols  = 80 * group
	tileWork = 1 << 18 // the products of a tile between these widths: some tens of microseconds
	depth    = 1024    // 64 rows of it are 256 KiB of float32, six rows 24 KiB
	group    = 6
)

// padding stands in for the number of an expert where rows belong to none.
const padding = -1

// strip is a run of rows of x that meet the same matrix of w, or padding, whose product is zero.
type strip struct {
	row, rows int
	matrix    int
}

// cutRows appends the rows [from,to) to strips, in strips of about equal height.
func cutRows(strips []strip, from, to, matrix int) []strip {
	n := to - from
	count := pieces(n, tileRows)
	for i := range count {
		lo, hi := from+i*n/count, from+(i+1)*n/count
		strips = append(strips, strip{row: lo, rows: hi - lo, matrix: matrix})
	}
	return strips
}

// product is out (R,N) = x (R,D) · wᵀ, w one matrix (N,D) or several, in the course of being computed.
type product[A accumulator] struct {
	out  floats[A]
	x, w anyMatrix[A]
	n, d int

	strips       []strip
	cols, across int // of a tile, and tiles of a strip
}

// stripLists keeps the memory of strips for later products.
var stripLists = sync.Pool{New: func() any { return new([]strip) }}

// cut sets the tiles of some strips and tells how many there are.
func (p *product[A]) cut(strips []strip) int {
	tallest := 1
	for _, s := range strips {
		tallest = max(tallest, s.rows)
	}
	p.strips = strips
	p.cols = tileWork / (tallest * max(p.d, 1)) / group * group
	p.cols = min(max(p.cols, minCols), maxCols)
	p.across = pieces(p.n, p.cols)
	return len(strips) * p.across
}

// span computes the tiles [lo,hi).
func (p *product[A]) span(lo, hi int) {
	for i := lo; i < hi; i++ {
		col := i % p.across * p.cols
		p.tile(p.strips[i/p.across], col, min(p.cols, p.n-col))
	}
}

// tile computes cols columns of out from col on, in the rows of s.
func (p *product[A]) tile(s strip, col, cols int) {
	scratch := getScratch[A](s.rows*cols + (s.rows+group)*depth)
	defer putScratch(scratch)
	sums, buf := (*scratch)[:s.rows*cols], (*scratch)[s.rows*cols:]
	clear(sums)
	if s.matrix != padding {
		for lo := 0; lo < p.d; lo += depth {
			p.accumulate(sums, s, col, cols, lo, min(lo+depth, p.d), buf)
		}
	}
	for i := range s.rows {
		p.out.write((s.row+i)*p.n+col, sums[i*cols:(i+1)*cols])
	}
}

// accumulate adds the products over [lo,hi) of the inner dimension to sums (rows, cols).
func (p *product[A]) accumulate(sums []A, s strip, col, cols, lo, hi int, buf []A) {
	var x [tileRows][]A
	for i := range s.rows {
		x[i] = p.x.row(s.row+i, lo, hi, buf[i*depth:])
	}
	buf = buf[s.rows*depth:]
	var w [group][]A
	for j := 0; j < cols; j += group {
		here := min(group, cols-j)
		rowsOf(&w, p.w.matrix, s.matrix*p.n+col+j, here, lo, hi, buf)
		for i, x := range x[:s.rows] {
			dots := dot6(x, &w)
			out := sums[i*cols+j:][:here]
			for g := range out {
				out[g] += dots[g]
			}
		}
	}
}

// rowsOf sets w to the elements [lo,hi) of n rows of m from the first on. If n is less than a group, w repeats the first, to
// give dots that nobody looks at.
func rowsOf[A accumulator](w *[group][]A, m matrix[A], first, n, lo, hi int, buf []A) {
	for g := range w {
		if g >= n {
			w[g] = w[0]
			continue
		}
		w[g] = m.row(first+g, lo, hi, buf[g*(hi-lo):])
	}
}

// dot6 gives the dots of x with six vectors that are as long or longer.
func dot6[A accumulator](x []A, w *[group][]A) [group]A {
	w0, w1, w2, w3, w4, w5 := w[0][:len(x)], w[1][:len(x)], w[2][:len(x)], w[3][:len(x)], w[4][:len(x)], w[5][:len(x)]
	var s0, s1, s2, s3, s4, s5 A
	for k, v := range x {
		s0 += v * w0[k]
		s1 += v * w1[k]
		s2 += v * w2[k]
		s3 += v * w3[k]
		s4 += v * w4[k]
		s5 += v * w5[k]
	}
	return [group]A{s0, s1, s2, s3, s4, s5}
}
