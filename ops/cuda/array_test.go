//go:build cu && linux && cgo

package cuda

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// random makes a host tensor of random bytes.
func random(t testing.TB, rng *rand.Rand, dt tensor.Dtype, shape ...int) *tensor.Dense {
	t.Helper()
	v := must(backend.Host.New(dt, shape))(t)
	memory := must(backend.Bytes(v))(t)
	for i := range memory {
		memory[i] = byte(rng.Uint32())
	}
	return v.(*tensor.Dense)
}

// sameBytes reports whether two host tensors hold the same bytes.
func sameBytes(a, b backend.Value) bool {
	x, errX := backend.Bytes(a)
	y, errY := backend.Bytes(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func wantEqual(t testing.TB, got, want backend.Value) {
	t.Helper()
	if got.Dtype() != want.Dtype() || !slices.Equal(got.Shape(), want.Shape()) {
		t.Fatalf("%v %v, want %v %v", got.Dtype(), got.Shape(), want.Dtype(), want.Shape())
	}
	if !sameBytes(got, want) {
		t.Fatalf("the elements of %v %v differ", got.Dtype(), got.Shape())
	}
}

func TestCopiesKeepEveryByte(t *testing.T) {
	d := testDevice(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, dt := range []tensor.Dtype{tensor.Float32, tensor.Float64, tensor.Int32, tensor.Byte, tensor.Bool, tensor.Complex128, backend.BFloat16, backend.Float16, backend.Float8E4M3} {
		for _, shape := range []tensor.Shape{{}, {0}, {3, 0}, {1}, {7}, {5, 127}, {stagingBytes}, {3, stagingBytes + 13}} {
			if dt.Size() > 4 && backend.Elements(shape) > 1<<20 {
				continue
			}
			host := random(t, rng, dt, shape...)
			v := must(d.Upload(host))(t)
			a := v.(*Array)
			wantEqual(t, must(d.Download(a))(t), host)
			clone := must(gorgonia.CloneValue(a))(t)
			if backend.Elements(shape) > 0 && backend.Overlap(a, clone) {
				t.Error("a clone shares memory")
			}
			if err := a.CopyFrom(random(t, rng, dt, shape...)); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, must(d.Download(clone))(t), host)
			if err := clone.(*Array).CopyTo(a); err != nil {
				t.Fatal(err)
			}
			back := must(backend.Host.New(dt, shape))(t)
			if err := a.CopyTo(back); err != nil {
				t.Fatal(err)
			}
			wantEqual(t, back, host)
		}
	}
}

func TestArrayIsAValue(t *testing.T) {
	d := testDevice(t)
	host := tensor.New(tensor.WithShape(2, 3), tensor.WithBacking([]float32{1, 2, 3, 4, 5, 6}))
	a := must(d.Upload(host))(t)
	if got := fmt.Sprintf("%v", a); got != fmt.Sprintf("%v", host) {
		t.Errorf("printed as %q, the host tensor as %q", got, fmt.Sprintf("%v", host))
	}
	if got := a.Data().([]float32); !slices.Equal(got, host.Data().([]float32)) {
		t.Errorf("data %v", got)
	}
	if a.Size() != 6 || a.MemSize() != 24 || a.Uintptr() == 0 || a.Uintptr()%256 != 0 {
		t.Errorf("size %d, %d bytes at %#x", a.Size(), a.MemSize(), a.Uintptr())
	}
	if got, want := gorgonia.TypeOf(a), gorgonia.TypeOf(host); !got.Eq(want) {
		t.Errorf("type %v, want %v", got, want)
	}
	if backend.DeviceOf(a) != backend.Device(d) {
		t.Errorf("lives on %v", backend.DeviceOf(a))
	}
	empty := must(d.New(backend.BFloat16, tensor.Shape{0, 4}))(t)
	if got, ok := empty.Data().([]backend.BF16); !ok || len(got) != 0 {
		t.Errorf("data of no elements: %v", empty.Data())
	}
	if got := fmt.Sprint(empty); !strings.Contains(got, "(0, 4) on cuda:0") {
		t.Errorf("no elements are printed as %q", got)
	}
	if got := must(d.Upload(tensor.New(tensor.FromScalar(float32(7)))))(t); got.Data().(float32) != 7 || gorgonia.TypeOf(got) != tensor.Float32 {
		t.Errorf("a scalar has data %v and type %v", got.Data(), gorgonia.TypeOf(got))
	}
}

func TestClosedArrayIsAnError(t *testing.T) {
	d := testDevice(t)
	open := must(d.New(tensor.Float32, tensor.Shape{4}))(t).(*Array)
	a := must(d.New(tensor.Float32, tensor.Shape{4}))(t).(*Array)
	for range 2 {
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, cloneErr := a.Clone()
	_, downloadErr := d.Download(a)
	for what, err := range map[string]error{
		"clone": cloneErr, "download": downloadErr, "copy to": a.CopyTo(open), "copy from": a.CopyFrom(open),
		"upload": a.CopyFrom(tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4))),
	} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, backend.ErrDevice) {
			t.Errorf("%s: error %v, want %v", what, err, ErrClosed)
		}
	}
	if a.Data() != nil || !strings.Contains(fmt.Sprint(a), "used after close") {
		t.Errorf("data %v, printed as %q", a.Data(), fmt.Sprint(a))
	}
}

