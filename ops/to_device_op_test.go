package ops_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// A graph computes in part on a device and in part in Gorgonia's own ops on the host.
func TestToDeviceAndBackInAGraph(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	d := &toy{"toy:0"}
	g := gorgonia.NewGraph()
	there := n1(ops.ToDevice(node(g, "x", matrix(2, 2, 1, 2, 3, 4)), d))
	sum := n1(ops.Add(there, there))
	back := n1(ops.ToHost(sum))
	y := n1(gorgonia.Neg(back))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	for range 2 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*gorgonia.Node{there, sum} {
			if got := backend.DeviceOf(n.Value()); got != backend.Device(d) {
				t.Errorf("%v is on %v, want %v", n, got, d)
			}
		}
		if got := f32s(t, y.Value()); backend.DeviceOf(back.Value()) != backend.Host || got[0] != -2 || got[3] != -8 {
			t.Errorf("y = %v from %v, want [-2 -4 -6 -8] from the host", got, backend.DeviceOf(back.Value()))
		}
		m.Reset()
	}
}

// Gorgonia's ops write over an operand that nothing reads after them: what ToHost and Scales give them must not be the memory of an input.
func TestInputsStayWhereGorgoniaWritesOverItsOperands(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	x := matrix(3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
	q := must[*backend.Quantized](t)(ops.EvalQuantize(x))
	g := gorgonia.NewGraph()
	hidden, quantized := node(g, "x", x), node(g, "q", q)
	one := node(g, "one", matrix(3, 1, 1, 1, 1))
	sum := n1(gorgonia.Add(n1(ops.ToHost(hidden)), node(g, "y", matrix(3, 4))))
	scales := n1(gorgonia.Add(n1(ops.Scales(quantized)), one))
	before, beforeScales := slices.Clone(f32s(t, x)), slices.Clone(f32s(t, q.Scales))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	for range 3 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f32s(t, x), before) || !slices.Equal(f32s(t, q.Scales), beforeScales) {
			t.Fatalf("the inputs have become %v and %v", x, q.Scales)
		}
		if got, want := num(sum.Value(), 2, 3), 12+num(matrix(3, 4), 2, 3); got != want {
			t.Fatalf("the sum is %v, want %v", got, want)
		}
		if got, want := num(scales.Value(), 2, 0), float64(beforeScales[2]+1); got != want {
			t.Fatalf("the scale and one is %v, want %v", got, want)
		}
		m.Reset()
	}
}

func TestWhatIsThereStays(t *testing.T) {
	a, b := &toy{"toy:0"}, &toy{"toy:1"}
	host := matrix(2, 2)
	onA := must[backend.Value](t)(ops.EvalToDevice(host, a))
	if got := must[backend.Value](t)(ops.EvalToHost(host)); got != backend.Value(host) {
		t.Error("a tensor of the host is copied to the host")
	}
	if got := must[backend.Value](t)(ops.EvalToDevice(onA, a)); got != onA {
		t.Errorf("a value of %v is copied to %[1]v", a)
	}
	onB := must[backend.Value](t)(ops.EvalToDevice(onA, b))
	if backend.DeviceOf(onB) != backend.Device(b) || !sameBytes(t, must[backend.Value](t)(ops.EvalToHost(onB)), host) {
		t.Errorf("a value moved from %v to %v is on %v", a, b, backend.DeviceOf(onB))
	}
	view := must[tensor.View](t)(matrix(4, 6).Slice(nil, tensor.S(1, 3))).(*tensor.Dense)
	if got := must[backend.Value](t)(ops.EvalToHost(view)); !sameBytes(t, got, must[*tensor.Dense](t)(backend.Contiguous(view))) {
		t.Error("a view's numbers change on the way to the host")
	}
}

