package cpu

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestLinearOfQuantizedOperands(t *testing.T) {
	const rows, d, n = 5, 33, 11
	rng := rand.New(rand.NewPCG(17, 18))
	x, xs := quantizedNormals(t, rng, 1, 16, rows, d)
	w, ws := quantizedNormals(t, rng, 3, 8, n, d)
	out := poisoned(t, backend.BFloat16, rows, n)
	if err := (Go{}).Linear(out, x, w); err != nil {
		t.Fatal(err)
	}
	for i, got := range floatsIn(t, out) {
		want, magnitude := dotOf(xs[i/n*d:][:d], ws[i%n*d:][:d])
		if !near(got, want, magnitude, d+2, 0x1p-24, backend.BFloat16) {
			t.Errorf("element (%d,%d) is %v, want %v", i/n, i%n, got, want)
		}
	}
}

// TestLinearSumsInFloat64 for float64 on either side: 1 is lost beside 2³⁰ in float32.
func TestLinearSumsInFloat64(t *testing.T) {
	for _, c := range []struct {
		x, w, out tensor.Dtype
		want      float64
	}{
		{tensor.Float64, tensor.Float32, tensor.Float32, 1},
		{tensor.Float32, tensor.Float64, tensor.Float32, 1},
		{tensor.Float32, tensor.Float32, tensor.Float64, 0},
	} {
		out := poisoned(t, c.out, 1, 1)
		x, w := floatTensor(t, c.x, []int{1, 3}, 0x1p30, 1, -0x1p30), floatTensor(t, c.w, []int{1, 3}, 1, 1, 1)
		if err := (Go{}).Linear(out, x, w); err != nil {
			t.Fatal(err)
		}
		if got := floatsIn(t, out)[0]; got != c.want {
			t.Errorf("%v by %v to %v: got %v, want %v", c.x, c.w, c.out, got, c.want)
		}
	}
}

func TestLinearErrors(t *testing.T) {
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	for name, c := range map[string]struct {
		out, x, w backend.Value
		want      error
	}{
		"no out":       {nil, f32(4, 5), f32(3, 5), backend.ErrValue},
		"no x":         {f32(4, 3), nil, f32(3, 5), backend.ErrValue},
		"no w":         {f32(4, 3), f32(4, 5), nil, backend.ErrValue},
		"rank of x":    {f32(4, 3), f32(5), f32(3, 5), backend.ErrShape},
		"rank of w":    {f32(4, 3), f32(4, 5), f32(1, 3, 5), backend.ErrShape},
		"width":        {f32(4, 3), f32(4, 5), f32(3, 6), backend.ErrShape},
		"out":          {f32(3, 4), f32(4, 5), f32(3, 5), backend.ErrShape},
		"dtype of out": {hostTensor[int32](t, []int{4, 3}), f32(4, 5), f32(3, 5), backend.ErrDtype},
		"dtype of x":   {f32(4, 3), hostTensor[int32](t, []int{4, 5}), f32(3, 5), backend.ErrDtype},
		"packed w":     {f32(4, 3), f32(4, 5), alienPacked{hostTensor[float32](t, []int{3, 5})}, backend.ErrUnsupported},
	} {
		if err := (Go{}).Linear(c.out, c.x, c.w); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
