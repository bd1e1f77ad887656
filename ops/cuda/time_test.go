//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"os"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
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

// TestTimeKeepsNoEvents takes the driver's events away, first the second that a measurement needs.
func TestTimeKeepsNoEvents(t *testing.T) {
	if os.Getenv(standInVariable) == "" {
		t.Skip("the driver here is no stand-in whose events could run out")
	}
	d := testDevice(t)
	runs := 0
	run := func() error { runs++; return nil }
	for _, c := range []struct {
		events string
		err    error
		runs   int
	}{{"0", backend.ErrDevice, 0}, {"1", backend.ErrDevice, 0}, {"2", nil, 1}, {"2", nil, 2}} {
		t.Setenv("STANDIN_EVENTS", c.events)
		if _, err := d.Time(run); !errors.Is(err, c.err) || runs != c.runs {
			t.Errorf("with %s events: error %v after %d runs, want %v after %d", c.events, err, runs, c.err, c.runs)
		}
	}
}
