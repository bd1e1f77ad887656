package blas_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	gonumblas "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/blas"
	"github.com/gorgonia/moe/ops/cpu"
)

// counting is the BLAS of the package; it counts calls.
type counting struct {
	blas.Implementation
	sgemm, sgemv *int
}

func (c counting) Sgemm(tA, tB gonumblas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int,
	beta float32, out []float32, ldc int) {
	*c.sgemm++
	c.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, out, ldc)
}

func (c counting) Sgemv(tA gonumblas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int,
	beta float32, y []float32, incY int) {
	*c.sgemv++
	c.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
}

// TestUse shows that products of Gorgonia's graphs and tensors go through the BLAS in use.
func TestUse(t *testing.T) {
	defer gorgonia.Use(gorgonia.WhichBLAS())
	c := counting{blas.New(), new(int), new(int)}
	gorgonia.Use(c)

	const m, k, n = 9, 40, 17
	r := rand.New(rand.NewPCG(1, 2))
	a, b, x := randoms(r, m*k), randoms(r, k*n), randoms(r, k)
	A, B := tensor.New(tensor.WithShape(m, k), tensor.WithBacking(a)), tensor.New(tensor.WithShape(k, n), tensor.WithBacking(b))
	want, wantVector := make([]float32, m*n), make([]float32, m)
	gonum.Implementation{}.Sgemm(gonumblas.NoTrans, gonumblas.NoTrans, m, n, k, 1, a, k, b, n, 0, want, n)
	gonum.Implementation{}.Sgemv(gonumblas.NoTrans, m, k, 1, a, k, x, 1, 0, wantVector, 1)

	product, err := tensor.MatMul(A, B)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "tensor.MatMul", product.Data().([]float32), want)
	if *c.sgemm != 1 {
		t.Errorf("tensor.MatMul called Sgemm %d times, want 1", *c.sgemm)
	}
	product, err = tensor.MatVecMul(A, tensor.New(tensor.WithShape(k), tensor.WithBacking(x)))
	if err != nil {
		t.Fatal(err)
	}
	near(t, "tensor.MatVecMul", product.Data().([]float32), wantVector)
	if *c.sgemv != 1 {
		t.Errorf("tensor.MatVecMul called Sgemv %d times, want 1", *c.sgemv)
	}

	g := gorgonia.NewGraph()
	node := func(name string, v tensor.Tensor) *gorgonia.Node {
		return gorgonia.NewMatrix(g, tensor.Float32, gorgonia.WithName(name), gorgonia.WithShape(v.Shape()...), gorgonia.WithValue(v))
	}
	y, err := gorgonia.Mul(node("a", A), node("b", B))
	if err != nil {
		t.Fatal(err)
	}
	machine := gorgonia.NewTapeMachine(g)
	if err := machine.RunAll(); err != nil {
		t.Fatal(err)
	}
	near(t, "gorgonia.Mul", y.Value().Data().([]float32), want)
	if *c.sgemm != 2 {
		t.Errorf("gorgonia.Mul called Sgemm %d times, want 1", *c.sgemm-1)
	}
	if err := machine.Close(); err != nil {
		t.Error(err)
	}
}

func randoms(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = r.Float32()*2 - 1
	}
	return x
}

// near holds numbers that are sums of products of numbers in ±1 against others; NaN is near NaN.
func near(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, w := range want {
		if got := got[i]; !(math.Abs(float64(got-w)) <= 1e-4) && (got == got || w == w) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got, w)
		}
	}
}

// reference is gonum's BLAS. Its Sgemv of a transpose clears all of y, also what is behind the last element; here it does not see that.
type reference struct{ gonum.Implementation }

func (r reference) Sgemv(tA gonumblas.Transpose, m, n int, alpha float32, a []float32, lda int, x []float32, incX int,
	beta float32, y []float32, incY int) {
	if incY == 1 && n >= 0 && n < len(y) && tA != gonumblas.NoTrans {
		y = y[:n]
	}
	r.Implementation.Sgemv(tA, m, n, alpha, a, lda, x, incX, beta, y, incY)
}

