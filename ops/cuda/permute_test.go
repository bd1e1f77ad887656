//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TestPermuteOfQuantized calls Permute with scales that one launch moves beside the codes, with scales that are too wide for
// that, and with operands that it has to refuse.
func TestPermuteOfQuantized(t *testing.T) {
	d := testDevice(t)
	const tokens, slots, width, experts = 3, 2, 300, 4
	r := must(backend.RowBound(tokens, slots, experts, 1))(t)
	p := must(backend.NewPlan(d, tokens, slots, experts, 1, r))(t)
	ids := must(d.Upload(tensor.New(tensor.WithShape(tokens, slots), tensor.WithBacking([]int32{0, 3, -1, 1, 2, 0}))))(t)
	if err := (Portable{}).Plan(p, ids, nil); err != nil {
		t.Fatal(err)
	}
	quantized := func(rows, blockRows, blockCols int) *backend.Quantized {
		return must(backend.NewQuantized(d, tensor.Shape{rows, width}, blockRows, blockCols))(t)
	}
	codes := must(d.New(backend.Float8E4M3, tensor.Shape{r, width}))(t)
	for _, c := range []struct {
		name    string
		rows, x backend.Value
		want    error
	}{
		{"scales beside the codes", quantized(r, 1, 128), quantized(tokens, 1, 128), nil},
		{"scales by themselves", quantized(r, 1, 2), quantized(tokens, 1, 2), nil},
		{"another width of blocks", quantized(r, 1, 64), quantized(tokens, 1, 128), backend.ErrValue},
		{"blocks of two rows", quantized(r, 2, 128), quantized(tokens, 2, 128), backend.ErrValue},
		{"codes without scales", codes, quantized(tokens, 1, 128), backend.ErrValue},
		{"no rows", (*backend.Quantized)(nil), quantized(tokens, 1, 128), backend.ErrValue},
		{"too few rows", quantized(r-1, 1, 128), quantized(tokens, 1, 128), backend.ErrShape},
	} {
		if err := (Portable{}).Permute(c.rows, c.x, p); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.want)
		}
	}
	if err := d.Sync(); err != nil {
		t.Error(err)
	}
}
