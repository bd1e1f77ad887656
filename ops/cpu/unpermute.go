package cpu

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Unpermute implements backend.Unpermute for rows (R,H) F, gates (T,K) float32 and y (T,H). The sum runs in float32, in
// float64 for float64 rows, k ascending from 0. A slot whose SlotRow is −1 is left out, whatever its gate is; a token with
// no other slots gets zeros. A SlotRow outside [−1,R) is an ErrIndex that names the first such slot.
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
	src, err := floatsOf[A]("unpermute", "rows", rows, p.Rows, width)
	if err != nil {
		return err
	}
	dst, err := floatsOf[A]("unpermute", "y", y, p.Tokens, width)
	if err != nil {
		return err
	}
	if err := checkDtype("unpermute", "y", y, rows.Dtype()); err != nil {
		return err
	}
	var bad fault
	tiles(p.Tokens, width, 1<<14/max(p.Slots, 1), func(t, lo, hi int) {
		var buf, acc [tile]A
		sum := acc[:hi-lo]
		for s := t * p.Slots; s < (t+1)*p.Slots; s++ {
			r := int(slotRow[s])
			if r == -1 {
				continue
			}
			if r < 0 || r >= p.Rows {
				bad.report(s)
				return
			}
			addScaled(sum, A(gates[s]), src.read(r*width+lo, r*width+hi, buf[:]))
		}
		dst.write(t*width+lo, sum)
	})
	if bad.found {
		return fmt.Errorf("unpermute: the plan sends token %d, slot %d to row %d, want -1 or a row in [0,%d): %w",
			bad.at/p.Slots, bad.at%p.Slots, slotRow[bad.at], p.Rows, backend.ErrIndex)
	}
	return nil
}

// addScaled adds a·x to sum.
func addScaled[A accumulator](sum []A, a A, x []A) {
	x = x[:len(sum)]
	for i := range sum {
		sum[i] += a * x[i]
	}
}