// sgemmCall and sgemvCall are the arguments of a call.
type sgemmCall struct {
	tA, tB  gonumblas.Transpose
	m, n, k int
	alpha   float32
	a       []float32
	lda     int
	b       []float32
	ldb     int
	beta    float32
	c       []float32
	ldc     int
}

type sgemvCall struct {
	tA    gonumblas.Transpose
	m, n  int
	alpha float32
	a     []float32
	lda   int
	x     []float32
	incX  int
	beta  float32
	y     []float32
	incY  int
}

func (s sgemmCall) do(with gonumblas.Float32) (panicked any) {
	defer func() { panicked = recover() }()
	with.Sgemm(s.tA, s.tB, s.m, s.n, s.k, s.alpha, s.a, s.lda, s.b, s.ldb, s.beta, s.c, s.ldc)
	return nil
}

func (s sgemvCall) do(with gonumblas.Float32) (panicked any) {
	defer func() { panicked = recover() }()
	with.Sgemv(s.tA, s.m, s.n, s.alpha, s.a, s.lda, s.x, s.incX, s.beta, s.y, s.incY)
	return nil
}

// TestPanics makes two arguments at a time wrong, or unusual, in every way, and compares what happens with what gonum does.
func TestPanics(t *testing.T) {
	transposes := []gonumblas.Transpose{gonumblas.NoTrans, gonumblas.Trans, gonumblas.ConjTrans}
	for _, size := range []int{3, 20} { // one below the sizes that are left to gonum, one above
		for _, tA := range transposes {
			for _, tB := range transposes {
				compare(t, func() sgemmCall {
					return sgemmCall{tA, tB, size, size, size, 1, ones(size * size), size, ones(size * size), size, 0, ones(size * size), size}
				}, []func(*sgemmCall){
					func(s *sgemmCall) {}, func(s *sgemmCall) { s.tA = 'x' }, func(s *sgemmCall) { s.tB = 'x' },
					func(s *sgemmCall) { s.m = -1 }, func(s *sgemmCall) { s.n = -1 }, func(s *sgemmCall) { s.k = -1 },
					func(s *sgemmCall) { s.m = 0 }, func(s *sgemmCall) { s.n = 0 }, func(s *sgemmCall) { s.k = 0 },
					func(s *sgemmCall) { s.m++ }, func(s *sgemmCall) { s.n++ }, func(s *sgemmCall) { s.k++ },
					func(s *sgemmCall) { s.m-- }, func(s *sgemmCall) { s.n-- }, func(s *sgemmCall) { s.k-- },
					func(s *sgemmCall) { s.lda-- }, func(s *sgemmCall) { s.ldb-- }, func(s *sgemmCall) { s.ldc-- },
					func(s *sgemmCall) { s.lda++ }, func(s *sgemmCall) { s.ldb++ }, func(s *sgemmCall) { s.ldc++ },
					func(s *sgemmCall) { s.lda = 0 }, func(s *sgemmCall) { s.ldb = -5 }, func(s *sgemmCall) { s.ldc = 0 },
					func(s *sgemmCall) { s.a = s.a[1:] }, func(s *sgemmCall) { s.b = s.b[1:] }, func(s *sgemmCall) { s.c = s.c[1:] },
					func(s *sgemmCall) { s.a = nil }, func(s *sgemmCall) { s.b = nil }, func(s *sgemmCall) { s.c = nil },
					func(s *sgemmCall) { s.alpha = 0 }, func(s *sgemmCall) { s.beta = 1 },
				}, func(s sgemmCall) []float32 { return s.c })
			}
		}
	}
	for _, size := range []int{3, 60} {
		for _, tA := range transposes {
			compare(t, func() sgemvCall {
				return sgemvCall{tA, size, size, 1, ones(size * size), size, ones(2*size - 1), 2, 0, ones(2*size - 1), -2}
			}, []func(*sgemvCall){
				func(s *sgemvCall) {}, func(s *sgemvCall) { s.tA = 'x' }, func(s *sgemvCall) { s.m = -1 }, func(s *sgemvCall) { s.n = -1 },
				func(s *sgemvCall) { s.m = 0 }, func(s *sgemvCall) { s.n = 0 }, func(s *sgemvCall) { s.m++ }, func(s *sgemvCall) { s.n++ },
				func(s *sgemvCall) { s.m-- }, func(s *sgemvCall) { s.n-- }, func(s *sgemvCall) { s.lda-- }, func(s *sgemvCall) { s.lda++ },
				func(s *sgemvCall) { s.lda = 0 }, func(s *sgemvCall) { s.incX = 0 }, func(s *sgemvCall) { s.incY = 0 },
				func(s *sgemvCall) { s.incX = 3 }, func(s *sgemvCall) { s.incY = -3 }, func(s *sgemvCall) { s.incX = -2 },
				func(s *sgemvCall) { s.incY = 1 }, func(s *sgemvCall) { s.a = s.a[1:] }, func(s *sgemvCall) { s.x = s.x[1:] },
				func(s *sgemvCall) { s.y = s.y[1:] }, func(s *sgemvCall) { s.a = nil }, func(s *sgemvCall) { s.x = nil },
				func(s *sgemvCall) { s.y = nil }, func(s *sgemvCall) { s.alpha = 0 }, func(s *sgemvCall) { s.beta = 1 },
			}, func(s sgemvCall) []float32 { return s.y })
		}
	}
}

