package cpu

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestRMSNormByFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(41, 42))
	for _, size := range [][2]int{{0, 3}, {3, 0}, {1, 1}, {2, 3}, {5, 127}, {3, tile}, {2, 2*tile + 7}} {
		for _, dt := range floatDtypes {
			for _, weights := range floatDtypes {
				x, xs := normals(t, rng, dt, size[0], size[1])
				w, ws := normals(t, rng, weights, size[1])
				out := poisoned(t, dt, size[0], size[1])
				if err := (Go{}).RMSNorm(out, x, w, 1e-3); err != nil {
					t.Fatal(err)
				}
				for i, got := range floatsIn(t, out) {
					row := xs[i/size[1]*size[1]:][:size[1]]
					squares, _ := dotOf(row, row)
					want := ws[i%size[1]] * xs[i] / math.Sqrt(squares/float64(size[1])+1e-3)
					tol := 1e-14 * math.Abs(want)
					if dt != tensor.Float64 {
						tol = (unitOf(dt)+0x1p-24)*math.Abs(want) + 0x1p-25
					}
					if !(math.Abs(got-want) <= tol) {
						t.Fatalf("%v by %v, %v: element %d is %v, want %v", dt, weights, size, i, got, want)
					}
				}
			}
		}
	}
}

func TestRMSNormSpecialValues(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, c := range []struct {
		name string
		x    []float64
		eps  float64
		want []float64
	}{
		{name: "zeros", x: []float64{0, 0, 0, 0}, eps: 1e-6, want: []float64{0, 0, 0, 0}},
		{name: "zeros without eps", x: []float64{0, 0, 0, 0}, want: []float64{nan, nan, nan, nan}},
		{name: "NaN in a row", x: []float64{nan, 1, 2, 2}, want: []float64{nan, nan, 1, 1}},
		{name: "infinity in a row", x: []float64{inf, 1, 2, 2}, want: []float64{nan, 0, 1, 1}},
		{name: "squares beyond float16", x: []float64{3e4, 3e4, -2, 2}, want: []float64{1, 1, -1, 1}},
	} {
		for _, dt := range floatDtypes {
			out := poisoned(t, dt, 2, 2)
			if err := (Go{}).RMSNorm(out, floatTensor(t, dt, []int{2, 2}, c.x...), floatTensor(t, dt, []int{2}, 1, 1), c.eps); err != nil {
				t.Fatal(err)
			}
			if got := floatsIn(t, out); !sameFloats(got, c.want) {
				t.Errorf("%s, %v: got %v, want %v", c.name, dt, got, c.want)
			}
		}
	}
	out := poisoned(t, tensor.Float32, 1, 2)
	if err := (Go{}).RMSNorm(out, hostTensor[float32](t, []int{1, 2}, 3e38, -3e38), hostTensor[float32](t, []int{2}, 1, 1), 0); err != nil {
		t.Fatal(err)
	}
	if got := floatsIn(t, out); !sameFloats(got, []float64{1, -1}) {
		t.Errorf("squares beyond float32: got %v, want 1 and -1", got)
	}
}

func TestRMSNormErrors(t *testing.T) {
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	for name, c := range map[string]struct {
		out, x, w backend.Value
		eps       float64
		want      error
	}{
		"no out":     {nil, f32(2, 3), f32(3), 0, backend.ErrValue},
		"no x":       {f32(2, 3), nil, f32(3), 0, backend.ErrValue},
		"no w":       {f32(2, 3), f32(2, 3), nil, 0, backend.ErrValue},
		"rank":       {f32(2, 3), f32(6), f32(3), 0, backend.ErrShape},
		"w":          {f32(2, 3), f32(2, 3), f32(2), 0, backend.ErrShape},
		"out":        {f32(3, 2), f32(2, 3), f32(3), 0, backend.ErrShape},
		"dtype":      {f32(2, 3), hostTensor[int32](t, []int{2, 3}), f32(3), 0, backend.ErrDtype},
		"dtype of w": {f32(2, 3), f32(2, 3), hostTensor[int32](t, []int{3}), 0, backend.ErrDtype},
		"eps":        {f32(2, 3), f32(2, 3), f32(3), -1e-9, backend.ErrParameter},
		"NaN":        {f32(2, 3), f32(2, 3), f32(3), math.NaN(), backend.ErrParameter},
	} {
		if err := (Go{}).RMSNorm(c.out, c.x, c.w, c.eps); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
