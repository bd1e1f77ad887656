package backend_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"gorgonia.org/tensor"
)

// format describes a narrow format by the numbers of its specification, and wraps the code under test so that one test
// serves all formats.
type format struct {
	name                     string
	exponent, mantissa, bias int
	finite                   uint32  // bit patterns of magnitudes that are finite
	beyond                   float64 // the value that the first pattern after those would have
	overflow                 uint32  // what that value rounds to

	widen  func(uint32) float32
	narrow func(float32) uint32
}

var formats = []format{
	{
		name: "BF16", exponent: 8, mantissa: 7, bias: 127, finite: 0x7f80, beyond: 0x1p128, overflow: 0x7f80,
		widen:  func(code uint32) float32 { return backend.BF16(code).Float32() },
		narrow: func(x float32) uint32 { return uint32(backend.ToBF16(x)) },
	},
	{
		name: "F16", exponent: 5, mantissa: 10, bias: 15, finite: 0x7c00, beyond: 0x1p16, overflow: 0x7c00,
		widen:  func(code uint32) float32 { return backend.F16(code).Float32() },
		narrow: func(x float32) uint32 { return uint32(backend.ToF16(x)) },
	},
	{
		name: "F8E4M3", exponent: 4, mantissa: 3, bias: 7, finite: 0x7f, beyond: 480, overflow: 0x7e,
		widen:  func(code uint32) float32 { return backend.F8E4M3(code).Float32() },
		narrow: func(x float32) uint32 { return uint32(backend.ToF8E4M3(x)) },
	},
}

func (f format) signBit() uint32 { return 1 << (f.exponent + f.mantissa) }

// values are the magnitudes of the finite patterns, by pattern and so in ascending order, with f.beyond as the last.
func (f format) values() []float64 {
	values := make([]float64, f.finite, f.finite+1)
	for code := range values {
		exponent, mantissa := code>>f.mantissa, code&(1<<f.mantissa-1)
		if exponent == 0 {
			exponent = 1
		} else {
			mantissa += 1 << f.mantissa
		}
		values[code] = math.Ldexp(float64(mantissa), exponent-f.bias-f.mantissa)
	}
	return append(values, f.beyond)
}

// oracle rounds by looking at the two values around its argument. The distances to them are exact in float64.
type oracle struct {
	format
	all []float64
}

// nearest is the pattern for a magnitude x, given that all[below] <= x.
func (o oracle) nearest(x float64, below int) uint32 {
	if below+1 >= len(o.all) {
		return o.overflow
	}
	code := below
	down, up := x-o.all[below], o.all[below+1]-x
	if up < down || up == down && below%2 == 1 {
		code++
	}
	if code == len(o.all)-1 {
		return o.overflow
	}
	return uint32(code)
}

func (o oracle) round(x float32) uint32 {
	magnitude := math.Abs(float64(x))
	below := sort.Search(len(o.all), func(i int) bool { return o.all[i] > magnitude }) - 1
	code := o.nearest(magnitude, below)
	if math.Signbit(float64(x)) {
		code |= o.signBit()
	}
	return code
}

func (o oracle) check(t *testing.T, x float32) {
	t.Helper()
	if got, want := o.narrow(x), o.round(x); got != want {
		t.Fatalf("%g (%#08x) narrows to %#x, want %#x", x, math.Float32bits(x), got, want)
	}
}

func eachFormat(t *testing.T, run func(t *testing.T, o oracle)) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) { run(t, oracle{f, f.values()}) })
	}
}

func TestEveryPatternWidensAndNarrowsBack(t *testing.T) {
	eachFormat(t, func(t *testing.T, o oracle) {
		infinity := o.overflow == o.finite
		for code := range 2 * o.signBit() {
			sign, magnitude := code&o.signBit(), code&(o.signBit()-1)
			x := o.widen(code)
			if got, want := math.Signbit(float64(x)), sign != 0; got != want {
				t.Fatalf("%#x widens to sign %t, want %t", code, got, want)
			}
			back := o.narrow(x)
			switch {
			case magnitude < o.finite || infinity && magnitude == o.finite:
				want := math.Inf(1)
				if magnitude < o.finite {
					want = o.all[magnitude]
				}
				if got := math.Abs(float64(x)); got != want {
					t.Fatalf("%#x widens to magnitude %g, want %g", code, got, want)
				}
				if back != code {
					t.Fatalf("%#x widens to %g and narrows to %#x", code, x, back)
				}
			default:
				quiet := uint32(1) << (o.mantissa - 1)
				if !math.IsNaN(float64(x)) || back != code|quiet {
					t.Fatalf("NaN %#x widens to %g and narrows to %#x, want NaN and %#x", code, x, back, code|quiet)
				}
			}
		}
	})
}

