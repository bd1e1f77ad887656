//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"

	"gorgonia.org/cu"

	"github.com/gorgonia/moe/ops/cuda/internal/memory"
)

// Memory tells how the device's memory is used.
func (d *Device) Memory() (m Memory, err error) {
	m.InUse, m.Cached = d.memory.Usage()
	err = d.do("read the memory's usage", func() error {
		m.Free, m.Total, err = cu.MemInfo()
		return err
	})
	return m, err
}

// Trim gives the cached memory back to the driver, for other users of the GPU. Unreachable Arrays are freed first. It waits for
// the device.
func (d *Device) Trim() error {
	d.collectGarbage()
	return d.memory.Trim()
}

// source is the driver's memory for a device.
type source struct{ d *Device }

// Allocate implements memory.Source.
func (s source) Allocate(bytes int64) (address uintptr, err error) {
	err = s.d.do("allocate", func() error {
		p, err := cu.MemAlloc(bytes)
		if errors.Is(err, cu.OutOfMemory) {
			free, total, infoErr := cu.MemInfo()
			return errors.Join(fmt.Errorf("%v: %d bytes wanted, %d of %d free: %w: %w", s.d, bytes, free, total, memory.ErrFull, ErrOutOfMemory), infoErr)
		}
		address = uintptr(p)
		return err
	})
	return address, err
}

// Free implements memory.Source.
func (s source) Free(blocks []memory.Block) error {
	return s.d.do("free memory", func() error {
		var errs []error
		if s.d.recording.Load() == nil { // no recorded work uses a free block: a graph holds the blocks it uses
			errs = append(errs, s.d.stream.Synchronize())
		}
		for _, b := range blocks {
			errs = append(errs, cu.MemFree(cu.DevicePtr(b.Address)))
		}
		return errors.Join(errs...)
	})
}

// collectGarbage runs the garbage collector and gives the cleanups of what it found the time to run.
func (d *Device) collectGarbage() {
	d.nursery.leave()
	const patience, step = 100 * time.Millisecond, 50 * time.Microsecond
	counters := []metrics.Sample{{Name: "/gc/cleanups/queued:cleanups"}, {Name: "/gc/cleanups/executed:cleanups"}}
	runtime.GC()
	metrics.Read(counters)
	queued := counters[0].Value.Uint64()
	for end := time.Now().Add(patience); counters[1].Value.Uint64() < queued && time.Now().Before(end); {
		time.Sleep(step)
		metrics.Read(counters)
	}
}
