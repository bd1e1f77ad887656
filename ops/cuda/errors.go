package cuda

import (
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
)

// What can keep a device from being used, or used on. Each of them is a backend.ErrDevice too.
var (
	// ErrNotBuilt: the program was built without the tag cu, without cgo, or for another system than Linux.
	ErrNotBuilt = fmt.Errorf("this program was built without CUDA (go build -tags cu, on Linux, with cgo): %w", backend.ErrDevice)
	// ErrNoDriver: the driver's library libcuda.so.1 is missing or did not start.
	ErrNoDriver = fmt.Errorf("no NVIDIA driver: %w", backend.ErrDevice)
	// ErrNoDevice: there is no device of this number.
	ErrNoDevice = fmt.Errorf("no such CUDA device: %w", backend.ErrDevice)
	// ErrDriverTooOld: the driver is older than what the kernels need, CUDA 12.0 (version 525).
	ErrDriverTooOld = fmt.Errorf("the NVIDIA driver is too old: %w", backend.ErrDevice)
	// ErrDeviceTooOld: the device's compute capability is below 8.0.
	ErrDeviceTooOld = fmt.Errorf("the GPU is too old: %w", backend.ErrDevice)
	// ErrOutOfMemory: the device has no room for an allocation. The device stays usable.
	ErrOutOfMemory = fmt.Errorf("out of device memory: %w", backend.ErrDevice)
	// ErrClosed: an Array or a Graph was used after Close.
	ErrClosed = fmt.Errorf("used after close: %w", backend.ErrDevice)
	// ErrCapturing: what was called needs the device to compute, or copies between it and the host, while it records a graph.
	ErrCapturing = fmt.Errorf("not possible while a graph is captured: %w", backend.ErrDevice)
)
