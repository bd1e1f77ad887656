//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

func TestTwoDevices(t *testing.T) {
	first := testDevice(t)
	if n := must(Count())(t); n < 2 {
		t.Skipf("this test needs two GPUs, there is %d", n)
	}
	second := must(Open(1))(t)
	if first == second || second.String() != "cuda:1" {
		t.Fatalf("devices %v at %p and %v at %p", first, first, second, second)
	}
	host := random(t, rand.New(rand.NewPCG(14, 15)), tensor.Float32, 3*stagingBytes/4+5)
	a := must(backend.To(first, host))(t)
	b := must(backend.To(second, a))(t)
	if backend.DeviceOf(b) != backend.Device(second) || backend.Overlap(a, b) {
		t.Errorf("an array copied to %v lives on %v", second, backend.DeviceOf(b))
	}
	wantEqual(t, must(second.Download(b))(t), host)
	zero := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(host.Shape()...))
	if err := errors.Join(b.(*Array).CopyFrom(zero), a.(*Array).CopyTo(b)); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, must(backend.To(backend.Host, b))(t), host)

	if _, err := first.Download(b); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("download from another device: %v", err)
	}
	if _, err := ops.EvalAdd(a, b); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("an op with inputs on two devices: %v", err)
	}
	if err := (Portable{}).Add(a, a, b); !errors.Is(err, backend.ErrDevice) {
		t.Errorf("a stage with operands on two devices: %v", err)
	}
	sum := must(ops.EvalAdd(b, b))(t)
	if backend.DeviceOf(sum) != backend.Device(second) {
		t.Errorf("the sum of arrays of %v lives on %v", second, backend.DeviceOf(sum))
	}
	if err := errors.Join(first.Sync(), second.Sync()); err != nil {
		t.Error(err)
	}
}
