//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"os"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// testDevice opens the first GPU. Where there is none the test is skipped, or fails if MOE_REQUIRE_CUDA is set.
func testDevice(t testing.TB) *Device {
	t.Helper()
	d, err := Open(0)
	if err != nil {
		if os.Getenv("MOE_REQUIRE_CUDA") != "" {
			t.Fatal(err)
		}
		t.Skipf("this test needs a GPU: %v", err)
	}
	return d
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOpenTellsWhyNot(t *testing.T) {
	n, err := Count()
	if err != nil {
		if _, openErr := Open(0); !errors.Is(openErr, backend.ErrDevice) || openErr.Error() != err.Error() {
			t.Errorf("Open: %v, Count: %v", openErr, err)
		}
		if !errors.Is(err, ErrNoDriver) && !errors.Is(err, ErrDriverTooOld) && !errors.Is(err, ErrNoDevice) {
			t.Errorf("%v wraps none of this package's errors", err)
		}
		return
	}
	for _, ordinal := range []int{-1, n, 1 << 40} {
		if _, err := Open(ordinal); !errors.Is(err, ErrNoDevice) {
			t.Errorf("Open(%d) of %d devices: error %v, want %v", ordinal, n, err, ErrNoDevice)
		}
	}
}

func TestOpenTwiceIsOneDevice(t *testing.T) {
	d := testDevice(t)
	if again := must(Open(0))(t); again != d {
		t.Errorf("Open(0) gave %p and %p", d, again)
	}
	if d.String() != "cuda:0" || d.Kind() != "cuda" || d.Name() == "" {
		t.Errorf("device %q of kind %q is named %q", d, d.Kind(), d.Name())
	}
	major, minor := d.ComputeCapability()
	t.Logf("%s, compute capability %d.%d, kernels of %s", d.Name(), major, minor, d.image)
}

func TestNewRefuses(t *testing.T) {
	d := testDevice(t)
	for _, c := range []struct {
		dt    tensor.Dtype
		shape tensor.Shape
		want  error
	}{
		{tensor.String, tensor.Shape{2}, backend.ErrDtype},
		{backend.PlanDtype, tensor.Shape{2}, backend.ErrDtype},
		{tensor.Dtype{}, tensor.Shape{2}, backend.ErrDtype},
		{tensor.Float32, tensor.Shape{2, -1}, backend.ErrShape},
		{tensor.Float32, tensor.Shape{1 << 31, 1 << 31}, backend.ErrShape},
		{tensor.Float32, tensor.Shape{1 << 40, 1 << 40}, backend.ErrShape},
	} {
		if _, err := d.New(c.dt, c.shape); !errors.Is(err, c.want) {
			t.Errorf("an array of %v %v: error %v, want %v", c.dt, c.shape, err, c.want)
		}
	}
}

func TestOutOfMemoryNamesBytes(t *testing.T) {
	d := testDevice(t)
	_, err := d.New(tensor.Float32, tensor.Shape{1 << 20, 1 << 22})
	if !errors.Is(err, ErrOutOfMemory) || !errors.Is(err, backend.ErrDevice) {
		t.Fatalf("16 TiB: error %v, want %v", err, ErrOutOfMemory)
	}
	if !strings.Contains(err.Error(), "17592186044416 bytes wanted") || !strings.Contains(err.Error(), "free") {
		t.Errorf("error %q does not name the bytes wanted and free", err)
	}
	a := must(d.Upload(tensor.New(tensor.WithBacking([]int32{1, 2, 3}))))(t)
	if back := must(d.Download(a))(t); back.Data().([]int32)[2] != 3 {
		t.Errorf("after an error the device gives back %v", back)
	}
}

// TestGarbageIsReused allocates many times the device's memory and keeps nothing.
func TestGarbageIsReused(t *testing.T) {
	d := testDevice(t)
	m := must(d.Memory())(t)
	const size = 256 << 20
	for range 2*m.Total/size + 1 {
		must(d.New(tensor.Byte, tensor.Shape{size}))(t)
	}
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	if after := must(d.Memory())(t); after.Cached != 0 || after.InUse > m.InUse {
		t.Errorf("after a trim %+v, before the test %+v", after, m)
	}
}
