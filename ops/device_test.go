package ops_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// toy is a device made of host memory, with a type of value of its own, as a third party might bring one.
type toy struct{ name string }

// toyValue is a tensor on a toy.
type toyValue struct {
	*tensor.Dense
	on *toy
}

func (v *toyValue) Device() backend.Device      { return v.on }
func (v *toyValue) Type() hm.Type               { return gorgonia.TypeOf(v.Dense) }
func (v *toyValue) Format(s fmt.State, _ rune)  { fmt.Fprintf(s, "value on %v", v.on) }
func (v *toyValue) Clone() (interface{}, error) { return nil, errors.New("not needed here") }

func (d *toy) String() string { return d.name }
func (d *toy) Kind() string   { return "toy" }
func (d *toy) Sync() error    { return nil }
func (d *toy) New(dt tensor.Dtype, shape tensor.Shape) (backend.Value, error) {
	v, err := backend.Host.New(dt, shape)
	if err != nil {
		return nil, err
	}
	return &toyValue{v.(*tensor.Dense), d}, nil
}
func (d *toy) Upload(v backend.Value) (backend.Value, error) {
	return &toyValue{v.(*tensor.Dense).Clone().(*tensor.Dense), d}, nil
}
func (d *toy) Download(v backend.Value) (backend.Value, error) {
	return v.(*toyValue).Dense.Clone().(*tensor.Dense), nil
}

// toyBackend knows Add, Embedding and GroupedMatMul, the last only for weights of all ones.
type toyBackend struct{}

func (toyBackend) Name() string { return "toy/test" }

func (toyBackend) Add(out, a, b backend.Value) error {
	x, y, z := out.(*toyValue).Data().([]float32), a.(*toyValue).Data().([]float32), b.(*toyValue).Data().([]float32)
	for i := range x {
		x[i] = y[i] + z[i]
	}
	return nil
}

func (toyBackend) Embedding(_, _, _ backend.Value) error { panic("a bug of the backend") }

func (toyBackend) GroupedMatMul(out, rows, w backend.Value, _ *backend.Plan) error {
	if _, ok := w.(*toyValue); !ok {
		return fmt.Errorf("weights of %T: %w", w, backend.ErrUnsupported)
	}
	for i, x := range rows.(*toyValue).Data().([]float32) { // D = N = 1
		out.(*toyValue).Data().([]float32)[i] = x
	}
	return nil
}

// toyPacked is a packed weight that only its Unpack can read.
type toyPacked struct {
	toyValue
	unpacked int
}

func (p *toyPacked) Unpack() (backend.Value, error) { p.unpacked++; return p.Dense, nil }

func init() { backend.Register("toy", 0, toyBackend{}) }

func TestDispatchFollowsTheData(t *testing.T) {
	a, b := &toy{"toy:0"}, &toy{"toy:1"}
	host := matrix(2, 2, 1, 2, 3, 4)
	onA := must[backend.Value](t)(backend.To(a, host))
	onB := must[backend.Value](t)(backend.To(b, host))

	sum := must[backend.Value](t)(ops.EvalAdd(onA, host))
	if backend.DeviceOf(sum) != backend.Device(a) {
		t.Errorf("the sum of a device's and a host value is on %v, want %v", backend.DeviceOf(sum), a)
	}
	back := must[backend.Value](t)(backend.To(backend.Host, sum))
	if got := f32s(t, back); got[0] != 2 || got[3] != 8 {
		t.Errorf("sum = %v, want [2 4 6 8]", got)
	}
	if v := must[backend.Value](t)(ops.EvalAdd(host, host)); backend.DeviceOf(v) != backend.Host {
		t.Errorf("the sum of host values is on %v", backend.DeviceOf(v))
	}
	if _, err := ops.EvalAdd(onA, onB); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("values of two devices: %v, want ErrDevice", err)
	}
	if moved := must[backend.Value](t)(backend.To(b, onA)); backend.DeviceOf(moved) != backend.Device(b) {
		t.Errorf("a value moved between devices is on %v, want %v", backend.DeviceOf(moved), b)
	}
	if _, err := ops.EvalSwiGLU(onA); !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), "swiglu") {
		t.Errorf("a stage that the device lacks: %v, want ErrUnsupported naming it", err)
	}
	other := &nowhere{toy{"nowhere"}}
	lost := &nowhereValue{host, other}
	if _, err := ops.EvalAdd(lost, host); !errors.Is(err, backend.ErrUnsupported) || !strings.Contains(err.Error(), "import") {
		t.Errorf("a device without any backend: %v, want ErrUnsupported and what to import", err)
	}
}

