package cpu

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Unpermute implements backend.Unpermute for rows (R,H) F, gates (T,K) float32 and y (T,H). The sum runs in float32, in float64 for
// float64 rows, k ascending from 0, each product and each sum rounded. A slot whose SlotRow is −1 is left out, whatever its gate is;
// a token with no other slots gets zeros. A SlotRow outside [−1,R) is an ErrIndex that names the first such slot.
func (Go) Unpermute(y, rows, gates backend.Value, p *backend.Plan) error {
	if err := checkPlan("unpermute", p); err != nil {
		return err
	}
	_, width, err := matrixDims("unpermute", "rows", rows)
	if err != nil {
		return err
	}
	slotRow, err := elementsOf[int32]("unpermute", "SlotRow", p.SlotRow, p.Tokens, p.Slots)
	if err != nil {
		return err
	}
	g, err := elementsOf[float32]("unpermute", "gates", gates, p.Tokens, p.Slots)
	if err != nil {
		return err
	}
	if rows.Dtype() == tensor.Float64 {
		return unpermute[float64](y, rows, g, slotRow, p, width)
	}
	return unpermute[float32](y, rows, g, slotRow, p, width)
}

func unpermute[A accumulator](y, rows backend.Value, gates []float32, slotRow []int32, p *backend.Plan, width int) error {
	l := getLoop[weighing[A]]()
	defer l.free()
	l.s.slotRow, l.s.gates, l.s.slots, l.s.count, l.s.width = slotRow, gates, p.Slots, p.Rows, width
	var err error
	if l.s.rows, err = floatsOf[A]("unpermute", "rows", rows, p.Rows, width); err != nil {
		return err
	}
	if l.s.y, err = floatsOf[A]("unpermute", "y", y, p.Tokens, width); err != nil {
		return err
	}
	if err := checkDtype("unpermute", "y", y, rows.Dtype()); err != nil {
		return err
	}
	l.run(p.Tokens*width, 1<<14/max(p.Slots, 1))
	if at := l.s.bad.at; l.s.bad.found {
		return fmt.Errorf("unpermute: the plan sends token %d, slot %d to row %d, want -1 or a row in [0,%d): %w",
			at/p.Slots, at%p.Slots, slotRow[at], p.Rows, backend.ErrIndex)
	}
	return nil
}

type weighing[A accumulator] struct {
	y, rows             floats[A]
	slotRow             []int32
	gates               []float32
	slots, count, width int // K, R, H
	bad                 fault
}

func (w *weighing[A]) span(from, to int) {
	var buf, acc [tile]A
	tiles(from, to, w.width, func(t, lo, hi int) {
		sum := acc[:hi-lo]
		clear(sum)
		for s := t * w.slots; s < (t+1)*w.slots; s++ {
			r := int(w.slotRow[s])
			if r == -1 {
				continue
			}
			if r < 0 || r >= w.count {
				w.bad.report(s)
				return
			}
			addScaled(sum, A(w.gates[s]), w.rows.read(r*w.width+lo, r*w.width+hi, buf[:]))
		}
		w.y.write(t*w.width+lo, sum)
	})
}

// addScaled adds a·x to sum, each product and each sum rounded.
func addScaled[A accumulator](sum []A, a A, x []A) {
	x = x[:len(sum)]
	for i := range sum {
		sum[i] += A(a * x[i]) //nolint:unconvert // the conversion keeps a compiler from joining the two operations
	}
}
