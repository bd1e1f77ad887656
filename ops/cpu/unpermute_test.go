package cpu

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestUnpermuteLeavesOutWhatIsNotHere(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	p := planOf(t, 4, 2, 3, 2, 2, -1, -1, -1, 0, 2, -1, 0)
	rows := make([]float64, 2*p.Rows)
	for i := range rows {
		rows[i] = nan // padding must not be read
	}
	for s, row := range elementsIn[int32](t, p.SlotRow) {
		if row >= 0 {
			rows[2*row], rows[2*row+1] = float64(s+1), -float64(s+1)
		}
	}
	for _, dt := range floatDtypes {
		gates := hostTensor[float32](t, []int{4, 2}, 0.5, float32(nan), float32(nan), float32(inf), 1, 2, float32(inf), 2)
		y := floatTensor(t, dt, []int{4, 2}, nan, nan, nan, nan, nan, nan, nan, nan)
		if err := (Go{}).Unpermute(y, floatTensor(t, dt, []int{p.Rows, 2}, rows...), gates, p); err != nil {
			t.Fatal(err)
		}
		want := []float64{0.5, -0.5, 0, 0, 5 + 2*6, -5 - 2*6, 2 * 8, -2 * 8}
		if got := floatsIn(t, y); !sameFloats(got, want) {
			t.Errorf("%v: got %v, want %v", dt, got, want)
		}
	}
}

func TestUnpermuteZeroGateOfNaNIsNaN(t *testing.T) {
	y := hostTensor[float32](t, []int{1, 1})
	rows := hostTensor(t, []int{1, 1}, float32(math.NaN()))
	if err := (Go{}).Unpermute(y, rows, hostTensor[float32](t, []int{1, 1}), planOf(t, 1, 1, 1, 1, 0)); err != nil {
		t.Fatal(err)
	}
	if got := floatsIn(t, y); !math.IsNaN(got[0]) {
		t.Errorf("a slot that is here with gate 0 and a NaN row: got %v, want NaN", got)
	}
}

// TestUnpermuteAddsInOrderOfSlots has sums that depend on the order and on the width of the accumulator.
func TestUnpermuteAddsInOrderOfSlots(t *testing.T) {
	p := planOf(t, 1, 4, 4, 1, 3, 1, 0, 2) // the order of slots is not that of rows
	slots := []float64{0x1p24, 1, -0x1p24, 1}
	rows := make([]float64, 4)
	for s, row := range elementsIn[int32](t, p.SlotRow) {
		rows[row] = slots[s]
	}
	for _, c := range []struct {
		dt   tensor.Dtype
		want float64
	}{{tensor.Float32, 1}, {backend.BFloat16, 1}, {tensor.Float64, 2}} {
		y := floatTensor(t, c.dt, []int{1, 1})
		gates := hostTensor[float32](t, []int{1, 4}, 1, 1, 1, 1)
		if err := (Go{}).Unpermute(y, floatTensor(t, c.dt, []int{4, 1}, rows...), gates, p); err != nil {
			t.Fatal(err)
		}
		if got := floatsIn(t, y)[0]; got != c.want {
			t.Errorf("%v: got %v, want %v", c.dt, got, c.want)
		}
	}
}

func TestUnpermuteErrors(t *testing.T) {
	rows := hostTensor[float32](t, []int{4, 3})
	gates := hostTensor[float32](t, []int{2, 2})
	y := hostTensor[float32](t, []int{2, 3})
	good := planOf(t, 2, 2, 1, 1, 0, 0, 0, 0)
	withRow := func(r int32) *backend.Plan {
		p := planOf(t, 2, 2, 1, 1, 0, 0, 0, 0)
		elementsIn[int32](t, p.SlotRow)[1] = r
		return p
	}
	for name, c := range map[string]struct {
		y, rows, gates backend.Value
		p              *backend.Plan
		want           error
	}{
		"row too large": {y, rows, gates, withRow(4), backend.ErrIndex},
		"row below -1":  {y, rows, gates, withRow(math.MinInt32), backend.ErrIndex},
		"gates' dtype":  {y, rows, hostTensor[float64](t, []int{2, 2}), good, backend.ErrDtype},
		"gates' shape":  {y, rows, hostTensor[float32](t, []int{4}), good, backend.ErrShape},
		"rows":          {y, hostTensor[float32](t, []int{5, 3}), gates, good, backend.ErrShape},
		"rows' dtype":   {y, hostTensor[int32](t, []int{4, 3}), gates, good, backend.ErrDtype},
		"rows' rank":    {y, hostTensor[float32](t, []int{4, 3, 1}), gates, good, backend.ErrShape},
		"y's dtype":     {hostTensor[backend.BF16](t, []int{2, 3}), rows, gates, good, backend.ErrDtype},
		"y's shape":     {hostTensor[float32](t, []int{3, 2}), rows, gates, good, backend.ErrShape},
		"no plan":       {y, rows, gates, nil, backend.ErrValue},
		"no rows":       {y, nil, gates, good, backend.ErrValue},
	} {
		if err := (Go{}).Unpermute(c.y, c.rows, c.gates, c.p); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
