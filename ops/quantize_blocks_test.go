package ops_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// weightOf is a tensor of a dtype with the numbers f.
func weightOf[T backend.Number](f []float32, shape ...int) *tensor.Dense {
	data := make([]T, len(f))
	backend.Narrow(data, f)
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// TestQuantizeBlocks quantises tensors of each dtype and a stack, and compares with Narrow row by row.
func TestQuantizeBlocks(t *testing.T) {
	const e, n, d = 3, 5, 70
	r := rand.New(rand.NewPCG(1, 2))
	f := make([]float32, e*n*d)
	for i := range f {
		f[i] = backend.ToF16(backend.ToBF16(float32(r.NormFloat64())).Float32()).Float32() // exact in every dtype
	}
	var stack [][]backend.Value
	for i := range e {
		at := i * n * d
		stack = append(stack, []backend.Value{weightOf[float32](f[at:][:2*d], 2, d), weightOf[float32](f[at+2*d:][:3*d], 3, d)})
	}
	stacked, err := backend.StackExperts(stack)
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []backend.BlockFormat{ops.Q8_0, ops.Q4_0} {
		var want []byte
		for row := range slices.Chunk(f, d) {
			blocks := make([]byte, format.RowBytes(d))
			if err := format.Narrow(blocks, row); err != nil {
				t.Fatal(err)
			}
			want = append(want, blocks...)
		}
		for name, w := range map[string]backend.Value{
			"float32": weightOf[float32](f, e, n, d), "bfloat16": weightOf[backend.BF16](f, e, n, d),
			"float16": weightOf[backend.F16](f, e, n, d), "matrix": weightOf[float32](f, e*n, d), "stack": stacked,
		} {
			q, err := ops.QuantizeBlocks(w, format)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if q.BlockFormat() != format || !q.Shape().Eq(w.Shape()) || !slices.Equal(q.Bytes(), want) {
				t.Errorf("%s: %v has other blocks than Narrow makes", name, q)
			}
		}
	}
}

func TestQuantizeBlocksRefuses(t *testing.T) {
	bad := weightOf[float32](make([]float32, 3*4*40), 3, 4, 40)
	bad.Data().([]float32)[(2*4+1)*40+33] = float32(math.NaN())
	_, err := ops.QuantizeBlocks(bad, ops.Q8_0)
	if !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), "row [2 1], element 33") {
		t.Errorf("a NaN: error %v, want %v that tells its place", err, backend.ErrValue)
	}
	for name, c := range map[string]struct {
		w      backend.Value
		format backend.BlockFormat
		want   error
	}{
		"nil":            {nil, ops.Q8_0, backend.ErrValue},
		"a nil tensor":   {(*tensor.Dense)(nil), ops.Q8_0, backend.ErrValue},
		"a vector":       {weightOf[float32](make([]float32, 5), 5), ops.Q8_0, backend.ErrShape},
		"float64":        {tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(2, 3)), ops.Q8_0, backend.ErrDtype},
		"another format": {weightOf[float32](make([]float32, 6), 2, 3), backend.BlockFormat(7), backend.ErrParameter},
	} {
		if _, err := ops.QuantizeBlocks(c.w, c.format); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	empty, err := ops.QuantizeBlocks(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(0, 3)), ops.Q4_0)
	if err != nil || empty.Size() != 0 {
		t.Errorf("no rows: %v, %v", empty, err)
	}
}

// TestQuantizeBlocksTellsTheFirst: of several rows that are wrong the first is told, however many workers there are.
func TestQuantizeBlocksTellsTheFirst(t *testing.T) {
	const rows, d = 97, 4096
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	w := weightOf[float32](make([]float32, rows*d), rows, d)
	for _, row := range []int{96, 20, 50, 21} {
		w.Data().([]float32)[row*d+row] = float32(math.Inf(1))
	}
	for procs := 1; procs <= 8; procs++ {
		runtime.GOMAXPROCS(procs)
		_, err := ops.QuantizeBlocks(w, ops.Q4_0)
		if !errors.Is(err, backend.ErrValue) || !strings.Contains(err.Error(), "row [20], element 20") {
			t.Errorf("GOMAXPROCS = %d: error %v, want %v for element 20 of row 20", procs, err, backend.ErrValue)
		}
	}
}

// TestBlocksInEveryProduct compares Linear and GroupedMatMul of blocks with those of the numbers they stand for. The
// elements of x may be rounded by (1+2⁻⁶)·2⁻¹⁶ of the largest of their block.
func TestBlocksInEveryProduct(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	normal := func(n int) []float32 {
		f := make([]float32, n)
		for i := range f {
			f[i] = float32(r.NormFloat64())
		}
		return f
	}
	x := weightOf[float32](normal(6*70), 6, 70)
	ids := tensor.New(tensor.WithShape(6, 1), tensor.WithBacking([]int32{0, 1, 1, 0, 1, 1}))
	plan, err := ops.EvalPlan(ids, nil, ops.PlanConfig{Experts: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []backend.BlockFormat{ops.Q8_0, ops.Q4_0} {
		for _, dims := range [][]int{{33, 70}, {2, 33, 70}} {
			q, err := ops.QuantizeBlocks(weightOf[float32](normal(backend.Elements(dims)), dims...), format)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := q.Unpack()
			if err != nil {
				t.Fatal(err)
			}
			product := func(w backend.Value) []float32 {
				var out backend.Value
				if len(dims) == 2 {
					out, err = ops.EvalLinear(x, w)
				} else {
					out, err = ops.EvalGroupedMatMul(x, w, plan)
				}
				if err != nil {
					t.Fatal(err)
				}
				return out.Data().([]float32)
			}
			bound := 1e-4
			bound += 0x1.04p-16 * norm(x.Data().([]float32), 1) * norm(plain.Data().([]float32), 70)
			got, want := product(q), product(plain)
			for i := range want {
				if e := math.Abs(float64(got[i] - want[i])); !(e < bound) {
					t.Fatalf("%v %v: element %d is %v, want %v", format, dims, i, got[i], want[i])
				}
			}
		}
	}
}

// norm is the greatest sum of the magnitudes of n numbers side by side.
func norm(x []float32, n int) (most float64) {
	for row := range slices.Chunk(x, n) {
		sum := 0.0
		for _, v := range row {
			sum += math.Abs(float64(v))
		}
		most = max(most, sum)
	}
	return most
}
