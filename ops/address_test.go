package ops_test

import (
	"strconv"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// TestMoreThan31BitsOfElements addresses the last row of a matrix of more than 2³¹ elements, in tokens, in rows and as an
// operand of a product. Only that row is ever touched, so the matrix takes address space and hardly any memory.
func TestMoreThan31BitsOfElements(t *testing.T) {
	if testing.Short() || strconv.IntSize < 64 {
		t.Skip("reserves 4 GiB of address space")
	}
	n, width := 1<<16+3, 1<<15
	big := must[backend.Value](t)(backend.Host.New(backend.BFloat16, tensor.Shape{n, width}))
	last := must[[]backend.BF16](t)(backend.Slice[backend.BF16](big))[(n-1)*width:]
	for j := range last {
		last[j] = backend.ToBF16(float32(j%7 + 1))
	}
	check := func(what string, got backend.Value, scale float32) {
		row := must[[]backend.BF16](t)(backend.Slice[backend.BF16](got))
		for j := range last {
			if row[j].Float32() != scale*last[j].Float32() {
				t.Fatalf("%s: column %d is %v, want %v", what, j, row[j], scale*last[j].Float32())
			}
		}
	}

	choice := make([]int32, n)
	for i := range choice[1:] {
		choice[i] = -1
	}
	one := must[*backend.Plan](t)(ops.EvalPlan(ids(n, 1, choice...), nil, ops.PlanConfig{Experts: 1, Rows: 1}))
	check("Permute", must[backend.Value](t)(ops.EvalPermute(big, one)), 1)

	// The one token's row is the last.
	p := must[*backend.Plan](t)(backend.NewPlan(backend.Host, 1, 1, 1, 1, n))
	int32s(p.SlotRow)[0] = int32(n - 1)
	int32s(p.Counts)[0] = 1
	copy(int32s(p.Offsets), []int32{int32(n - 1), int32(n)})
	check("Unpermute", must[backend.Value](t)(ops.EvalUnpermute(big, matrix(1, 1, 2), p)), 2)

	w := tensor.New(tensor.WithShape(1, 1, width), tensor.Of(tensor.Float32))
	w.Data().([]float32)[width-1] = 1
	product := must[backend.Value](t)(ops.EvalGroupedMatMulTo(tensor.Float32, big, w, p))
	if got := f32s(t, product); got[n-1] != last[width-1].Float32() || got[0] != 0 {
		t.Errorf("GroupedMatMul: the first row is %v and the last %v, want 0 and %v", got[0], got[n-1], last[width-1])
	}
}
