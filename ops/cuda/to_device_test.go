//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// TestGraphMovesValues has a graph copy its input to the device and back, in every run anew.
func TestGraphMovesValues(t *testing.T) {
	d := testDevice(t)
	rng := rand.New(rand.NewPCG(24, 25))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Int32, backend.BFloat16} {
		g := gorgonia.NewGraph()
		x := gorgonia.NewMatrix(g, dt, gorgonia.WithName("x"), gorgonia.WithShape(37, 130))
		there := must(ops.ToDevice(x, d))(t)
		again := must(ops.ToDevice(there, d))(t)
		back := must(ops.ToHost(again))(t)
		machine := gorgonia.NewTapeMachine(g)
		for range 3 {
			host := random(t, rng, dt, 37, 130)
			if err := errors.Join(gorgonia.Let(x, host), machine.RunAll()); err != nil {
				t.Fatal(err)
			}
			if backend.DeviceOf(there.Value()) != backend.Device(d) || again.Value() != there.Value() {
				t.Errorf("moved to %v and from there to %v", backend.DeviceOf(there.Value()), backend.DeviceOf(again.Value()))
			}
			wantEqual(t, back.Value(), host)
			machine.Reset()
		}
		machine.Close()
	}
	if _, err := ops.EvalToDevice(tensor.New(tensor.WithBacking([]string{"a", "b"})), d); !errors.Is(err, backend.ErrDtype) {
		t.Errorf("strings: error %v, want %v", err, backend.ErrDtype)
	}
	a := must(d.New(tensor.Float32, tensor.Shape{4}))(t)
	if _, err := Capture(d, func() error { _, err := ops.EvalToHost(a); return err }); !errors.Is(err, ErrCapturing) {
		t.Errorf("a move to the host in a capture: %v, want %v", err, ErrCapturing)
	}
}
