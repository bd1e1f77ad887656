//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"time"

	"gorgonia.org/cu"
)

// Time tells how long the device takes for the work that run queues, by the device's clock and with a resolution of about a
// microsecond. It waits for it. What other goroutines queue meanwhile counts too.
func (d *Device) Time(run func() error) (took time.Duration, err error) {
	if d.recording.Load() != nil {
		return 0, fmt.Errorf("%v: time: %w", d, ErrCapturing)
	}
	var start, end cu.Event
	err = d.do("time", func() (err error) {
		if start, err = cu.MakeEvent(cu.DefaultEvent); err != nil {
			return err
		}
		if end, err = cu.MakeEvent(cu.DefaultEvent); err != nil {
			return errors.Join(err, cu.DestroyEvent(&start))
		}
		if err = start.Record(d.stream); err != nil {
			return errors.Join(err, cu.DestroyEvent(&start), cu.DestroyEvent(&end))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = run()
	return took, errors.Join(err, d.do("time", func() error {
		err := errors.Join(end.Record(d.stream), end.Synchronize())
		if err == nil {
			var milliseconds float64
			milliseconds, err = start.Elapsed(end)
			took = time.Duration(milliseconds * float64(time.Millisecond))
		}
		return errors.Join(err, cu.DestroyEvent(&start), cu.DestroyEvent(&end))
	}))
}
