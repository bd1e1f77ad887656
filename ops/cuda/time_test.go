//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"testing"
	"time"

	"gorgonia.org/tensor"
)

func TestTime(t *testing.T) {
	d := testDevice(t)
	a := must(d.New(tensor.Byte, tensor.Shape{64 << 20}))(t).(*Array)
	b := must(d.New(tensor.Byte, tensor.Shape{64 << 20}))(t).(*Array)
	runs := 0
	took, err := d.Time(func() error {
		runs++
		return a.CopyTo(b)
	})
	if err != nil || runs != 1 || took < time.Microsecond || took > time.Second {
		t.Errorf("a copy of 64 MiB took %v in %d runs, error %v", took, runs, err)
	}
	wrong := errors.New("wrong")
	if _, err := d.Time(func() error { return wrong }); !errors.Is(err, wrong) {
		t.Errorf("error %v, want %v", err, wrong)
	}
	_, err = Capture(d, func() error { _, err := d.Time(func() error { return nil }); return err })
	if !errors.Is(err, ErrCapturing) {
		t.Errorf("in a capture: error %v, want %v", err, ErrCapturing)
	}
}
