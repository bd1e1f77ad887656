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
	w.v, w.k, w.slots, w.width, w.past = v, k, p.Slots, width, pastCaches(w.y, width)
	w.across = pieces(width, weightedColumns)
	l.run(p.Tokens*w.across, 1<<15/(min(width, weightedColumns)*max(p.Slots, 1)))
	return true
}

// weightedColumns is the columns of a token that are computed at a time.
const weightedColumns = 1 << 12

// weighted is the sums of each token's rows, in stretches of columns.
type weighted[E row] struct {
	v *vectors
	k *rowKernels[E]

	y, rows            []E
	slotRow            []int32
	gates              []float32
	slots, width, past int
	across             int // stretches of a token
}

func (w *weighted[E]) span(lo, hi int) {
	work := vectorWorks.Get().(*vectorWork)
	defer vectorWorks.Put(work)
	var e E
	for i := lo; i < hi; i++ {
		t, from := i/w.across, i%w.across*weightedColumns
		to := min(from+weightedColumns, w.width)
		terms := 0
		for s := t * w.slots; s < (t+1)*w.slots; s++ {
			if r := int(w.slotRow[s]); r >= 0 {
				work.at[terms], work.weights[terms] = r*w.width*int(unsafe.Sizeof(e)), w.gates[s]
				terms++
			}
		}
		y := w.y[t*w.width+from : t*w.width+to]
		n := len(y) / w.v.step * w.v.step
		if n > 0 {
			w.k.weighted(&y[0], &w.rows[from], &work.at[0], &work.weights[0], terms, n, w.past)
		}
		for j := n; j < len(y); j++ {
			var sum float32
			for k := range terms {
				sum += work.weights[k] * float(w.rows[work.at[k]/int(unsafe.Sizeof(e))+from+j])
			}
			y[j] = rounded[E](sum)
		}
	}
	if w.past != 0 {
		w.v.fence()
	}
}
