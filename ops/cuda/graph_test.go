//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestReplayReadsNewInputs(t *testing.T) {
	d := testDevice(t)
	const elements = 20000 // more than Arrays of a group have
	rng := rand.New(rand.NewPCG(4, 5))
	in := must(d.Upload(random(t, rng, tensor.Float32, elements)))(t).(*Array)
	var out *Array
	g := must(Capture(d, func() error {
		middle, err := in.Clone() // unreachable afterwards; the graph keeps it
		if err != nil {
			return err
		}
		result, err := middle.(*Array).Clone()
		if err != nil {
			return err
		}
		out = result.(*Array)
		return nil
	}))(t)
	for range 3 {
		host := random(t, rng, tensor.Float32, elements)
		if err := in.CopyFrom(host); err != nil {
			t.Fatal(err)
		}
		if err := d.Trim(); err != nil { // what the graph uses must survive
			t.Fatal(err)
		}
		if err := g.Replay(); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, must(d.Download(out))(t), host)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	held := must(d.Memory())(t).InUse
	if err := g.Replay(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := must(d.Memory())(t).InUse; held-after < 2*4*elements {
		t.Errorf("closing the graph freed %d bytes, want those of two arrays", held-after)
	}
	if err := g.Replay(); !errors.Is(err, ErrClosed) {
		t.Errorf("replay of a closed graph: %v", err)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
}

func TestCaptureRefuses(t *testing.T) {
	d := testDevice(t)
	host := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(4))
	a := must(d.Upload(host))(t).(*Array)
	wrong := errors.New("wrong")
	for what, c := range map[string]struct {
		run  func() error
		want error
	}{
		"sync":     {d.Sync, ErrCapturing},
		"upload":   {func() error { _, err := d.Upload(host); return err }, ErrCapturing},
		"download": {func() error { _, err := d.Download(a); return err }, ErrCapturing},
		"nested":   {func() error { _, err := Capture(d, func() error { return nil }); return err }, ErrCapturing},
		"error":    {func() error { _, err := a.Clone(); return errors.Join(err, wrong) }, wrong},
		"panic":    {func() error { panic("wrong") }, backend.ErrValue},
	} {
		if g, err := Capture(d, c.run); !errors.Is(err, c.want) || g != nil {
			t.Errorf("%s: graph %v, error %v, want %v", what, g, err, c.want)
		}
		if err := d.Sync(); err != nil {
			t.Fatalf("%s: the device is unusable afterwards: %v", what, err)
		}
		if clone := must(a.Clone())(t).(*Array); clone.Data() == nil {
			t.Fatalf("%s: the device records still", what)
		}
	}
}

func TestEmptyCapture(t *testing.T) {
	d := testDevice(t)
	g := must(Capture(d, func() error { return nil }))(t)
	if err := errors.Join(g.Replay(), d.Sync(), g.Close()); err != nil {
		t.Error(err)
	}
}

// TestCaptureAllocates has a capture that needs memory nobody has asked the driver for yet.
func TestCaptureAllocates(t *testing.T) {
	d := testDevice(t)
	if err := d.Trim(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(6, 7))
	host := random(t, rng, tensor.Byte, 70<<20)
	a := must(d.Upload(host))(t).(*Array)
	var b *Array
	g := must(Capture(d, func() error {
		clone, err := a.Clone()
		if err == nil {
			b = clone.(*Array)
		}
		return err
	}))(t)
	defer g.Close()
	if err := g.Replay(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, must(d.Download(b))(t), host)
}
