package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestAddOfAnyShape(t *testing.T) {
	rng := rand.New(rand.NewPCG(71, 72))
	for _, shape := range [][]int{{0}, {3, 0}, {1}, {7}, {3, 127}, {2, 3, 5}, {5, tile + 130}, {3 << 14}} {
		for _, dt := range floatDtypes {
			a, as := normals(t, rng, dt, shape...)
			b, bs := normals(t, rng, dt, shape...)
			want := make([]float64, len(as))
			for i := range want {
				want[i] = as[i] + bs[i]
			}
			want = floatsIn(t, floatTensor(t, dt, shape, want...))
			for name, out := range map[string]*tensor.Dense{"another": poisoned(t, dt, shape...), "a": a.Clone().(*tensor.Dense), "b": b.Clone().(*tensor.Dense)} {
				x, y := a, b
				switch name {
				case "a":
					x = out
				case "b":
					y = out
				}
				if err := (Go{}).Add(out, x, y); err != nil {
					t.Fatal(err)
				}
				if !sameFloats(floatsIn(t, out), want) {
					t.Errorf("%v %v: the sum in %s is wrong", dt, shape, name)
				}
			}
		}
	}
}

func TestAddSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, dt := range floatDtypes {
		a, b := floatTensor(t, dt, []int{5}, nan, 1, inf, inf, -inf), floatTensor(t, dt, []int{5}, 1, nan, 1, -inf, -inf)
		out := floatTensor(t, dt, []int{5})
		if err := (Go{}).Add(out, a, b); err != nil {
			t.Fatal(err)
		}
		if got := floatsIn(t, out); !sameFloats(got, []float64{nan, nan, inf, nan, -inf}) {
			t.Errorf("%v: got %v", dt, got)
		}
	}
}

func TestAddErrors(t *testing.T) {
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	for name, c := range map[string]struct {
		out, a, b backend.Value
		want      error
	}{
		"no out":       {nil, f32(2, 3), f32(2, 3), backend.ErrValue},
		"no a":         {f32(2, 3), nil, f32(2, 3), backend.ErrValue},
		"no b":         {f32(2, 3), f32(2, 3), nil, backend.ErrValue},
		"a":            {f32(2, 3), f32(3, 2), f32(2, 3), backend.ErrShape},
		"b":            {f32(2, 3), f32(2, 3), f32(3), backend.ErrShape},
		"out":          {f32(6), f32(2, 3), f32(2, 3), backend.ErrShape},
		"dtype":        {hostTensor[int32](t, []int{2}), hostTensor[int32](t, []int{2}), hostTensor[int32](t, []int{2}), backend.ErrDtype},
		"dtype of b":   {f32(2), f32(2), hostTensor[float64](t, []int{2}), backend.ErrDtype},
		"dtype of out": {hostTensor[backend.BF16](t, []int{2}), f32(2), f32(2), backend.ErrDtype},
	} {
		if err := (Go{}).Add(c.out, c.a, c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