func TestNarrowAroundEveryValueAndMidpoint(t *testing.T) {
	eachFormat(t, func(t *testing.T, o oracle) {
		for i, value := range o.all[:len(o.all)-1] {
			middle := (value + o.all[i+1]) / 2 // exact: it takes one more bit of mantissa
			for _, x := range []float32{float32(value), float32(middle)} {
				for _, x := range []float32{x, math.Nextafter32(x, float32(math.Inf(1))), math.Nextafter32(x, float32(math.Inf(-1)))} {
					o.check(t, x)
					o.check(t, -x)
				}
			}
		}
	})
}

// TestNarrowSweep walks through the magnitudes of the finite float32 in ascending order, so the oracle needs no search.
func TestNarrowSweep(t *testing.T) {
	const stride = 101 // odd, to meet every pattern of the bits that are rounded off
	eachFormat(t, func(t *testing.T, o oracle) {
		below := 0
		for bits := uint32(0); bits < math.Float32bits(float32(math.Inf(1))); bits += stride {
			x := math.Float32frombits(bits)
			for below+1 < len(o.all) && o.all[below+1] <= float64(x) {
				below++
			}
			want := o.nearest(float64(x), below)
			if got := o.narrow(x); got != want {
				t.Fatalf("%g narrows to %#x, want %#x", x, got, want)
			}
			if got := o.narrow(-x); got != want|o.signBit() {
				t.Fatalf("%g narrows to %#x, want %#x", -x, got, want|o.signBit())
			}
		}
	})
}

func TestNarrowRandom(t *testing.T) {
	eachFormat(t, func(t *testing.T, o oracle) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 1_000_000 {
			// Around 1, and as far from it on both sides as the least and greatest values of F16 and F8E4M3 lie.
			o.check(t, float32(random.NormFloat64()*math.Exp2(8*random.NormFloat64())))
		}
	})
}

func TestNarrowNaN(t *testing.T) {
	payloads := []uint32{1<<23 - 1}
	for bit := range 23 {
		payloads = append(payloads, 1<<bit)
	}
	eachFormat(t, func(t *testing.T, o oracle) {
		for _, payload := range payloads {
			want := (1<<o.exponent-1)<<o.mantissa | 1<<(o.mantissa-1) | payload>>(23-o.mantissa)
			if o.name == "F8E4M3" {
				want = 0x7f
			}
			for _, sign := range []uint32{0, 1} {
				nan, want := sign<<31|0x7f80_0000|payload, sign*o.signBit()|want
				if got := o.narrow(math.Float32frombits(nan)); got != want {
					t.Errorf("NaN %#08x narrows to %#x, want %#x", nan, got, want)
				}
			}
		}
	})
}

