package backend

import (
	"errors"
	"math"
	"math/bits"
	"testing"

	"gorgonia.org/tensor"
)

// worstRows is the most rows that any routing of n slots to e experts needs, by trying all.
func worstRows(n, e, align int) int {
	if e == 0 {
		return 0
	}
	most := 0
	for first := 0; first <= n; first++ {
		most = max(most, (first+align-1)/align*align+worstRows(n-first, e-1, align))
	}
	return most
}

func TestRowBoundIsTight(t *testing.T) {
	for tokens := range 5 {
		for slots := range 3 {
			for experts := range 5 {
				for _, align := range []int{1, 2, 3, 8, 100} {
					got, err := RowBound(tokens, slots, experts, align)
					if want := worstRows(tokens*slots, experts, align); err != nil || got != want {
						t.Errorf("RowBound(%d,%d,%d,%d) = %d, %v, want %d", tokens, slots, experts, align, got, err, want)
					}
				}
			}
		}
	}
}

func TestRowBoundRefuses(t *testing.T) {
	for _, c := range [][4]int{{-1, 1, 1, 1}, {1, -1, 1, 1}, {1, 1, -1, 1}, {1, 1, 1, 0},
		{math.MaxInt, 2, 1, 1}, {1 << 20, 1 << 12, 8, 1}, {1 << 20, 8, 1 << 20, 1 << 20}} {
		if rows, err := RowBound(c[0], c[1], c[2], c[3]); !errors.Is(err, ErrParameter) {
			t.Errorf("RowBound%v = %d, %v, want ErrParameter", c, rows, err)
		}
	}
}