// nowhere is a device of a kind that nobody registered.
type nowhere struct{ toy }

func (*nowhere) Kind() string { return "nowhere" }

type nowhereValue struct {
	*tensor.Dense
	on *nowhere
}

func (v *nowhereValue) Device() backend.Device { return v.on }

func (d *nowhere) New(dt tensor.Dtype, shape tensor.Shape) (backend.Value, error) {
	return &nowhereValue{tensor.New(tensor.Of(dt), tensor.WithShape(shape...)), d}, nil
}

func (d *nowhere) Upload(v backend.Value) (backend.Value, error) {
	return &nowhereValue{v.(*tensor.Dense), d}, nil
}

func TestDeviceValuesInAGraph(t *testing.T) {
	d := &toy{"toy:0"}
	g := gorgonia.NewGraph()
	x := node(g, "x", must[backend.Value](t)(backend.To(d, matrix(1, 2, 1, 2))))
	y := must[*gorgonia.Node](t)(ops.Add(x, node(g, "h", matrix(1, 2, 10, 20))))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	for range 2 {
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
		back := must[backend.Value](t)(backend.To(backend.Host, y.Value()))
		if got := f32s(t, back); backend.DeviceOf(y.Value()) != backend.Device(d) || got[0] != 11 || got[1] != 22 {
			t.Fatalf("y = %v on %v, want [11 22] on %v", got, backend.DeviceOf(y.Value()), d)
		}
		m.Reset()
	}
}

func TestPanicOfABackendIsAnError(t *testing.T) {
	d := &toy{"toy:0"}
	g := gorgonia.NewGraph()
	table := node(g, "table", must[backend.Value](t)(backend.To(d, matrix(3, 2))))
	must[*gorgonia.Node](t)(ops.Embedding(tensor.Float32, table, node(g, "ids", tensor.New(tensor.WithShape(2), tensor.WithBacking([]int32{0, 1})))))
	m := gorgonia.NewTapeMachine(g)
	defer m.Close()
	if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), "a bug of the backend") {
		t.Errorf("error %v, want one that tells of the panic", err)
	}
}

func TestPackedWeightThatNobodyTakesIsUnpacked(t *testing.T) {
	d := &toy{"toy:0"}
	plan := must[*backend.Plan](t)(ops.EvalPlan(ids(2, 1, 0, 0), nil, ops.PlanConfig{Experts: 1}))
	w := &toyPacked{toyValue: toyValue{tensor.New(tensor.WithShape(1, 1, 1), tensor.WithBacking([]float32{1})), d}}
	out := must[backend.Value](t)(ops.EvalGroupedMatMul(matrix(2, 1, 5, 6), w, plan))
	back := must[backend.Value](t)(backend.To(backend.Host, out))
	if got := f32s(t, back); w.unpacked != 1 || got[0] != 5 || got[1] != 6 {
		t.Errorf("out = %v after %d unpackings, want [5 6] after 1", got, w.unpacked)
	}
}

func TestCacheOnTheHostIsNotCopiedToADevice(t *testing.T) {
	cache := must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, 4, 1, 2))
	keys := must[backend.Value](t)(backend.To(&toy{"toy:0"}, matrix(1, 2)))
	pos := tensor.New(tensor.WithShape(1), tensor.WithBacking([]int32{0}))
	if err := ops.EvalCacheAppend(cache, keys, matrix(1, 2), pos); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("error %v, want ErrDevice", err)
	}
}

func TestCacheIsNotAppendedToItself(t *testing.T) {
	cache := must[*backend.KVCache](t)(backend.NewKVCache(backend.Host, tensor.Float32, 4, 1, 2))
	own := must[tensor.View](t)(cache.Keys.(*tensor.Dense).Slice(tensor.S(0, 2))).(*tensor.Dense)
	positions := tensor.New(tensor.WithShape(2), tensor.WithBacking([]int32{1, 2}))
	if err := ops.EvalCacheAppend(cache, own, matrix(2, 2), positions); !errors.Is(err, backend.ErrValue) {
		t.Errorf("keys that are rows of the cache: %v, want ErrValue", err)
	}
}
