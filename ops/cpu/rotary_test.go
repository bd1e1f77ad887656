package cpu

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TestRotaryTurnsByAnglesOfFloat32 turns the pair (1, 0), which gives cosine and sine of the angle. The numbers are those of
// NumPy for inv_freq = 1/base**(arange(0,D,2)/D) and the angle position·inv_freq, all in float32; at far positions they differ
// from those of the exact angle in the fourth digit.
func TestRotaryTurnsByAnglesOfFloat32(t *testing.T) {
	for _, c := range []struct {
		base     float64
		d, i     int
		position int32
		cos, sin float64
	}{
		{1e6, 128, 0, 1, 0.5403022766113281, 0.8414710164070129},
		{1e6, 128, 1, 1, 0.6925038695335388, 0.7214141488075256},
		{1e6, 128, 63, 1, 1, 1.2409377632138785e-06},
		{1e6, 128, 1, 4095, 0.3138587772846222, 0.9494696855545044},
		{1e6, 128, 5, 4095, -0.9873446822166443, 0.1585889607667923},
		{1e6, 128, 0, 32767, 0.9822633266448975, 0.1875065565109253},
		{1e6, 128, 1, 32767, -0.9984877109527588, 0.05497569218277931},
		{1e6, 128, 5, 131071, 0.6641854643821716, -0.7475678324699402},
		{1e6, 128, 63, 131071, 0.9868014454841614, 0.1619347482919693},
		{1e4, 6, 1, 4095, -0.006688231136649847, 0.9999776482582092},
		{1e4, 6, 2, 32767, 0.09135443717241287, 0.9958184361457825},
		{1e4, 6, 1, 131071, -0.0821009948849678, 0.9966239929199219},
	} {
		x := make([]float64, c.d)
		x[c.i] = 1
		exact := float64(c.position) * math.Pow(c.base, -2*float64(c.i)/float64(c.d))
		for _, want := range []struct {
			dt            tensor.Dtype
			cos, sin, tol float64
		}{
			{tensor.Float32, c.cos, c.sin, 0x1p-23},
			{tensor.Float64, math.Cos(exact), math.Sin(exact), 1e-10},
		} {
			out := poisoned(t, want.dt, 1, c.d)
			if err := (Go{}).Rotary(out, floatTensor(t, want.dt, []int{1, c.d}, x...), hostTensor(t, []int{1}, c.position), c.d, c.base); err != nil {
				t.Fatal(err)
			}
			got := floatsIn(t, out)
			cos, sin := got[c.i], got[c.d/2+c.i]
			if math.Abs(cos-want.cos) > want.tol || math.Abs(sin-want.sin) > want.tol {
				t.Errorf("%v, base %g, D=%d, i=%d, position %d: got (%v, %v), want (%v, %v)",
					want.dt, c.base, c.d, c.i, c.position, cos, sin, want.cos, want.sin)
			}
		}
	}
}

func TestRotaryByFormula(t *testing.T) {
	rng := rand.New(rand.NewPCG(51, 52))
	for _, c := range []struct{ tokens, heads, d int }{{0, 2, 4}, {3, 0, 4}, {1, 1, 2}, {3, 5, 6}, {7, 1, 130}, {130, 3, 14}} {
		for _, dt := range floatDtypes {
			t.Run(fmt.Sprintf("%v/%+v", dt, c), func(t *testing.T) {
				width := c.heads * c.d
				x, xs := normals(t, rng, dt, c.tokens, width)
				positions := make([]int32, c.tokens)
				for i := range positions {
					positions[i] = int32(rng.IntN(60) - 10)
				}
				out := poisoned(t, dt, c.tokens, width)
				if err := (Go{}).Rotary(out, x, hostTensor(t, []int{c.tokens}, positions...), c.d, 1e4); err != nil {
					t.Fatal(err)
				}
				for i, got := range floatsIn(t, out) {
					token, k, half := i/width, i%c.d, c.d/2
					theta := float64(positions[token]) * math.Pow(1e4, -float64(k%half)/float64(half))
					want := xs[i]*math.Cos(theta) - xs[i-k+(k+half)%c.d]*math.Sin(theta)
					if k >= half {
						want = xs[i]*math.Cos(theta) + xs[i-half]*math.Sin(theta)
					}
					tol := 1e-12
					if dt != tensor.Float64 {
						tol = 1e-4 + unitOf(dt)*math.Abs(want)
					}
					if !(math.Abs(got-want) <= tol) {
						t.Fatalf("token %d at %d, element %d is %v, want %v", token, positions[token], i%width, got, want)
					}
				}
			})
		}
	}
}

func TestRotaryNaNStaysInItsPair(t *testing.T) {
	x := floatTensor(t, tensor.Float32, []int{2, 8}, 1, 2, 3, math.NaN(), 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4)
	out := hostTensor[float32](t, []int{2, 8})
	if err := (Go{}).Rotary(out, x, hostTensor[int32](t, []int{2}, 5, 6), 4, 1e4); err != nil {
		t.Fatal(err)
	}
	for i, v := range floatsIn(t, out) {
		if math.IsNaN(v) != (i == 1 || i == 3) {
			t.Errorf("element %d is %v", i, v)
		}
	}
}

func TestRotaryErrors(t *testing.T) {
	f32 := func(shape ...int) backend.Value { return hostTensor[float32](t, shape) }
	at := hostTensor[int32](t, []int{2})
	for name, c := range map[string]struct {
		out, x, positions backend.Value
		d                 int
		base              float64
		want              error
	}{
		"no out":        {nil, f32(2, 8), at, 4, 1e4, backend.ErrValue},
		"no x":          {f32(2, 8), nil, at, 4, 1e4, backend.ErrValue},
		"no positions":  {f32(2, 8), f32(2, 8), nil, 4, 1e4, backend.ErrValue},
		"rank":          {f32(2, 8), f32(16), at, 4, 1e4, backend.ErrShape},
		"out":           {f32(2, 4), f32(2, 8), at, 4, 1e4, backend.ErrShape},
		"positions":     {f32(3, 8), f32(3, 8), at, 4, 1e4, backend.ErrShape},
		"dtype":         {f32(2, 8), hostTensor[int32](t, []int{2, 8}), at, 4, 1e4, backend.ErrDtype},
		"int64":         {f32(2, 8), f32(2, 8), hostTensor[int64](t, []int{2}), 4, 1e4, backend.ErrDtype},
		"no width":      {f32(2, 8), f32(2, 8), at, 0, 1e4, backend.ErrParameter},
		"odd width":     {f32(2, 9), f32(2, 9), at, 3, 1e4, backend.ErrParameter},
		"no divisor":    {f32(2, 8), f32(2, 8), at, 6, 1e4, backend.ErrParameter},
		"base 0":        {f32(2, 8), f32(2, 8), at, 4, 0, backend.ErrParameter},
		"base NaN":      {f32(2, 8), f32(2, 8), at, 4, math.NaN(), backend.ErrParameter},
		"infinite base": {f32(2, 8), f32(2, 8), at, 4, math.Inf(1), backend.ErrParameter},
	} {
		if err := (Go{}).Rotary(c.out, c.x, c.positions, c.d, c.base); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}
