//go:build cu && linux && cgo

package cuda

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"gorgonia.org/cu"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda/internal/memory"
)

// Device is a GPU: a backend.Device named "cuda:0", "cuda:1", …. All its work runs in the order in which it is queued. It is
// safe for concurrent use; what one goroutine queues runs in that goroutine's order.
//
// An error that the GPU does not recover from (an illegal address, a failure of the hardware) is reported in full to the one
// who meets it first. Afterwards every call on the device fails; the process needs to be started again to use the GPU.
type Device struct {
	ordinal      int
	name         string
	major, minor int // compute capability
	sms          int // multiprocessors

	context    cu.CUContext
	stream     cu.Stream
	rawContext contextHandle
	rawStream  streamHandle

	memory    *memory.Cache
	nursery   nursery
	functions []function // by kernel
	image     string     // the file that they are from
	overlap   bool       // a kernel may start before the one in front of it has ended
	faults    faults
	staging   staging
	stacks    stackTables
	recording atomic.Pointer[recording] // what a Capture under way holds, nil if there is none
	broken    atomic.Pointer[error]     // why the device is unusable, nil if it is not
}

// oldestMajor is the major compute capability of the oldest devices that the kernels run on.
const oldestMajor = 8

var opened struct {
	sync.Mutex
	devices map[int]*Device
}

// Count is the number of GPUs that the driver shows to this process.
func Count() (int, error) {
	if err := driverError(); err != nil {
		return 0, err
	}
	n, err := cu.NumDevices()
	if err != nil {
		return 0, fmt.Errorf("cuda: count the devices: %w: %w", err, backend.ErrDevice)
	}
	return n, nil
}

// Open makes the GPU of a number from 0 on ready for use and loads the kernels. There is one Device of a number in a process:
// opening it again gives the same.
//
// The errors are ErrNoDriver, ErrDriverTooOld, ErrNoDevice and ErrDeviceTooOld, without the build tag ErrNotBuilt, or another
// backend.ErrDevice with the driver's own words.
func Open(ordinal int) (*Device, error) {
	n, err := Count()
	if err != nil {
		return nil, err
	}
	if ordinal < 0 || ordinal >= n {
		return nil, fmt.Errorf("cuda: device %d, want one in [0,%d): %w", ordinal, n, ErrNoDevice)
	}
	opened.Lock()
	defer opened.Unlock()
	if d := opened.devices[ordinal]; d != nil {
		return d, nil
	}
	d := &Device{ordinal: ordinal}
	if err := d.open(); err != nil {
		return nil, err
	}
	if opened.devices == nil {
		opened.devices = make(map[int]*Device)
	}
	opened.devices[ordinal] = d
	return d, nil
}

func (d *Device) open() error {
	dev, err := cu.GetDevice(d.ordinal)
	if err != nil {
		return d.failure("open", err)
	}
	if d.name, err = dev.Name(); err != nil {
		return d.failure("read its name", err)
	}
	for _, a := range []struct {
		value *int
		of    cu.DeviceAttribute
	}{{&d.major, cu.ComputeCapabilityMajor}, {&d.minor, cu.ComputeCapabilityMinor}, {&d.sms, cu.MultiprocessorCount}} {
		if *a.value, err = dev.Attribute(a.of); err != nil {
			return d.failure("read its attributes", err)
		}
	}
	if d.major < oldestMajor {
		return fmt.Errorf("%v: %s has compute capability %d.%d, want %d.0 or more: %w",
			d, d.name, d.major, d.minor, oldestMajor, ErrDeviceTooOld)
	}
	// The primary context is the one that other users of CUDA in the process share. It is never released, as the Device
	// lives as long as the process.
	if d.context, err = dev.RetainPrimaryCtx(); err != nil {
		return d.failure("make a context", err)
	}
	d.rawContext = handle[contextHandle](d.context)
	d.memory = memory.New(source{d}, d.collectGarbage)
	return d.do("open", func() error {
		if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
			return err
		}
		d.rawStream = handle[streamHandle](d.stream)
		if err := d.faults.open(); err != nil {
			return err
		}
		return d.loadKernels(binaries)
	})
}

// String is "cuda:" and the number.
func (d *Device) String() string { return fmt.Sprintf("cuda:%d", d.ordinal) }

// Kind is "cuda".
func (d *Device) Kind() string { return "cuda" }

// Name is the GPU's name as the driver tells it.
func (d *Device) Name() string { return d.name }

// ComputeCapability is the version of the GPU's instruction set: 9.0 is Hopper.
func (d *Device) ComputeCapability() (major, minor int) { return d.major, d.minor }

// New allocates an Array with undefined contents. If the device is full, Arrays that are unreachable are freed first; the
// error is ErrOutOfMemory if that does not suffice.
func (d *Device) New(dt tensor.Dtype, shape tensor.Shape) (backend.Value, error) {
	a, err := d.newArray(dt, shape)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Sync waits for all work queued on the device. It reports the first error that a kernel found in its operands since the last
// Sync or Download, whoever queued it.
func (d *Device) Sync() error {
	if d.recording.Load() != nil {
		return fmt.Errorf("%v: wait: %w", d, ErrCapturing)
	}
	if err := d.do("wait", d.stream.Synchronize); err != nil {
		return err
	}
	return d.faults.take()
}

// SyncContext is Sync that gives up waiting when ctx is done, with ctx's error. A GPU cannot be told to drop what is queued: that
// runs on, the Device stays usable, and what kernels found in their operands is left for the next Sync.
func (d *Device) SyncContext(ctx context.Context) error {
	if d.recording.Load() != nil {
		return fmt.Errorf("%v: wait: %w", d, ErrCapturing)
	}
	for pause := 10 * time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		var more bool
		err := d.do("wait", func() (err error) {
			more, err = working(d.stream)
			return err
		})
		switch {
		case err != nil:
			return err
		case !more:
			return d.faults.take()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%v: wait: %w", d, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// do calls f, which uses functions of package cu, on a thread on which the device's context is current.
func (d *Device) do(what string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cu.SetCurrentContext(d.context)
	if err == nil {
		err = f()
	}
	return d.failure(what, err)
}
