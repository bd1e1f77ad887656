package cpu

import (
	"math"
	"sync"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// workspace is the memory of a task.
type workspace struct {
	a, panel, wide []uint32
	c, rows        []float32
	dots           [4 * 4]float32
	block          [backend.BlockElements]float32
}

var workspaces sync.Pool

func getWorkspace() *workspace {
	if s, ok := workspaces.Get().(*workspace); ok {
		return s
	}
	return &workspace{}
}

// grown is a slice of n elements of undefined contents, buf if it is long enough.
func grown[E any](buf []E, n int) []E {
	if cap(buf) < n {
		return make([]E, n)
	}
	return buf[:n]
}

func (g *gemm) compute(t task) {
	if t.matrix == padding {
		g.clear(t)
		return
	}
	s := getWorkspace()
	defer workspaces.Put(s)
	switch {
	case g.gated:
		g.gate(t, s)
	case g.outBF16:
		ldc := pieces(t.cols, panelCols)*panelCols + padWords
		s.c = grown(s.c, t.rows*ldc)
		g.multiply(t, s, s.c, ldc)
		for i := range t.rows {
			g.store(t.row+i, t.col, s.c[i*ldc:][:t.cols])
		}
	default:
		at := g.out[4*(t.row*g.n+t.col) : 4*((t.row+t.rows-1)*g.n+t.col+t.cols)]
		g.multiply(t, s, unsafe.Slice((*float32)(unsafe.Pointer(&at[0])), len(at)/4), g.n)
	}
}

// gate computes silu of the gates' columns times the ups'. As a panel is multiplied whole, the ups' begin some columns early.
func (g *gemm) gate(t task, s *workspace) {
	early := (g.n + t.col) % panelCols
	gates := pieces(t.cols, panelCols) * panelCols
	ups := pieces(early+t.cols, panelCols) * panelCols
	ldc := gates + ups + padWords
	s.c = grown(s.c, t.rows*ldc)
	g.multiply(t, s, s.c, ldc)
	g.multiply(task{t.placedStrip, g.n + t.col - early, early + t.cols}, s, s.c[gates:], ldc)
	then := g.then != nil && g.then.copyLength(t.strip) > 0
	for i := range t.rows {
		row := s.c[i*ldc:][:ldc]
		g.k.activate(row, row[gates+early:], t.cols)
		if !then {
			g.store(t.row+i, t.col, row[:t.cols])
		}
	}
	if then {
		g.then.fill(t, s.c, ldc)
	}
}

// multiply computes the columns of w that t names.
func (g *gemm) multiply(t task, s *workspace, c []float32, ldc int) {
	switch {
	case g.onTiles(t.strip):
		g.tiles(t, s, c, ldc)
	case g.w.coded.bytes != 0:
		g.codedDots(t, s, c, ldc)
	default:
		g.dots(t, s, c, ldc)
	}
}

func (g *gemm) clear(t task) {
	size := g.outSize()
	for i := range t.rows {
		clear(g.out[size*((t.row+i)*g.n+t.col):][:size*t.cols])
	}
}

func (g *gemm) outSize() int {
	if g.outBF16 {
		return 2
	}
	return 4
}

// store writes elements of a row of out.
func (g *gemm) store(row, col int, from []float32) {
	to := g.out[g.outSize()*(row*g.n+col):][:g.outSize()*len(from)]
	if g.outBF16 {
		narrowRow(g.k, unsafe.Slice((*uint16)(unsafe.Pointer(&to[0])), len(from)), from)
		return
	}
	copy(unsafe.Slice((*float32)(unsafe.Pointer(&to[0])), len(from)), from)
}

// widenRow makes float32 of the bfloat16 of from.
func widenRow(k *kernels, to []float32, from []uint16) {
	done := len(from) / k.lanes * k.lanes
	if done > 0 {
		k.widen(&to[0], &from[0], done)
	}
	for i := done; i < len(from); i++ {
		to[i] = float(from[i])
	}
}

// narrowRow fills to with the first numbers of from, rounded to bfloat16.
func narrowRow(k *kernels, to []uint16, from []float32) {
	done := len(to) / k.lanes * k.lanes
	if done > 0 {
		k.narrow(&to[0], &from[0], done)
	}
	for i := done; i < len(to); i++ {
		to[i] = rounded[uint16](from[i])
	}
}

// xRow is the row of x that row r of the product takes.
func (g *gemm) xRow(r int) int {
	if g.rowSlot == nil {
		return r
	}
	return int(g.rowSlot[r]) / g.slots
}

// widened writes elements of x for a row of the product, n from one on, to a buffer as float32. An element beyond the row is zero.
func (g *gemm) widened(to []uint32, row, from, n int) {
	have := min(n, g.w.d-from)
	clear(to[have:n])
	at := g.xRow(row)*g.w.d + from
	if !g.xIsBF16 {
		copy(to, unsafe.Slice((*uint32)(unsafe.Pointer(&g.x[4*at])), have))
		return
	}
	x := unsafe.Slice((*uint16)(unsafe.Pointer(&g.x[2*at])), have)
	widenRow(g.k, unsafe.Slice((*float32)(unsafe.Pointer(&to[0])), have), x)
}

// pairs writes elements of x, of bfloat16, for a row of the product to a buffer, two to a word. An element beyond the row is zero.
func (g *gemm) pairs(to []uint32, row, from, words int) {
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&to[0])), 4*words)
	have := min(4*words, 2*(g.w.d-from))
	copy(buf, g.x[2*(g.xRow(row)*g.w.d+from):][:have])
	clear(buf[have:])
}

