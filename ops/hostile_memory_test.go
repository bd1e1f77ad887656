package ops_test

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// stretched are copies of d whose shape has been written to, as it can be by whoever asks for it, and tensors of shapes whose product
// overflows: all have less memory than their shape says.
func stretched(d *tensor.Dense) map[string]*tensor.Dense {
	out := map[string]*tensor.Dense{}
	for axis := range d.Shape() {
		for name, size := range map[string]int{"longer": d.Shape()[axis] + 1<<20, "negative": -d.Shape()[axis]} {
			c := d.Clone().(*tensor.Dense)
			c.Shape()[axis] = size
			out[fmt.Sprintf("axis %d %s", axis, name)] = c
		}
		shape := d.Shape().Clone()
		shape[axis] += 1 << (bits.UintSize - 2)
		if backend.Elements(shape) == backend.Elements(d.Shape()) {
			out[fmt.Sprintf("axis %d, an overflow", axis)] = tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(shape...))
		}
	}
	return out
}

// TestShapesBeyondTheMemory: a tensor, or a part of a value, of a shape that its memory does not hold is an error in every input of
// every op, and nothing behind the memory is read.
func TestShapesBeyondTheMemory(t *testing.T) {
	for _, c := range opCases(t) {
		n := buildCase(t, c)
		refuse := func(i int, name string, v backend.Value) {
			in := slices.Clone(c.in)
			in[i] = v
			if out, err := n.Op().Do(in...); err == nil {
				t.Errorf("%s, input %d, %s: taken, gives a %T", c.name, i, name, out)
			} else if strings.Contains(err.Error(), "panic") {
				t.Errorf("%s, input %d, %s: %v", c.name, i, name, err)
			}
		}
		for i, v := range c.in {
			if d, ok := v.(*tensor.Dense); ok {
				for name, d := range stretched(d) {
					refuse(i, name, d)
				}
			}
		}
	}
}

// TestTableOfALyingShape: rows that the shape has and the memory has not are not read.
func TestTableOfALyingShape(t *testing.T) {
	table := matrix(3, 2)
	last := tensor.New(tensor.WithShape(1), tensor.WithBacking([]int32{99}))
	if v, err := ops.EvalEmbedding(tensor.Float32, table, last); !errors.Is(err, backend.ErrIndex) {
		t.Fatalf("row 99 of 3: %v, error %v, want ErrIndex", v, err)
	}
	table.Shape()[0] = 100
	if v, err := ops.EvalEmbedding(tensor.Float32, table, last); !errors.Is(err, backend.ErrShape) {
		t.Errorf("row 99 of a table whose shape says 100 and whose memory holds 3: %v, error %v, want ErrShape", v, err)
	}
}

// TestWeightsOfALyingShape: neither packing nor quantising a weight, nor multiplying with a packed one, goes beyond its memory.
func TestWeightsOfALyingShape(t *testing.T) {
	x := matrix(5, 3)
	block := func() *tensor.Dense { return matrix(4, 3) }
	stack := func(change func(b *tensor.Dense)) backend.Value {
		b := block()
		s := must[*backend.ExpertStack](t)(backend.StackExperts([][]backend.Value{{block(), b}, {block(), block()}}))
		change(b)
		return s
	}
	changes := map[string]func(b *tensor.Dense){
		"more rows":     func(b *tensor.Dense) { b.Shape()[0] = 1 << 20 },
		"fewer rows":    func(b *tensor.Dense) { b.Shape()[0] = 1 },
		"wider rows":    func(b *tensor.Dense) { b.Shape()[1] = 1 << 20 },
		"narrower rows": func(b *tensor.Dense) { b.Shape()[1] = 2 },
	}
	for name, change := range changes {
		for _, format := range []backend.BlockFormat{ops.Q8_0, ops.Q4_0} {
			if q, err := ops.QuantizeBlocks(stack(change), format); err == nil {
				t.Errorf("a stack whose block has %s is quantised: %v", name, q)
			}
		}
		if p, err := ops.Pack(stack(change)); err == nil {
			if _, packed := p.(backend.Packed); packed {
				t.Errorf("a stack whose block has %s is packed: %v", name, p)
			}
		}
	}
	for _, name := range []string{"more rows", "wider rows"} {
		w := block()
		changes[name](w)
		if q, err := ops.QuantizeBlocks(w, ops.Q8_0); err == nil {
			t.Errorf("a weight with %s is quantised: %v", name, q)
		}
	}
	for axis := range 3 {
		s := stack(func(*tensor.Dense) {})
		s.Shape()[axis] += 1 << 20
		if _, err := ops.QuantizeBlocks(s, ops.Q8_0); !errors.Is(err, backend.ErrShape) {
			t.Errorf("a stack whose axis %d is longer than its blocks: error %v, want ErrShape", axis, err)
		}
		if axis < 2 {
			q := must[backend.Value](t)(ops.QuantizeBlocks(block(), ops.Q8_0))
			q.Shape()[axis] += 1 << 20
			if _, err := ops.EvalLinear(x, q); !errors.Is(err, backend.ErrShape) {
				t.Errorf("a weight in blocks whose axis %d is longer than its memory: error %v, want ErrShape", axis, err)
			}
		}
	}
	packed := must[backend.Value](t)(ops.Pack(block()))
	packed.Shape()[0] = 1000
	if _, plain := packed.(*tensor.Dense); !plain { // else nobody packs here
		if y, err := ops.EvalLinear(x, packed); err == nil {
			t.Errorf("a packed weight of 4 rows and of a shape of 1000: %v", y.Shape())
		}
	}
}

// TestRegisterThatAViewLooksInto: an input that is a view is read from a copy, but what it looks into must stay as well.
func TestRegisterThatAViewLooksInto(t *testing.T) {
	whole := matrix(2, 4, 1, 2, 3, 4, 5, 6, 7, 8)
	view := must[tensor.View](t)(whole.Slice(nil, tensor.S(0, 2))).(*tensor.Dense)
	register := tensor.New(tensor.WithShape(2, 2), tensor.WithBacking(whole.Data().([]float32)[:4]))
	g := gorgonia.NewGraph()
	n := must[*gorgonia.Node](t)(ops.Add(node(g, "a", view), node(g, "b", view)))
	if got := f32s(t, preallocDo(t, n, register, view, view)); !slices.Equal(got, []float32{2, 4, 10, 12}) {
		t.Errorf("the sum is %v, want [2 4 10 12]", got)
	}
	if got := whole.Data().([]float32); !slices.Equal(got, []float32{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("the memory behind the input is %v after the run", got)
	}
}