// Every kind of value goes to a device and back as it was.
func TestEveryKindMoves(t *testing.T) {
	d, w := &toy{"toy:0"}, newWorld(t)
	for name, v := range map[string]backend.Value{
		"scalar":    tensor.New(tensor.FromScalar(float32(3))),
		"empty":     tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(0, 4)),
		"int32":     w.ids,
		"quantized": must[*backend.Quantized](t)(ops.EvalQuantize(w.x)),
		"plan":      w.plan,
		"stack":     must[*backend.ExpertStack](t)(backend.StackExperts(blocksOf(t, w.w13))),
	} {
		there := must[backend.Value](t)(ops.EvalToDevice(v, d))
		if fmt.Sprintf("%T", there) == fmt.Sprintf("%T", v) {
			for i, p := range there.(backend.Composite).Parts() {
				if backend.DeviceOf(p) != backend.Device(d) {
					t.Errorf("%s: part %d is on %v", name, i, backend.DeviceOf(p))
				}
			}
			if again := must[backend.Value](t)(ops.EvalToDevice(there, d)); again != there {
				t.Errorf("%s: what is there already is made anew", name)
			}
		}
		if backend.DeviceOf(there) != backend.Device(d) || there.Dtype() != v.Dtype() || !there.Shape().Eq(v.Shape()) {
			t.Errorf("%s: %v %v on %v", name, there.Dtype(), there.Shape(), backend.DeviceOf(there))
		}
		if back := must[backend.Value](t)(ops.EvalToHost(there)); !sameBytes(t, back, v) {
			t.Errorf("%s came back as another", name)
		}
	}
	packed := &toyPacked{toyValue: toyValue{matrix(2, 2), d}}
	if back := must[backend.Value](t)(ops.EvalToHost(packed)); packed.unpacked != 1 || !sameBytes(t, back, matrix(2, 2)) {
		t.Errorf("a packed weight came back as %v after %d unpackings", back, packed.unpacked)
	}
}

func TestToDeviceRefuses(t *testing.T) {
	d := &toy{"toy:0"}
	cache := must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, 4, 1, 2))
	if got := must[backend.Value](t)(ops.EvalToHost(cache)); got != backend.Value(cache) {
		t.Error("a cache of the host is made anew on the host")
	}
	full := errors.New("full")
	for name, c := range map[string]struct {
		x    backend.Value
		d    backend.Device
		want error
	}{
		"no device":   {matrix(1, 1), nil, backend.ErrParameter},
		"no value":    {nil, d, backend.ErrValue},
		"a cache":     {cache, d, backend.ErrValue},
		"a masked x":  {tensor.New(tensor.WithShape(2), tensor.WithBacking([]float32{1, 2}, []bool{true, false})), d, backend.ErrValue},
		"full device": {matrix(1, 1), fullToy{d, full}, full},
	} {
		if v, err := ops.EvalToDevice(c.x, c.d); !errors.Is(err, c.want) || !strings.HasPrefix(strings.ToLower(err.Error()), "todevice: ") {
			t.Errorf("%s: %v, error %v, want %v that names the op", name, v, err, c.want)
		}
	}
	if _, err := ops.ToDevice(node(gorgonia.NewGraph(), "x", matrix(1, 1)), nil); !errors.Is(err, backend.ErrParameter) {
		t.Errorf("a node without a device: %v", err)
	}
}

// fullToy is a toy that takes nothing more.
type fullToy struct {
	*toy
	err error
}

func (d fullToy) Upload(backend.Value) (backend.Value, error) { return nil, d.err }

// Two devices make two ops, which a graph does not merge; one device makes one.
func TestToDeviceNamesTheDevice(t *testing.T) {
	n1 := must[*gorgonia.Node](t)
	g := gorgonia.NewGraph()
	x := node(g, "x", matrix(1, 2))
	a, b := n1(ops.ToDevice(x, &toy{"toy:0"})), n1(ops.ToDevice(x, &toy{"toy:1"}))
	if a.Op().Hashcode() == b.Op().Hashcode() || a == b {
		t.Errorf("%v and %v are one op", a.Op(), b.Op())
	}
	if got := fmt.Sprint(a.Op()); !strings.Contains(got, "toy:0") {
		t.Errorf("the op is drawn as %q, without its device", got)
	}
	run(t, g)
	if d := backend.DeviceOf(b.Value()); fmt.Sprint(d) != "toy:1" {
		t.Errorf("the second op's value is on %v", d)
	}
}