func TestNarrowKnownValues(t *testing.T) {
	infinity := float32(math.Inf(1))
	for _, c := range []struct {
		x    float32
		bf16 backend.BF16
		f16  backend.F16
		f8   backend.F8E4M3
	}{
		{0, 0, 0, 0},
		{-1 / infinity, 0x8000, 0x8000, 0x80},
		{1, 0x3f80, 0x3c00, 0x38},
		{-2, 0xc000, 0xc000, 0xc0},
		{0.1, 0x3dcd, 0x2e66, 0x1d},
		{math.Pi, 0x4049, 0x4248, 0x45},
		{448, 0x43e0, 0x5f00, 0x7e},
		{464, 0x43e8, 0x5f40, 0x7e},
		{465, 0x43e8, 0x5f44, 0x7e}, // not the NaN that an unsaturated conversion gives
		{-65504, 0xc780, 0xfbff, 0xfe},
		{65519.996, 0x4780, 0x7bff, 0x7e},
		{65520, 0x4780, 0x7c00, 0x7e},
		{infinity, 0x7f80, 0x7c00, 0x7e},
		{-infinity, 0xff80, 0xfc00, 0xfe},
		{math.MaxFloat32, 0x7f80, 0x7c00, 0x7e},
		{math.SmallestNonzeroFloat32, 0, 0, 0},
		{0x1p-133, 0x0001, 0, 0},
		{0x1p-24, 0x3380, 0x0001, 0},
		{0x1p-25, 0x3300, 0, 0},
		{0x1p-9, 0x3b00, 0x1800, 0x01},
		{0x1p-10, 0x3a80, 0x1400, 0},
		{0x3p-10, 0x3b40, 0x1a00, 0x02},
		{0x1p-6, 0x3c80, 0x2400, 0x08},
	} {
		if got := backend.ToBF16(c.x); got != c.bf16 {
			t.Errorf("ToBF16(%g) = %#04x, want %#04x", c.x, uint16(got), uint16(c.bf16))
		}
		if got := backend.ToF16(c.x); got != c.f16 {
			t.Errorf("ToF16(%g) = %#04x, want %#04x", c.x, uint16(got), uint16(c.f16))
		}
		if got := backend.ToF8E4M3(c.x); got != c.f8 {
			t.Errorf("ToF8E4M3(%g) = %#02x, want %#02x", c.x, uint8(got), uint8(c.f8))
		}
	}
}

