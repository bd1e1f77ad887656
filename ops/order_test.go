package ops_test

import (
	"errors"
	"slices"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// otherOrders are the elements of d in other orders of memory.
func otherOrders(t *testing.T, d *tensor.Dense) map[string]*tensor.Dense {
	shape := d.Shape()
	last := len(shape) - 1
	wide, part := shape.Clone(), make([]tensor.Slice, len(shape))
	wide[last], part[last] = 2*shape[last], tensor.S(0, 2*shape[last], 2)
	backward := shape.Clone()
	slices.Reverse(backward)
	zeros := func(shape tensor.Shape) *tensor.Dense {
		return tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(shape...))
	}
	turned := zeros(backward)
	if last > 0 {
		if err := turned.T(); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]*tensor.Dense{
		"every other column": must[tensor.View](t)(zeros(wide).Slice(part...)).(*tensor.Dense),
		"transposed":         turned,
		"column-major":       tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(shape...), tensor.AsFortran(nil)),
	}
	for _, v := range out {
		at := make([]int, len(shape))
		for i := range backend.Elements(shape) {
			for j, rest := last, i; j >= 0; j-- {
				at[j], rest = rest%shape[j], rest/shape[j]
			}
			if err := v.SetAt(must[any](t)(d.At(at...)), at...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// Every op reads tensors of every order of memory as it reads contiguous ones, and refuses a masked one.
func TestEveryOpReadsEveryOrderOfMemory(t *testing.T) {
	for _, c := range opCases(t) {
		n := buildCase(t, c)
		want := must[gorgonia.Value](t)(n.Op().Do(c.in...))
		for i, v := range c.in {
			d, ok := v.(*tensor.Dense)
			if !ok {
				continue
			}
			in := slices.Clone(c.in)
			for name, other := range otherOrders(t, d) {
				in[i] = other
				got, err := n.Op().Do(in...)
				if err != nil || !sameBytes(t, got, want) {
					t.Errorf("%s, input %d, %s: %v, error %v, want %v", c.name, i, name, got, err, want)
				}
			}
			masked := d.Clone().(*tensor.Dense)
			if err := masked.ResetMask(false); err != nil {
				t.Fatal(err)
			}
			in[i] = masked
			if got, err := n.Op().Do(in...); !errors.Is(err, backend.ErrValue) {
				t.Errorf("%s, input %d, masked: %v, error %v, want ErrValue", c.name, i, got, err)
			}
		}
	}
}