func ones(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = 1
	}
	return x
}

// compare holds calls against gonum's: what they panic with, and what they write if they do not. Sums of ones are exact.
func compare[C interface {
	do(gonumblas.Float32) any
}](t *testing.T, make func() C, changes []func(*C), result func(C) []float32) {
	t.Helper()
	for i, change := range changes {
		for j, other := range changes[i:] {
			got, want := make(), make()
			for _, c := range []*C{&got, &want} {
				change(c)
				other(c)
			}
			wantPanic := want.do(reference{})
			if gotPanic := got.do(blas.New()); gotPanic != wantPanic {
				t.Fatalf("%T, changes %d and %d: panic %v, want %v", got, i, i+j, gotPanic, wantPanic)
			}
			if g, w := fmt.Sprint(result(got)), fmt.Sprint(result(want)); g != w {
				t.Fatalf("%T, changes %d and %d: result %s, want %s", got, i, i+j, g, w)
			}
		}
	}
}

// needKernels skips a test of what holds only where not all is gonum's.
func needKernels(t *testing.T) {
	t.Helper()
	x := []float32{1}
	if err := cpu.Sgemm(false, false, 1, 1, 1, 1, x, 1, x, 1, 0, []float32{0}, 1); err != nil {
		t.Skip(err)
	}
}

// TestPanicsBeforeOverflow has distances that wrap around in gonum's checks.
func TestPanicsBeforeOverflow(t *testing.T) {
	needKernels(t)
	const n, huge = 64, math.MaxInt/4 + 1
	x := ones(n * n)
	for _, bad := range []interface {
		do(gonumblas.Float32) any
	}{
		sgemmCall{'N', 'N', n, n, n, 1, x, huge, x, n, 0, x, n}, sgemmCall{'T', 'N', n, n, n, 1, x, huge, x, n, 0, x, n},
		sgemmCall{'N', 'N', n, n, n, 1, x, n, x, huge, 0, x, n}, sgemmCall{'N', 'T', n, n, n, 1, x, n, x, huge, 0, x, n},
		sgemmCall{'N', 'N', n, n, n, 1, x, n, x, n, 0, x, huge},
		sgemvCall{'N', n, n, 1, x, huge, x, 1, 0, x, 1}, sgemvCall{'T', n, n, 1, x, huge, x, 1, 0, x, 1},
		sgemvCall{'N', n, n, 1, x, n, x, huge, 0, x, 1}, sgemvCall{'N', n, n, 1, x, n, x, 1, 0, x, -huge},
		sgemvCall{'N', n, n, 1, x, n, x, math.MinInt, 0, x, 1},
	} {
		if bad.do(blas.New()) == nil {
			t.Errorf("%T did not panic", bad)
		}
	}
}