func TestRowsForCounts(t *testing.T) {
	for _, c := range []struct {
		counts []int32
		align  int
		want   int
	}{{nil, 8, 0}, {[]int32{0, 0}, 8, 0}, {[]int32{1, 0, 8, 9}, 8, 8 + 8 + 16}, {[]int32{3, 4}, 1, 7}} {
		if got, err := RowsForCounts(c.counts, c.align); err != nil || got != c.want {
			t.Errorf("RowsForCounts(%v, %d) = %d, %v, want %d", c.counts, c.align, got, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		counts []int32
		align  int
	}{"align 0": {[]int32{1}, 0}, "negative": {[]int32{1, -1}, 1}, "overflow": {[]int32{math.MaxInt32, math.MaxInt32}, 1},
		"huge align": {[]int32{1, 1}, math.MaxInt}} {
		if got, err := RowsForCounts(c.counts, c.align); !errors.Is(err, ErrParameter) {
			t.Errorf("%s: %d, %v, want ErrParameter", name, got, err)
		}
	}
}

// composites are one of each kind.
func composites(t *testing.T) map[string]Composite {
	t.Helper()
	plan, err := NewPlan(Host, 2, 2, 3, 1, 4)
	if err != nil {
		t.Fatal(err)
	}
	quantized, err := NewQuantized(Host, tensor.Shape{3, 130}, 1, QuantBlock)
	if err != nil {
		t.Fatal(err)
	}
	cache, err := NewKVCache(Host, tensor.Float32, 5, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	block := func() Value { return tensor.New(tensor.WithShape(2, 3), tensor.Of(tensor.Float32)) }
	stack, err := StackExperts([][]Value{{block(), block()}, {block(), block()}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]Composite{"plan": plan, "quantized": quantized, "cache": cache, "stack": stack}
}

func TestCompositesCloneDeeply(t *testing.T) {
	for name, c := range composites(t) {
		clone, err := cloneParts(c)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if Overlap(c, clone) || !Overlap(c, c) {
			t.Errorf("%s: the clone shares memory, or the value does not with itself", name)
		}
		if !clone.Shape().Eq(c.Shape()) || clone.Dtype() != c.Dtype() || clone.Size() != Elements(c.Shape()) {
			t.Errorf("%s: the clone is %v %v, want %v %v", name, clone.Dtype(), clone.Shape(), c.Dtype(), c.Shape())
		}
		if _, err := c.With(c.Parts()[1:]); err == nil {
			t.Errorf("%s: a part too few is taken", name)
		}
	}
}

func TestQuantizedOfRefuses(t *testing.T) {
	codes := tensor.New(tensor.WithShape(1, 200), tensor.Of(Float8E4M3))
	scales := func(shape ...int) Value { return tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32)) }
	if _, err := QuantizedOf(codes, scales(1, 2), 1, QuantBlock); err != nil {
		t.Error(err)
	}
	if _, err := QuantizedOf(codes, scales(2), 1, QuantBlock); !errors.Is(err, ErrShape) {
		t.Errorf("a vector of scales: %v", err)
	}
	if _, err := QuantizedOf(scales(1, 200), scales(1, 2), 1, QuantBlock); !errors.Is(err, ErrDtype) {
		t.Errorf("codes of float32: %v", err)
	}
	if _, err := QuantizedOf(codes, scales(1, 2), 0, QuantBlock); !errors.Is(err, ErrParameter) {
		t.Errorf("blocks of no rows: %v", err)
	}
	if _, err := QuantizedOf((*tensor.Dense)(nil), scales(1, 2), 1, QuantBlock); !errors.Is(err, ErrValue) {
		t.Errorf("codes that are a nil tensor: %v", err)
	}
	if got, err := ScaleShape(tensor.Shape{0, 5}, math.MaxInt, math.MaxInt); err != nil || !got.Eq(tensor.Shape{0, 1}) {
		t.Errorf("ScaleShape = %v, %v, want (0, 1)", got, err)
	}
}

func TestNewKVCacheRefuses(t *testing.T) {
	for _, c := range [][3]int{{-1, 1, 1}, {1, 0, 1}, {1, 1, 0}, {0, math.MaxInt/2 + 1, 2}, {1, 1 << (bits.UintSize/2 - 1), 1 << (bits.UintSize/2 + 1)}} {
		if cache, err := NewKVCache(Host, tensor.Float32, c[0], c[1], c[2]); !errors.Is(err, ErrParameter) {
			t.Errorf("%v: %v, %v, want ErrParameter", c, cache, err)
		}
	}
	if cache, err := NewKVCache(Host, tensor.Dtype{}, 4, 1, 2); !errors.Is(err, ErrDtype) {
		t.Errorf("no dtype: %v, %v, want ErrDtype", cache, err)
	}
}

func TestNoDeviceIsAnError(t *testing.T) {
	x := tensor.New(tensor.WithShape(2), tensor.Of(tensor.Float32))
	for name, do := range map[string]func() (any, error){
		"plan":      func() (any, error) { return NewPlan(nil, 1, 1, 1, 1, 1) },
		"cache":     func() (any, error) { return NewKVCache(nil, tensor.Float32, 1, 1, 1) },
		"quantized": func() (any, error) { return NewQuantized(nil, tensor.Shape{2, 2}, 1, 1) },
		"to":        func() (any, error) { return To(nil, x) },
	} {
		if v, err := do(); !errors.Is(err, ErrParameter) {
			t.Errorf("%s: %v, error %v, want ErrParameter", name, v, err)
		}
	}
	for _, v := range []Value{nil, (*tensor.Dense)(nil), (*Plan)(nil), &Plan{}} {
		if moved, err := To(Host, v); !errors.Is(err, ErrValue) {
			t.Errorf("moving a %T: %v, error %v, want ErrValue", v, moved, err)
		}
	}
}

func TestStackExpertsRefuses(t *testing.T) {
	m := func(rows, cols int) Value {
		return tensor.New(tensor.WithShape(rows, cols), tensor.Of(tensor.Float32))
	}
	for name, c := range map[string]struct {
		blocks [][]Value
		want   error
	}{
		"nothing":            {nil, ErrShape},
		"no blocks":          {[][]Value{{}}, ErrShape},
		"a vector":           {[][]Value{{tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32))}}, ErrShape},
		"two widths":         {[][]Value{{m(2, 3), m(2, 4)}}, ErrShape},
		"other heights":      {[][]Value{{m(2, 3)}, {m(3, 3)}}, ErrShape},
		"a block too few":    {[][]Value{{m(2, 3), m(1, 3)}, {m(3, 3)}}, ErrShape},
		"two dtypes":         {[][]Value{{m(2, 3)}, {tensor.New(tensor.WithShape(2, 3), tensor.Of(BFloat16))}}, ErrDtype},
		"a nil in the stack": {[][]Value{{m(2, 3)}, {nil}}, ErrValue},
		"a nil in front":     {[][]Value{{nil}, {m(2, 3)}}, ErrValue},
		"a nil tensor":       {[][]Value{{m(2, 3)}, {(*tensor.Dense)(nil)}}, ErrValue},
		"a column, a vector": {[][]Value{{m(5, 1)}, {tensor.New(tensor.WithShape(5), tensor.Of(tensor.Float32))}}, ErrShape},
		"a row, a vector":    {[][]Value{{m(1, 5)}, {tensor.New(tensor.WithShape(5), tensor.Of(tensor.Float32))}}, ErrShape},
	} {
		if _, err := StackExperts(c.blocks); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
