package cpu

import (
	"slices"

	"github.com/gorgonia/moe/ops/backend"
)

// Products with a weight in blocks in whole numbers. An element of x becomes one of 16 bits times a scale that the block of 32
// shares, so that a block's products are sums of whole numbers, exact, and only they are made float32. That takes about half as many
// instructions as products in float32, which is what decides for few rows of x, where each element of w is read for one or two
// products and memory is faster than the conversion to float32.

// roundedKernels are the inner loops of such products, the zero value where a level has none for a format.
type roundedKernels struct {
	rows     int // of x that dot takes at most
	strips   int // strips of up to so many rows, dotStrip at most as taller ones go on tiles, are faster by these than by blockKernels.dot
	together int // rounded blocks that lie together: what is left of a row takes the place of so many
	// round rounds blocks of 32 elements of x: with s = max|x|/m over a block, to the whole numbers n nearest to x/s, m being 32767 or
	// the largest that the kernels take. It tells whether it could: not if a max|x| is NaN, infinite or so large or small that d·s might
	// overflow or be subnormal. A block becomes roundedWords.
	round func(to *uint32, x *float32, blocks int) bool
	// dot is blockKernels.dot for rows of x that round has made, and for groups of four rows of w, those of a group behind those of the
	// one before: out[g+i·ldo+j·step] is the dot of row i of x and row j of group g. ldo and step are in bytes.
	dot func(out *float32, ldo, step int, x *uint32, ldx int, w *byte, ldw, blocks, rows, groups int)
}

// roundedWords are those of a rounded block.
const roundedWords = 24

// roundStrips rounds the rows of x for strips that have few, each once.
func (g *gemm) roundStrips() {
	const grain = 1 << 15 // elements, which take some microseconds
	if g.placeRounded() {
		split(len(g.strips), grain/g.w.d, g.roundBody)
	}
}

// placeRounded gives the rows that are to be rounded their places: places[r] tells where row r is among the rounded ones; it is −1 if
// the row is none of them and is multiplied in float32. It tells whether the weight is one that rows are rounded for.
func (g *gemm) placeRounded() bool {
	g.places = g.places[:0]
	k := &g.w.coded.rounded
	if k.dot == nil {
		return false
	}
	g.places = grown(g.places, g.rows)
	n := 0
	for _, s := range g.strips {
		for r := s.row; r < s.row+s.rows; r++ {
			g.places[r] = -1
			if s.matrix != padding && s.rows <= k.strips {
				g.places[r] = int32(n)
				n++
			}
		}
	}
	g.rounded = grown(g.rounded, n*g.roundedRow())
	return true
}

// roundMatrix rounds those of the strips of a matrix, once they have places.
func (g *gemm) roundMatrix(e int) {
	if len(g.places) == 0 {
		return
	}
	lo, _ := slices.BinarySearchFunc(g.strips, e, func(s placedStrip, e int) int { return s.matrix - e })
	hi := lo
	for hi < len(g.strips) && g.strips[hi].matrix == e {
		hi++
	}
	g.roundRows(lo, hi)
}

// roundRows rounds the rows of the strips [lo,hi).
func (g *gemm) roundRows(lo, hi int) {
	s := getWorkspace()
	defer workspaces.Put(s)
	for _, strip := range g.strips[lo:hi] {
		for i := range strip.rows {
			one := task{placedStrip: strip}
			one.row, one.rows = strip.row+i, 1
			place := g.roundedPlace(one.row)
			if place < 0 {
				continue
			}
			x, _ := g.floats(one, s, rowBlocks(g.w.d)*backend.BlockElements)
			if !g.w.coded.rounded.round(&g.rounded[place*g.roundedRow()], x, rowBlocks(g.w.d)) {
				g.places[one.row] = -1
			}
		}
	}
}

// roundedRow is the number of words of a rounded row.
func (g *gemm) roundedRow() int { return g.w.coded.rounded.len(rowBlocks(g.w.d)) }

// len is the number of words of some blocks.
func (k *roundedKernels) len(blocks int) int {
	return pieces(blocks, k.together) * k.together * roundedWords
}

// roundedPlace is where row r of the product is among the rounded rows, −1 if it is not.
func (g *gemm) roundedPlace(r int) int {
	if len(g.places) == 0 {
		return -1
	}
	return int(g.places[r])
}

// alike is the number of rows of a strip from row i on, up to most, that are rounded as row i is, or are not as it is not.
func (g *gemm) alike(t task, i, most int) int {
	n := 1
	for n < most && i+n < t.rows && (g.roundedPlace(t.row+i+n) < 0) == (g.roundedPlace(t.row+i) < 0) {
		n++
	}
	return n
}

// needsFloats tells whether a row of a strip is not rounded.
func (g *gemm) needsFloats(t task) bool {
	for i := range t.rows {
		if g.roundedPlace(t.row+i) < 0 {
			return true
		}
	}
	return false
}