// TestAlphaZero has NaN where nothing is to be read, in sizes small and large.
func TestAlphaZero(t *testing.T) {
	needKernels(t)
	for _, n := range []int{2, 70} {
		nan := ones(n * n)
		for i := range nan {
			nan[i] = float32(math.NaN())
		}
		c := ones(n * n)
		blas.New().Sgemm(gonumblas.NoTrans, gonumblas.Trans, n, n, n, 0, nan, n, nan, n, 2, c, n)
		blas.New().Sgemv(gonumblas.Trans, n, n, 0, nan, n, nan, 1, 2, c, 1)
		for i, got := range c {
			want := float32(2)
			if i < n {
				want = 4
			}
			if got != want {
				t.Fatalf("size %d: element %d is %v, want %v", n, i, got, want)
			}
		}
	}
}

// FuzzSgemm and FuzzSgemv compare calls with gonum's: the same panic or, within rounding, the same result.
func FuzzSgemm(f *testing.F) {
	f.Add(uint64(1), 'N', 'T', 9, 10, 11, 11, 11, 10, float32(1), float32(0), uint16(200), uint16(200), uint16(200))
	f.Add(uint64(2), 'T', 'N', 90, 33, 70, 95, 33, 40, float32(0.5), float32(-1), uint16(9000), uint16(9000), uint16(9000))
	f.Add(uint64(3), 'C', 'N', 1, 70, 70, 1, 70, 70, float32(1), float32(1), uint16(70), uint16(4900), uint16(70))
	f.Fuzz(func(t *testing.T, seed uint64, tA, tB rune, m, n, k, lda, ldb, ldc int, alpha, beta float32, lenA, lenB, lenC uint16) {
		if !(max(m, n, k, lda, ldb, ldc) < 1<<16 && math.Abs(float64(alpha)) <= 1 && math.Abs(float64(beta)) <= 1) || alpha == 0 {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 0))
		got := sgemmCall{gonumblas.Transpose(tA), gonumblas.Transpose(tB), m, n, k, alpha,
			randoms(r, int(lenA)), lda, randoms(r, int(lenB)), ldb, beta, randoms(r, int(lenC)), ldc}
		want := got
		want.c = append([]float32(nil), got.c...)
		if p, q := got.do(blas.New()), want.do(reference{}); p != q {
			t.Fatalf("panic %v, want %v", p, q)
		}
		near(t, "c", got.c, want.c)
	})
}

func FuzzSgemv(f *testing.F) {
	f.Add(uint64(1), 'N', 50, 60, 61, 1, 1, float32(1), float32(0), uint16(5000), uint16(60), uint16(50))
	f.Add(uint64(2), 'T', 50, 60, 61, -2, 3, float32(1), float32(0.5), uint16(5000), uint16(200), uint16(200))
	f.Fuzz(func(t *testing.T, seed uint64, tA rune, m, n, lda, incX, incY int, alpha, beta float32, lenA, lenX, lenY uint16) {
		if !(max(m, n, lda, incX, incY, -incX, -incY) < 1<<16 && math.Abs(float64(alpha)) <= 1 && math.Abs(float64(beta)) <= 1) {
			t.Skip()
		}
		r := rand.New(rand.NewPCG(seed, 0))
		got := sgemvCall{gonumblas.Transpose(tA), m, n, alpha,
			randoms(r, int(lenA)), lda, randoms(r, int(lenX)), incX, beta, randoms(r, int(lenY)), incY}
		want := got
		want.y = append([]float32(nil), got.y...)
		if p, q := got.do(blas.New()), want.do(reference{}); p != q {
			t.Fatalf("panic %v, want %v", p, q)
		}
		near(t, "y", got.y, want.y)
	})
}
