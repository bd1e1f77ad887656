package ops

import (
	"errors"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	_ "github.com/gorgonia/moe/ops/cpu"
)

func TestPackRefusesNil(t *testing.T) {
	for _, w := range []backend.Value{nil, (*tensor.Dense)(nil), (*backend.ExpertStack)(nil), &backend.ExpertStack{}} {
		if _, err := Pack(w); !errors.Is(err, backend.ErrValue) {
			t.Errorf("Pack of a %T: error %v, want ErrValue", w, err)
		}
	}
}

func TestPackedWeightMultipliesAsBefore(t *testing.T) {
	x := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	for name, w := range map[string]*tensor.Dense{
		"contiguous": tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 0, 2, 0, 3, 0})),
		"a view":     columns(t, tensor.New(tensor.WithShape(2, 4), tensor.WithBacking([]float32{1, 0, 2, 9, 0, 3, 0, 9})), 3),
	} {
		packed, err := Pack(w)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Pack(packed); err != nil || again != packed {
			t.Fatalf("%s: packed again: %v, %v", name, again, err)
		}
		y, err := EvalLinear(x, packed)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []float32{7, 6, 16, 15} {
			if got := y.Data().([]float32)[i]; got != want {
				t.Errorf("%s: element %d is %v, want %v", name, i, got, want)
			}
		}
	}
}

// columns is the view of the first n columns.
func columns(t *testing.T, d *tensor.Dense, n int) *tensor.Dense {
	t.Helper()
	v, err := d.Slice(nil, tensor.S(0, n))
	if err != nil {
		t.Fatal(err)
	}
	return v.(*tensor.Dense)
}

// TestPackLeavesWhatNobodyPacks: plain Go multiplies with float16 and packs nothing.
func TestPackLeavesWhatNobodyPacks(t *testing.T) {
	w := tensor.New(tensor.Of(backend.Float16), tensor.WithShape(2, 3))
	if p, err := Pack(w); err != nil || p != backend.Value(w) {
		t.Fatalf("got %v, %v", p, err)
	}
}

// TestPackedFloat32MeetsFloat16: no backend on vector instructions takes float16 rows, so the weight is unpacked on the way.
func TestPackedFloat32MeetsFloat16(t *testing.T) {
	x := tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]backend.F16{backend.ToF16(2), backend.ToF16(3)}))
	w, err := Pack(tensor.New(tensor.WithShape(1, 2), tensor.WithBacking([]float32{5, 7})))
	if err != nil {
		t.Fatal(err)
	}
	y, err := EvalLinear(x, w)
	if err != nil {
		t.Fatal(err)
	}
	if got := y.Data().([]backend.F16)[0].Float32(); got != 31 {
		t.Fatalf("got %v, want 31", got)
	}
}
