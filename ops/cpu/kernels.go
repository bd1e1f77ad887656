package cpu

// panelCols is the width of a panel: the rows of a weight that a tile multiplies with at a time.
const panelCols = 32

// tileKernel computes c (rows, cols) = a·b, or adds it to c if add is not 0, for rows in [1, kernels.rows] and cols up to what
// kernels.cols says. Rows of a and c are lda and ldc bytes apart. b is a part of a panel: steps of 32 elements of 32 bits, of
// which it reads the first cols and may read as many as kernels.cols says. Nothing of a or c is touched beyond rows and cols.
// At every step the cache line at next is prefetched and next moves by ahead bytes.
type tileKernel func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, ahead int)

// kernels are the inner loops of a product at one level of vector instructions. Elements of x and of panels are passed by as
// 32 bits: a float32, or two bfloat16 of which the first is the lower half.
type kernels struct {
	lanes int // 32-bit elements of a vector
	rows  int // rows of a tile at most
	full  int // tiles of up to so many rows have panelCols columns, taller ones half of them

	// A step of tileF32 is an element of float32. A step of tileWidened is two elements, of float32 in a and of bfloat16 in b.
	// A step of tileDot is two elements of bfloat16; it is nil where there are no instructions for it.
	tileF32, tileWidened, tileDot tileKernel

	// out[4i+j] = Σ x[i,k]·w[j,k] for k below n, a multiple of lanes, four rows j of w and rows i of x, in [1, dotRows].
	dotF32     func(out, x *float32, ldx int, w *float32, ldw, n, rows int)
	dotWidened func(out, x *float32, ldx int, w *uint16, ldw, n, rows int)
	dotRows    int

	// to[32k+i] = from[i,k] for rows i below lanes, ld bytes apart, and k below steps, a multiple of lanes.
	transpose func(to, from *uint32, ld, steps int)
	// widen and narrow convert n elements, a multiple of lanes, between bfloat16 and float32, to nearest even.
	widen   func(to *float32, from *uint16, n int)
	narrow  func(to *uint16, from *float32, n int)
	vectors *vectors // for the other stages; nil if there are none

	// widenPanel converts steps of two bfloat16 of a panel to twice as many of float32.
	widenPanel func(to, from *uint32, steps int)
}

// cols is the number of columns of a tile of some rows.
func (k *kernels) cols(rows int) int {
	if rows <= k.full {
		return panelCols
	}
	return panelCols / 2
}
