// Package cuda computes the stages of package backend on NVIDIA GPUs, over gorgonia.org/cu. Importing it registers the
// backend; values decide where an op runs, so a graph needs no change:
//
//	device, err := cuda.Open(0)
//	weights, err := backend.To(device, weights) // *cuda.Array: a gorgonia.Value
//
// An op with an input on the device runs there, and inputs from the host are copied.
//
// # Building
//
// The backend is behind the build tag cu and needs Linux and cgo. Without the tag the package needs neither cgo nor CUDA, and
// Open returns ErrNotBuilt.
//
//	go build -tags cu
//
// finds a toolkit in /usr/local/cuda. Only its header cuda.h is used, of CUDA 11.8 or later. For a header elsewhere, and for
// CUDA 13, whose cuda.h gorgonia.org/cu does not compile with, name the folders; this package's include folder goes first:
//
//	moe=$(go list -m -f '{{.Dir}}' github.com/gorgonia/moe)
//	export CGO_CFLAGS="-I$moe/ops/cuda/include -I/usr/local/cuda-13.0/include"
//
// The kernels are compiled already and part of the package. No library is linked to.
//
// # Running
//
// A program needs the driver alone, of CUDA 12.0 or later, and a GPU of compute capability 8.0 or more. It starts without
// either: libcuda.so.1 is loaded at the start if it is there, and Open tells what is missing.
//
// The kernels are machine code for the GPUs that there were when they were compiled, and PTX, which the driver of a newer GPU
// compiles when the device is opened. The environment variable MOE_CUDA=ptx forces that on any GPU, for tests; it takes up to a
// minute the first time.
//
// # Order, errors and memory
//
// A stage queues its kernels and returns; Device.Sync, Device.Download, Array.Data and formatting wait. What only the data
// can tell (an expert id out of range) is found by the kernels, which then write nothing outside of their destination, and is
// reported by the next Sync or Download. SyncContext waits until a context is done. The results are deterministic: the same
// operands give the same bits.
//
// An Array's memory is reused once the Array is closed or the garbage collector finds it unreachable, and given back to the
// driver by Device.Trim or when memory runs out.
//
// A run that repeats with the same shapes can be captured once and replayed: see Capture.
package cuda