func TestString(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{backend.ToBF16(2.5).String(), "2.5"},
		{backend.BF16(0x7f7f).String(), "3.3895314e+38"},
		{backend.BF16(0xff80).String(), "-Inf"},
		{backend.F16(0x7bff).String(), "65504"},
		{backend.F16(0x8000).String(), "-0"},
		{backend.F16(0x7e00).String(), "NaN"},
		{backend.F8E4M3(0xfe).String(), "-448"},
		{backend.F8E4M3(0x01).String(), "0.001953125"},
		{backend.F8E4M3(0x7f).String(), "NaN"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestWidenAndNarrowSlices(t *testing.T) {
	same := func(x float32) float32 { return x }
	t.Run("float32", func(t *testing.T) { testSlices(t, same, same) })
	t.Run("BF16", func(t *testing.T) { testSlices(t, backend.ToBF16, backend.BF16.Float32) })
	t.Run("F16", func(t *testing.T) { testSlices(t, backend.ToF16, backend.F16.Float32) })
	t.Run("F8E4M3", func(t *testing.T) { testSlices(t, backend.ToF8E4M3, backend.F8E4M3.Float32) })
}

// testSlices compares the slice functions with those of one element, and looks at what lies behind the shorter length.
func testSlices[T backend.Number](t *testing.T, narrow func(float32) T, widen func(T) float32) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, lengths := range [][2]int{{0, 0}, {1, 1}, {0, 5}, {5, 0}, {7, 7}, {13, 31}, {31, 13}} {
		wide := make([]float32, lengths[1])
		for i := range wide {
			wide[i] = float32(random.NormFloat64())
		}
		const untouched = 96 // exact in every format, and no value of the source
		narrowed := slices.Repeat([]T{narrow(untouched)}, lengths[0])
		n := min(lengths[0], lengths[1])
		if got := backend.Narrow(narrowed, wide); got != n {
			t.Fatalf("Narrow of lengths %v = %d, want %d", lengths, got, n)
		}
		for i, got := range narrowed {
			want := narrow(untouched)
			if i < n {
				want = narrow(wide[i])
			}
			if got != want {
				t.Errorf("lengths %v: narrowed[%d] = %v, want %v", lengths, i, got, want)
			}
		}

		widened := slices.Repeat([]float32{untouched}, lengths[1])
		if got := backend.Widen(widened, narrowed); got != n {
			t.Fatalf("Widen of lengths %v = %d, want %d", lengths, got, n)
		}
		for i, got := range widened {
			want := float32(untouched)
			if i < n {
				want = widen(narrowed[i])
			}
			if got != want {
				t.Errorf("lengths %v: widened[%d] = %v, want %v", lengths, i, got, want)
			}
		}
	}

	var none []T
	if n := backend.Narrow(none, nil) + backend.Widen(nil, none); n != 0 {
		t.Errorf("nil slices: %d elements converted, want 0", n)
	}
	wide, narrowed := make([]float32, 64), make([]T, 64)
	if n := testing.AllocsPerRun(10, func() { backend.Widen(wide, narrowed); backend.Narrow(narrowed, wide) }); n != 0 {
		t.Errorf("%g allocations, want none", n)
	}
}

func TestDtypes(t *testing.T) {
	t.Run("BF16", func(t *testing.T) { testDtype(t, backend.BFloat16, "BF16", []backend.BF16{1, 2, 3, 4, 5, 6}) })
	t.Run("F16", func(t *testing.T) { testDtype(t, backend.Float16, "F16", []backend.F16{1, 2, 3, 4, 5, 6}) })
	t.Run("F8E4M3", func(t *testing.T) { testDtype(t, backend.Float8E4M3, "F8E4M3", []backend.F8E4M3{1, 2, 3, 4, 5, 6}) })
}

// testDtype does with a matrix of elements, (2,3), what its dtype's documentation says can be done.
func testDtype[T backend.Number](t *testing.T, dtype tensor.Dtype, name string, elements []T) {
	if got := dtype.Name(); got != name {
		t.Errorf("name %q, want %q", got, name)
	}
	made := tensor.New(tensor.Of(dtype), tensor.WithShape(2, 3))
	copy(made.Data().([]T), elements)
	backed := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking(slices.Clone(elements)))
	if backed.Dtype() != dtype || !made.Eq(backed) {
		t.Errorf("a tensor over %T is %v of %v, want %v of %v", elements, backed.Data(), backed.Dtype(), made.Data(), dtype)
	}
	if _, err := made.Add(backed); err == nil {
		t.Error("package tensor adds bit patterns without an error")
	}
	columns, err := made.Slice(nil, tensor.S(1, 3))
	if err != nil {
		t.Fatal(err)
	}
	want := []T{elements[1], elements[2], elements[4], elements[5]}
	if got := columns.Materialize().Data().([]T); !slices.Equal(got, want) {
		t.Errorf("columns 1 and 2 are %v, want %v", got, want)
	}
	turned := made.Clone().(*tensor.Dense)
	if err := errors.Join(turned.T(), turned.Transpose()); err != nil {
		t.Fatal(err)
	}
	want = []T{elements[0], elements[3], elements[1], elements[4], elements[2], elements[5]}
	if got := turned.Data().([]T); !slices.Equal(got, want) {
		t.Errorf("transposed %v, want %v", got, want)
	}
}

func BenchmarkNarrow(b *testing.B) {
	b.Run("BF16", benchmarkNarrow[backend.BF16])
	b.Run("F16", benchmarkNarrow[backend.F16])
	b.Run("F8E4M3", benchmarkNarrow[backend.F8E4M3])
}

func BenchmarkWiden(b *testing.B) {
	b.Run("BF16", benchmarkWiden[backend.BF16])
	b.Run("F16", benchmarkWiden[backend.F16])
	b.Run("F8E4M3", benchmarkWiden[backend.F8E4M3])
}

// weights is as spread as the weights of a layer are, so F16 and F8E4M3 meet some subnormals.
func weights[T backend.Number]() (narrow []T, wide []float32) {
	random := rand.New(rand.NewPCG(5, 6))
	narrow, wide = make([]T, 4096), make([]float32, 4096)
	for i := range wide {
		wide[i] = float32(0.02 * random.NormFloat64())
	}
	backend.Narrow(narrow, wide)
	return narrow, wide
}

func benchmarkNarrow[T backend.Number](b *testing.B) {
	dst, src := weights[T]()
	b.SetBytes(int64(4 * len(src)))
	for b.Loop() {
		backend.Narrow(dst, src)
	}
}

func benchmarkWiden[T backend.Number](b *testing.B) {
	src, dst := weights[T]()
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		backend.Widen(dst, src)
	}
}