// Nothing behind an Array's memory is read or written to, whatever has been written into its shape.
func TestShapeBeyondTheMemory(t *testing.T) {
	d := testDevice(t)
	for _, rows := range []int{1 << 30, -4, math.MaxInt} {
		a := must(d.New(tensor.Float32, tensor.Shape{4, 2}))(t).(*Array)
		a.Shape()[0] = rows
		if v, err := d.Download(a); !errors.Is(err, backend.ErrShape) {
			t.Errorf("%d rows: download %T, error %v, want ErrShape", rows, v, err)
		}
		if v, err := a.Clone(); err == nil {
			t.Errorf("%d rows: a clone %v", rows, v)
		}
		fine := must(d.New(tensor.Float32, tensor.Shape{4, 2}))(t)
		if err := (Portable{}).Add(fine, a, fine); !errors.Is(err, backend.ErrShape) {
			t.Errorf("%d rows: add, error %v, want ErrShape", rows, err)
		}
	}
}

func TestCopiesRefuse(t *testing.T) {
	d := testDevice(t)
	a := must(d.New(tensor.Float32, tensor.Shape{4, 2}))(t).(*Array)
	wide := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4, 3))
	view := must(wide.Slice(nil, tensor.S(0, 2)))(t).(*tensor.Dense)
	if _, err := d.Upload(view); !errors.Is(err, backend.ErrValue) {
		t.Errorf("upload of a view: %v", err)
	}
	if err := a.CopyTo(view); !errors.Is(err, backend.ErrValue) {
		t.Errorf("copy to a view: %v", err)
	}
	if err := a.CopyFrom(view); err != nil {
		t.Errorf("copy from a view: %v", err)
	}
	for want, other := range map[error]any{
		backend.ErrDtype: tensor.New(tensor.Of(tensor.Float64), tensor.WithShape(4, 2)),
		backend.ErrShape: tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 4)),
		backend.ErrValue: []float32{1},
	} {
		if err := a.CopyTo(other); !errors.Is(err, want) {
			t.Errorf("copy to %T: error %v, want %v", other, err, want)
		}
		if err := a.CopyFrom(other); !errors.Is(err, want) {
			t.Errorf("copy from %T: error %v, want %v", other, err, want)
		}
	}
	if _, err := d.Download(gorgonia.NewF32(1)); !errors.Is(err, backend.ErrValue) {
		t.Errorf("download of a scalar of Gorgonia's: %v", err)
	}
}

// TestManyGoroutinesShareADevice has each check that its own data come back while blocks change hands.
func TestManyGoroutinesShareADevice(t *testing.T) {
	d := testDevice(t)
	before := must(d.Memory())(t)
	var wg sync.WaitGroup
	for seed := range uint64(64) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 3))
			for range 20 {
				host := random(t, rng, tensor.Float32, 1+rng.IntN(1<<rng.IntN(16)))
				v, err := d.Upload(host)
				if err != nil {
					t.Error(err)
					return
				}
				copied, err := v.(*Array).Clone()
				if err != nil {
					t.Error(err)
					return
				}
				if rng.IntN(2) == 0 {
					v.(*Array).Close()
				}
				back, err := d.Download(copied.(*Array))
				if err != nil {
					t.Error(err)
					return
				}
				if !sameBytes(back, host) {
					t.Error("another's data came back")
				}
			}
		})
	}
	wg.Wait()
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	if after := must(d.Memory())(t); after.InUse > before.InUse {
		t.Errorf("%d bytes in use, before the test %d", after.InUse, before.InUse)
	}
}
