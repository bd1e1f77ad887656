package cpu

import (
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// Unpermute implements backend.Unpermute for rows and y of float32 or bfloat16 and up to 64 slots a token. The sum runs in float32, k
// ascending from 0, each product and each sum rounded: the bits are those of plain Go.
func (s simd) Unpermute(y, rows, gates backend.Value, p *backend.Plan) error {
	v := s.k.vectors
	if v != nil && p != nil && p.Slots <= mostTerms && (unpermuteRows(v, &v.f32, y, rows, gates, p) || unpermuteRows(v, &v.bf16, y, rows, gates, p)) {
		return nil
	}
	return s.rowsUnsupported("unpermute")
}

// unpermuteRows tells whether it could take the operands.
func unpermuteRows[E row](v *vectors, k *rowKernels[E], y, rows, gates backend.Value, p *backend.Plan) bool {
	_, width, err := matrixDims("unpermute", "rows", rows)
	if err != nil {
		return false
	}
	l := getLoop[weighted[E]]()
	defer l.free()
	w := &l.s
	var okY, okRows bool
	w.rows, okRows = bitsOf[E](rows, p.Rows, width)
	w.y, okY = bitsOf[E](y, p.Tokens, width)
	if !okY || !okRows {
		return false
	}
	if w.slotRow, err = elementsOf[int32]("unpermute", "SlotRow", p.SlotRow, p.Tokens, p.Slots); err != nil {
		return false
	}
	if w.gates, err = elementsOf[float32]("unpermute", "gates", gates, p.Tokens, p.Slots); err != nil {
		return false
	}
	for _, r := range w.slotRow {
		if r < -1 || int(r) >= p.Rows {
			return false
		}
	}
	w.v, w.k, w.slots, w.width, w.past = v, k, p.Slots, width, pastCaches(w.y, width, p.Slots*len(w.y))
	w.columns = stretchColumns(width, p.Slots, int(unsafe.Sizeof(w.y[0])))
	w.across = pieces(width, w.columns)
	l.run(p.Tokens*w.across, 1<<15/(w.columns*max(p.Slots, 1)))
	return true
}

// stretchColumns is the columns of a token that are computed at a time: so few that the next ones, which are read meanwhile, fit beside
// them into the first level of cache, but for many slots.
func stretchColumns(width, slots, size int) int {
	const least, bytes = 256, 16 << 10
	return min(width, max(1, bytes/(size*max(slots, 1)*least))*least)
}

// weighted is the sums of each token's rows, in stretches of columns.
type weighted[E row] struct {
	v *vectors
	k *rowKernels[E]

	y, rows            []E
	slotRow            []int32
	gates              []float32
	slots, width, past int
	columns, across    int // of a stretch, and stretches of a token
}

// terms are the rows whose sum a stretch is: where they begin behind the first, in bytes, and their weights.
type terms struct {
	at      [mostTerms]int
	weights [mostTerms]float32
	n       int
}

// terms lists those of stretch i.
func (w *weighted[E]) terms(of *terms, i int) {
	t, from := i/w.across, i%w.across*w.columns
	of.n = 0
	for s := t * w.slots; s < (t+1)*w.slots; s++ {
		if r := int(w.slotRow[s]); r >= 0 {
			of.at[of.n], of.weights[of.n] = (r*w.width+from)*int(unsafe.Sizeof(w.y[0])), w.gates[s]
			of.n++
		}
	}
}

func (w *weighted[E]) span(lo, hi int) {
	work := vectorWorks.Get().(*vectorWork)
	defer vectorWorks.Put(work)
	now, next := &work.terms[0], &work.terms[1]
	w.terms(next, lo)
	for i := lo; i < hi; i++ {
		now, next = next, now
		copy(next.at[:now.n], now.at[:now.n]) // of as many rows, even if the next stretch has fewer
		if i+1 < hi {
			w.terms(next, i+1)
		}
		from := i % w.across * w.columns
		y := w.y[i/w.across*w.width:][from:min(from+w.columns, w.width)]
		n := len(y) / w.v.step * w.v.step
		if n > 0 {
			w.k.weighted(&y[0], &w.rows[0], &now.at[0], &next.at[0], &now.weights[0], now.n, n, w.past)
		}
		for j := n; j < len(y); j++ {
			var sum float32
			for k := range now.n {
				sum += float32(now.weights[k] * float(w.rows[now.at[k]/int(unsafe.Sizeof(y[0]))+j]))
			}
			y[j] = rounded[E](sum)
		}
	}
	if w.past != 0 {
		w.v.fence()
	}
}
