package cpu

// panelCols is the width of a panel: the rows of a weight that a tile multiplies with at a time.
const panelCols = 32

// unlimited is more rows than a strip has, and more steps than a panel.
const unlimited = 1 << 30

// axpyRows is the number of rows that axpyF32 takes at a time.
const axpyRows = 8

// tileKernel computes c (rows, cols) = a·b, or adds it to c if add is not 0, for rows in [1, kernels.callRows], and cols up to what
// kernels.cols says. Rows of a and c are lda and ldc bytes apart. b is a part of a panel: steps of 32 elements of 32 bits, of which it
// reads the first cols and may read as many as kernels.cols says. Nothing of a or c is touched beyond rows and cols. Every
// kernels.prefetch steps a cache line, or kernels.lines of them if ahead is above 64, is prefetched at each of kernels.places places,
// the first at next and the others apart bytes from the one before, and next moves by ahead bytes. Of more than kernels.rows rows each
// kernels.rows are a tile of their own, for which steps count anew.
type tileKernel func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int)

// fewKernel is a tileKernel for rows that kernels.streams and all columns of kernels.fewPanels(rows) panels: b is parts of them, apart
// bytes one from the next, and c has their columns one after the other. It may prefetch what lies behind the parts.
type fewKernel func(a *uint32, lda int, b *uint32, apart int, c *float32, ldc, steps, rows, add int)

// kernels are the inner loops of a product at one level of vector instructions. Elements of x and of panels are passed by as
// 32 bits: a float32, or two bfloat16 of which the first is the lower half.
type kernels struct {
	lanes int // 32-bit elements of a vector
	rows  int // rows of a tile at most; strips are cut where a tile ends
	// callRows are the rows that a tileKernel takes at most: rows or, where it cuts them into tiles itself, unlimited.
	callRows int
	// part and streamPart are the steps of a part of a panel, at most, of a strip that is copied and of one that streams. Where kernels
	// have the same order of sums they have partSteps.
	part, streamPart int
	reading          int // rows that tiles multiply in the time that reading a panel takes
	full             int // tiles of up to so many rows have panelCols columns, taller ones half of them
	// What a tile prefetches: see tileKernel. Of several places the hardware fetches more ahead than of one.
	prefetch, places, lines int
	// besideRows is the rows from which on a strip's copy is for tileBesideF32. All are for tileBesideWidened, where there is one.
	besideRows int

	// A step of tileF32 is an element of float32. A step of tileWidened is two elements, of float32 in a and of bfloat16 in b.
	// A step of tileDot is two elements of bfloat16; it is nil where there are no instructions for it.
	tileF32, tileWidened, tileDot tileKernel
	// tileBesideF32 is tileF32 with a's elements of a step side by side: a is (steps, rows), and lda is of no account. So is
	// tileBesideWidened tileWidened, whose a then is (2·steps, rows). They are nil where there are none.
	tileBesideF32, tileBesideWidened tileKernel
	// to[rows·k+i] = from[i,k] for rows i, 1 to lanes, ld bytes apart, and k below steps, a multiple of lanes. It writes up to
	// lanes−rows elements of undefined contents beyond the last. It is nil with tileBesideF32 and tileBesideWidened.
	beside func(to, from *uint32, ld, steps, rows int)
	// fewF32, fewWidened and fewDot take steps as tileF32, tileWidened and tileDot do. They are nil where there is none.
	fewF32, fewWidened, fewDot fewKernel
	panels                     [2]int // that these take at a time: with up to 3 rows, and with more
	streamRows                 int    // strips of up to so many rows read a panel from its beginning to its end

	// out[4i+j] = Σ x[i,k]·w[j,k] for k below n, a multiple of lanes, four rows j of w and rows i of x, in [1, dotRows].
	dotF32     func(out, x *float32, ldx int, w *float32, ldw, n, rows int)
	dotWidened func(out, x *float32, ldx int, w *uint16, ldw, n, rows int)
	dotRows    int

	// y[j] += Σ x[i]·a[i,j] for j below n, a multiple of lanes, and 1 or axpyRows rows i of a, lda bytes apart. It is nil where
	// there is none, and with it no Sgemm and Sgemv.
	axpyF32 func(y, a *float32, lda int, x *float32, n, rows int)
	blas    *blasTiles // of Sgemm; they are there if axpyF32 is

	// to[32k+i] = from[i,k] for rows i below lanes, ld bytes apart, and k below steps, a multiple of lanes.
	transpose func(to, from *uint32, ld, steps int)
	// widen and narrow convert n elements, a multiple of lanes, between bfloat16 and float32, to nearest even.
	widen   func(to *float32, from *uint16, n int)
	narrow  func(to *uint16, from *float32, n int)
	vectors *vectors // for the other stages; nil if there are none

	// widenPanel converts steps of two bfloat16 of a panel to twice as many of float32. It is nil where tileBesideWidened makes it needless.
	widenPanel func(to, from *uint32, steps int)
	// out[i] = silu(gate[i])·up[i] and to[i] += a·x[i] for n elements, a multiple of lanes. out may be gate or up.
	swiglu    func(gate, up, out *float32, n int)
	addScaled func(to, x *float32, a float32, n int)

	formats *formatKernels // of weights in blocks; nil if there are none

	// pairs are the kernels that multiply bfloat16 by bfloat16, where these are others: then tileDot is nil here, and there what is of
	// no use to such a product.
	pairs *kernels
}

// forPairs are the kernels that multiply bfloat16 by bfloat16.
func (k *kernels) forPairs() *kernels {
	if k.pairs != nil {
		return k.pairs
	}
	return k
}

// blasTiles are the inner loops of Sgemm at one level of vector instructions. Its panels are as wide as its tiles.
type blasTiles struct {
	rows, cols int  // of a tile at most; cols is a multiple of lanes and not less than rows
	beside     bool // a's elements of a step lie side by side: a is (steps, rows), and lda is of no account

	// tile is a tileKernel for rows and cols in [1, rows] and [1, cols]; a step of b is cols elements. It prefetches as much of what
	// lies behind a as a has and, before every slot steps, slot being positive, cols elements at next, which
	// then moves by ahead bytes.
	tile func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, ahead, slot int)
	// to[cols·k+j] = from[k,j] for j below cols and k below steps, rows of from being ld bytes apart.
	copyPanel func(to, from *uint32, ld, steps int)
	// to[cols·k+i] = from[i,k] for rows i below lanes, ld bytes apart, and k below steps, a multiple of lanes.
	transpose func(to, from *uint32, ld, steps int)
}

// cols is the number of columns of a tile of some rows.
func (k *kernels) cols(rows int) int {
	if rows <= k.full {
		return panelCols
	}
	return panelCols / 2
}

// streams tells whether a strip of some rows reads a panel from its beginning to its end.
func (k *kernels) streams(rows int) bool { return rows <= k.streamRows }

// fewPanels is the number of panels that a fewKernel multiplies some rows with.
func (k *kernels) fewPanels(rows int) int {
	if rows < 4 {
		return k.panels[0]
	}
	return k.panels[1]
}
