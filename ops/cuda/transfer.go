//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/gorgonia/moe/ops/backend"
)

// stagingBytes is the size of one of the two buffers between the host's tensors and the device. A larger copy passes in
// pieces, one buffer being filled while the other is on its way.
const stagingBytes = 8 << 20

// staging are the two buffers, in memory that the device reads and writes by itself, each with an event that tells when the
// device is done with it. They are made when they are first needed.
type staging struct {
	mu      sync.Mutex
	buffers [2]unsafe.Pointer
	done    [2]cu.Event
}

// open makes what is not there yet: all of it at first, the rest if a step failed before. The device's context is current.
func (s *staging) open() error {
	for i := range s.buffers {
		if s.buffers[i] == nil {
			p, err := pinned(stagingBytes)
			if err != nil {
				return err
			}
			s.buffers[i] = p
		}
		if s.done[i] == (cu.Event{}) {
			e, err := cu.MakeEvent(cu.DisableTiming)
			if err != nil {
				return err
			}
			s.done[i] = e
		}
	}
	return nil
}

func (s *staging) bytes(i, n int) []byte { return unsafe.Slice((*byte)(s.buffers[i]), n) }

// Upload copies a contiguous host tensor to the device. The tensor may be changed when it returns.
func (d *Device) Upload(v backend.Value) (backend.Value, error) {
	memory, err := backend.Bytes(v)
	if err != nil {
		return nil, fmt.Errorf("%v: upload: %w", d, err)
	}
	a, err := d.newArray(v.Dtype(), v.Shape())
	if err != nil {
		return nil, err
	}
	if err := a.write(memory); err != nil {
		return nil, err
	}
	return a, nil
}

// Download waits for the work queued on the device and copies an Array of it into a new host tensor. It reports what a kernel
// found wrong in its operands as Sync does.
func (d *Device) Download(v backend.Value) (backend.Value, error) {
	a, ok := v.(*Array)
	if !ok {
		return nil, fmt.Errorf("%v: download a %T, want a *cuda.Array: %w", d, v, backend.ErrValue)
	}
	if a.device != d {
		return nil, fmt.Errorf("%v: download an array of %v: %w", d, a.device, backend.ErrDevice)
	}
	host, err := backend.Host.New(a.dtype, a.shape)
	if err != nil {
		return nil, err
	}
	memory, err := backend.Bytes(host)
	if err != nil {
		return nil, err
	}
	if err := a.read(memory); err != nil {
		return nil, err
	}
	return host, nil
}

// transfer runs f with the staging buffers and a use of the array.
func (a *Array) transfer(what string, f func(d *Device, s *staging) error) error {
	d := a.device
	if d.recording.Load() != nil {
		return fmt.Errorf("%v: %s: %w", d, what, ErrCapturing)
	}
	if !a.acquire() {
		return fmt.Errorf("%v: %s: array %w", d, what, ErrClosed)
	}
	defer a.release()
	if err := a.inMemory(); err != nil {
		return fmt.Errorf("%v: %s: %w", d, what, err)
	}
	d.staging.mu.Lock()
	defer d.staging.mu.Unlock()
	return d.do(what, func() error {
		if err := d.staging.open(); err != nil {
			return err
		}
		return f(d, &d.staging)
	})
}

// write copies from the host.
func (a *Array) write(from []byte) error {
	return a.transfer("upload", func(d *Device, s *staging) error {
		to := cu.DevicePtr(a.block.Address)
		for i := 0; len(from) > 0; i ^= 1 {
			n := min(len(from), stagingBytes)
			if err := s.done[i].Synchronize(); err != nil {
				return err
			}
			copyBytes(s.bytes(i, n), from[:n])
			if err := cu.MemcpyHtoDAsync(to, s.buffers[i], int64(n), d.stream); err != nil {
				return err
			}
			if err := s.done[i].Record(d.stream); err != nil {
				return err
			}
			from, to = from[n:], to+cu.DevicePtr(n)
		}
		return nil
	})
}

// read copies to the host, and takes the fault on record.
func (a *Array) read(to []byte) error {
	err := a.transfer("download", func(d *Device, s *staging) error {
		from := cu.DevicePtr(a.block.Address)
		fetch := func(i, n int) error {
			if err := cu.MemcpyDtoHAsync(s.buffers[i], from, int64(n), d.stream); err != nil {
				return err
			}
			from += cu.DevicePtr(n)
			return s.done[i].Record(d.stream)
		}
		if len(to) == 0 {
			return d.stream.Synchronize()
		}
		size := min(len(to), stagingBytes)
		if err := fetch(0, size); err != nil {
			return err
		}
		for i := 0; len(to) > 0; i ^= 1 {
			next := min(len(to)-size, stagingBytes)
			if next > 0 {
				if err := fetch(i^1, next); err != nil {
					return err
				}
			}
			if err := s.done[i].Synchronize(); err != nil {
				return err
			}
			copyBytes(to[:size], s.bytes(i, size))
			to, size = to[size:], next
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.device.faults.take()
}

// copyBytes is copy for two slices of one length, by several goroutines if they are long: one core copies slower than the
// device transfers.
func copyBytes(dst, src []byte) {
	const share = 1 << 20
	if len(src) <= share {
		copy(dst, src)
		return
	}
	var wg sync.WaitGroup
	for at := 0; at < len(src); at += share {
		end := min(at+share, len(src))
		wg.Go(func() { copy(dst[at:end], src[at:end]) })
	}
	wg.Wait()
}

// copyOnDevice copies the elements to another Array of the device, of the same size.
func (a *Array) copyOnDevice(to *Array) error {
	c := call{stage: "copy"}
	defer c.done()
	from, dst := c.array("source", a), c.array("destination", to)
	if c.err != nil || a.bytes() == 0 {
		return c.err
	}
	return c.run(func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(dst.address()), cu.DevicePtr(from.address()), a.bytes(), a.device.stream)
	})
}