// inPlace tells whether the rows of x for a strip lie one below the other.
func (g *gemm) inPlace(t task) bool { return g.rowSlot == nil || t.rows == 1 }

// floats gives the rows of a strip as float32, with zeros up to a width, and the distance between them in bytes: x itself or a copy.
func (g *gemm) floats(t task, s *workspace, width int) (*float32, int) {
	if !g.xIsBF16 && width == g.w.d && g.inPlace(t) {
		return (*float32)(unsafe.Pointer(&g.x[4*g.xRow(t.row)*g.w.d])), 4 * g.w.d
	}
	ld := width + padWords
	s.a = grown(s.a, t.rows*ld)
	for i := range t.rows {
		g.widened(s.a[i*ld:], t.row+i, 0, width)
	}
	return (*float32)(unsafe.Pointer(&s.a[0])), 4 * ld
}

// dots computes a task of a weight that lies as it is, four of its rows at a time. Those are as far from each other as they can be: what
// is read are four streams, each from its beginning to its end.
func (g *gemm) dots(t task, s *workspace, c []float32, ldc int) {
	x, ldx := g.floats(t, s, g.w.d)
	row := g.w.d * g.w.size
	for j := 0; j < t.cols; {
		b := g.w.block(t.matrix, t.col+j)
		n := min(b.end-t.col, t.cols) - j
		w := b.data[(t.col+j-b.start)*row:][:n*row]
		apart := n / 4
		for i := range apart {
			g.dotGroup(s, x, ldx, w[i*row:], apart, t.rows, c[j+i:], ldc)
		}
		for i := 4 * apart; i < n; i++ {
			g.dotGroup(s, x, ldx, w[i*row:], 0, t.rows, c[j+i:], ldc)
		}
		j += n
	}
}

// dotGroup computes the columns of four rows of w, apart from each other, or of one if that is 0.
func (g *gemm) dotGroup(s *workspace, x *float32, ldx int, w []byte, apart, rows int, c []float32, ldc int) {
	d, size, n := g.w.d, g.w.size, 4
	if apart == 0 {
		n = 1 // the kernel takes the one row four times
	}
	ldw := apart * d * size
	whole := d / g.k.lanes * g.k.lanes
	for i := 0; i < rows; i += g.k.dotRows {
		here := min(g.k.dotRows, rows-i)
		at := (*float32)(unsafe.Add(unsafe.Pointer(x), i*ldx))
		if size == 4 {
			g.k.dotF32(&s.dots[0], at, ldx, (*float32)(unsafe.Pointer(&w[0])), ldw, whole, here)
		} else {
			g.k.dotWidened(&s.dots[0], at, ldx, (*uint16)(unsafe.Pointer(&w[0])), ldw, whole, here)
		}
		for r := range here {
			row := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(at), r*ldx)), d)
			for j := range n {
				c[(i+r)*ldc+j*apart] = s.dots[4*r+j] + g.dotRest(row, w[j*ldw:][:d*size], whole)
			}
		}
	}
}

// dotRest is the dot of the elements from one on.
func (g *gemm) dotRest(x []float32, w []byte, from int) (sum float32) {
	for k := from; k < len(x); k++ {
		if g.w.size == 4 {
			sum += x[k] * *(*float32)(unsafe.Pointer(&w[4*k]))
		} else {
			sum += x[k] * math.Float32frombits(uint32(*(*uint16)(unsafe.Pointer(&w[2*k])))<<16)
		}
	}
	return sum
}
