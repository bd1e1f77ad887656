package cpu

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// quantizedNormals is a Quantized of normally distributed numbers, and the numbers that its codes and scales stand for.
func quantizedNormals(t testing.TB, rng *rand.Rand, blockRows, blockCols int, shape ...int) (*backend.Quantized, []float64) {
	t.Helper()
	q, err := backend.NewQuantized(backend.Host, shape, blockRows, blockCols)
	if err != nil {
		t.Fatal(err)
	}
	x, values := normals(t, rng, tensor.Float32, shape...)
	if err := (Go{}).Quantize(q, x); err != nil {
		t.Fatal(err)
	}
	codes, scales := elementsIn[backend.F8E4M3](t, q.Codes), elementsIn[float32](t, q.Scales)
	rows, cols := shape[len(shape)-2], shape[len(shape)-1]
	across := (cols + blockCols - 1) / blockCols
	down := (rows + blockRows - 1) / blockRows
	for i := range values {
		matrix, row, col := i/(rows*cols), i/cols%rows, i%cols
		scale := scales[(matrix*down+row/blockRows)*across+col/blockCols]
		values[i] = float64(codes[i].Float32()) * float64(scale)
	}
	return q, values
}

func TestScaledRows(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, blocks := range [][2]int{{1, 1}, {3, 5}, {7, 13}, {128, 128}, {1, 4}} {
		q, want := quantizedNormals(t, rng, blocks[0], blocks[1], 2, 7, 13)
		var m anyMatrix[float32]
		err := m.set("test", "q", q, 2, 7, 13)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]float32, 13)
		for row := range 14 {
			for lo := range 13 {
				for hi := lo; hi <= 13; hi++ {
					got := m.row(row, lo, hi, buf)
					if !slices.EqualFunc(got, want[row*13+lo:row*13+hi], func(a float32, b float64) bool { return a == float32(b) }) {
						t.Fatalf("blocks %v: elements [%d,%d) of row %d are %v, want %v", blocks, lo, hi, row, got, want[row*13+lo:row*13+hi])
					}
				}
			}
		}
	}
}

func TestStackedRows(t *testing.T) {
	heights := []int{2, 0, 3, 1, 0}
	var blocks [][]backend.Value
	next := float32(0)
	for range 3 {
		var list []backend.Value
		for _, h := range heights {
			x := make([]float32, h*2)
			for i := range x {
				x[i] = next
				next++
			}
			list = append(list, hostTensor(t, []int{h, 2}, x...))
		}
		blocks = append(blocks, list)
	}
	s, err := backend.StackExperts(blocks)
	if err != nil {
		t.Fatal(err)
	}
	var m anyMatrix[float32]
	err = m.set("test", "s", s, 3, 6, 2)
	if err != nil {
		t.Fatal(err)
	}
	for row := range 18 {
		if got := m.row(row, 0, 2, nil); got[0] != float32(2*row) || got[1] != float32(2*row+1) {
			t.Errorf("row %d is %v", row, got)
		}
	}
}

// alienPacked is a packed weight of a backend that is not ours.
type alienPacked struct{ *tensor.Dense }

func (p alienPacked) Unpack() (backend.Value, error) { return p.Dense, nil }

func TestAnyMatrixRefuses(t *testing.T) {
	fresh := func() *backend.Quantized {
		q, err := backend.NewQuantized(backend.Host, tensor.Shape{4, 6}, 2, 3)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	edit := func(change func(*backend.Quantized)) backend.Value {
		q := fresh()
		change(q)
		return q
	}
	for name, c := range map[string]struct {
		v    backend.Value
		want error
	}{
		"packed":           {alienPacked{hostTensor[float32](t, []int{4, 6})}, backend.ErrUnsupported},
		"a plan":           {newTestPlan(t, 1, 1, 1, 1, 1), backend.ErrUnsupported},
		"dtype":            {hostTensor[int32](t, []int{4, 6}), backend.ErrDtype},
		"bare codes":       {hostTensor[backend.F8E4M3](t, []int{4, 6}), backend.ErrDtype},
		"shape":            {hostTensor[float32](t, []int{6, 4}), backend.ErrShape},
		"codes' shape":     {edit(func(q *backend.Quantized) { q.Codes = hostTensor[backend.F8E4M3](t, []int{4, 5}) }), backend.ErrShape},
		"codes' dtype":     {edit(func(q *backend.Quantized) { q.Codes = hostTensor[uint8](t, []int{4, 6}) }), backend.ErrDtype},
		"scales' shape":    {edit(func(q *backend.Quantized) { q.Scales = hostTensor[float32](t, []int{2, 1}) }), backend.ErrShape},
		"scales' dtype":    {edit(func(q *backend.Quantized) { q.Scales = hostTensor[float64](t, []int{2, 2}) }), backend.ErrDtype},
		"blocks of none":   {edit(func(q *backend.Quantized) { q.BlockCols = 0 }), backend.ErrParameter},
		"blocks of others": {edit(func(q *backend.Quantized) { q.BlockRows = 1 }), backend.ErrShape},
	} {
		if err := new(anyMatrix[float32]).set("test", "v", c.v, 4, 6); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestAnyMatrixRefusesStacks(t *testing.T) {
	for name, c := range map[string]struct {
		block backend.Value
		want  error
	}{
		"shape":  {hostTensor[float32](t, []int{3, 2}), backend.ErrShape},
		"dtype":  {hostTensor[int32](t, []int{4, 6}), backend.ErrDtype},
		"packed": {alienPacked{hostTensor[float32](t, []int{4, 6})}, backend.ErrValue},
	} {
		s, err := backend.StackExperts([][]backend.Value{{c.block}})
		if err != nil {
			t.Fatal(err)
		}
		if err := new(anyMatrix[float32]).set("test", "s", s, 1, 4, 6); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckOperandsFindsNil(t *testing.T) {
	x := hostTensor[float32](t, []int{1})
	for name, v := range map[string]backend.Value{
		"nil": nil, "nil quantized": (*backend.Quantized)(nil), "no codes": &backend.Quantized{Scales: x}, "no scales": &backend.Quantized{Codes: x},
	} {
		if err := checkOperands("test", x, v); !errors.Is(err, backend.ErrValue) {
			t.Errorf("%s: got error %v, want %v", name, err, backend.ErrValue)
		}
	}
	if err := checkOperands("test", x, x); err != nil {
		t.Error(err)
	}
}

func TestScratchHasTheLengthAskedFor(t *testing.T) {
	for _, n := range []int{0, 5, 3, 100, 7} {
		single, double := getScratch[float32](n), getScratch[float64](n)
		if len(*single) != n || len(*double) != n {
			t.Errorf("asked for %d, got %d and %d", n, len(*single), len(*double))
		}
		putScratch(single)
		putScratch(double)
	}
}
