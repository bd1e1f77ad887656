//go:build cu && linux && cgo

package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
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

// TestPermuteScatters compares Permute of more than permuteGather bytes with the CPU's: rows of every alignment, more slots than
// a warp has lanes, slots that are not here, padding, and codes with their scales.
func TestPermuteScatters(t *testing.T) {
	for _, c := range []struct {
		tokens, slots, here, align, width int // a slot is here with probability here/(slots+1)
		quantized                         bool
	}{
		{700, 3, 2, 16, 8192, false},
		{700, 3, 2, 1, 8200, false},
		{700, 3, 2, 1, 8196, false},
		{700, 3, 2, 1, 8198, false},
		{700, 40, 2, 128, 8197, false},
		{80000, 1, 2, 1, 80, false}, // so many rows that a warp checks 32
		{800, 3, 2, 16, 7168, true},
		{3000, 6, 5, 1, 4096, false}, // many rows a token
		{700, 40, 30, 128, 8208, false},
		{40000, 5, 1, 1 << 16, 144, false}, // most rows are padding, most tokens have none
	} {
		t.Run(fmt.Sprintf("T=%d/K=%d/A=%d/width=%d", c.tokens, c.slots, c.align, c.width), func(t *testing.T) {
			if c.tokens*c.width < permuteGather {
				t.Fatal("this is gathered")
			}
			const experts = 5
			d := computingDevice(t)
			rng := rand.New(rand.NewPCG(uint64(c.slots), uint64(c.width)))
			ids, counts := make([]int32, c.tokens*c.slots), make([]int32, experts)
			for i := range ids {
				ids[i] = -1
				if rng.IntN(c.slots+1) < c.here {
					ids[i] = int32(rng.IntN(experts))
					counts[ids[i]]++
				}
			}
			chosen := tensor.New(tensor.WithShape(c.tokens, c.slots), tensor.WithBacking(ids))
			config := ops.PlanConfig{Experts: experts, Align: c.align, Rows: must(backend.RowsForCounts(counts, c.align))(t) + 3}
			random := func(v backend.Value) {
				b := must(backend.Bytes(v))(t)
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
			}
			var x, rows backend.Value
			if c.quantized {
				q := must(backend.NewQuantized(backend.Host, tensor.Shape{c.tokens, c.width}, 1, 128))(t)
				random(q.Codes)
				random(q.Scales)
				to := must(backend.NewQuantized(d, tensor.Shape{config.Rows, c.width}, 1, 128))(t)
				x, rows = q, to
			} else {
				x = must(backend.Host.New(tensor.Uint8, tensor.Shape{c.tokens, c.width}))(t)
				random(x)
				rows = must(d.New(tensor.Uint8, tensor.Shape{config.Rows, c.width}))(t)
			}
			want := parts(must(ops.EvalPermute(x, must(ops.EvalPlan(chosen, nil, config))(t)))(t))
			plan := must(ops.EvalPlan(must(d.Upload(chosen))(t), nil, config))(t)
			for _, v := range parts(rows) {
				if err := v.(*Array).poison(); err != nil {
					t.Fatal(err)
				}
			}
			if err := (Portable{}).Permute(rows, must(backend.To(d, x))(t), plan); err != nil {
				t.Fatal(err)
			}
			for i, v := range parts(rows) {
				got := must(backend.Bytes(must(d.Download(v))(t)))(t)
				want := must(backend.Bytes(want[i]))(t)
				for r := range config.Rows {
					if n := len(want) / config.Rows; !bytes.Equal(got[r*n:(r+1)*n], want[r*n:(r+1)*n]) {
						t.Fatalf("part %d: row %d is not the CPU's", i, r)
					}
				}
			}
		})
	}
}

// parts are the tensors of a value.
func parts(v backend.Value) []backend.Value {
	if c, ok := v.(backend.Composite); ok {
		return c.Parts()
	}
	return []backend.Value{v}
}
