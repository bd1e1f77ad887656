//go:build cu && linux && cgo

package cuda

/*
#cgo LDFLAGS: -L${SRCDIR}/link -ldl
#cgo noescape moeLaunch
#cgo nocallback moeLaunch

#include <cuda.h>
#include "driver.h"

typedef struct {
	unsigned int grid[3], block, shared, overlap;
} moeShape;

// A call from Go stays on one thread, so the context need be current only in here.
static CUresult moeLaunch(CUcontext context, CUstream stream, CUfunction f, const moeShape *shape, void *parameters) {
	CUresult r = cuCtxSetCurrent(context);
	if (r != CUDA_SUCCESS) return r;
	CUlaunchAttribute overlap = {.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION};
	overlap.value.programmaticStreamSerializationAllowed = 1;
	CUlaunchConfig config = {
		.gridDimX = shape->grid[0], .gridDimY = shape->grid[1], .gridDimZ = shape->grid[2],
		.blockDimX = shape->block, .blockDimY = 1, .blockDimZ = 1,
		.sharedMemBytes = shape->shared, .hStream = stream, .attrs = &overlap, .numAttrs = shape->overlap,
	};
	return cuLaunchKernelEx(&config, f, &parameters, NULL);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// oldestDriver is the CUDA version of the oldest driver that loads the kernels.
const oldestDriver = 12000

// driverError tells whether the driver can be used.
func driverError() error {
	if why := C.moeDriverMessage(); why != nil {
		return fmt.Errorf("cuda: %s: %w", C.GoString(why), ErrNoDriver)
	}
	switch err := result(C.CUresult(C.moeDriverResult())); {
	case errors.Is(err, cu.NoDevice):
		return fmt.Errorf("cuda: the driver finds no GPU: %w", ErrNoDevice)
	case err != nil:
		return fmt.Errorf("cuda: the driver does not start: %w: %w", err, ErrNoDriver)
	}
	if v := cu.Version(); v < oldestDriver {
		return fmt.Errorf("cuda: it serves CUDA %d.%d, want %d.%d or later: %w",
			v/1000, v%1000/10, oldestDriver/1000, oldestDriver%1000/10, ErrDriverTooOld)
	}
	return nil
}

// result is the error of package cu for what a function of the driver returned.
func result(r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return like(cu.Success, r)
}

// like converts to a type that package cu does not export.
func like[T ~int](_ T, r C.CUresult) T { return T(r) }

// handle gives the driver's handle, which is all that a handle of package cu holds and does not export.
func handle[C, T any](v T) C { return *(*C)(unsafe.Pointer(&v)) }

type (
	contextHandle = C.CUcontext
	streamHandle  = C.CUstream
)

// shape is how a kernel is launched: blocks, threads of a block, bytes of dynamic shared memory.
type shape struct {
	grid   [3]int // numbers of 0 but the first are 1
	block  int
	shared int
}

// function is a kernel loaded on a device, nil if the device's code lacks it.
type function = C.CUfunction

// maxWords is the size of the largest struct of parameters.
const maxWords = 32

func (d *Device) launchFunction(f function, s shape, parameters *[maxWords]uint64) error {
	c := C.moeShape{
		grid:   [3]C.uint{C.uint(s.grid[0]), C.uint(max(s.grid[1], 1)), C.uint(max(s.grid[2], 1))},
		block:  C.uint(s.block),
		shared: C.uint(s.shared),
	}
	if d.overlap {
		c.overlap = 1
	}
	return result(C.moeLaunch(d.rawContext, d.rawStream, f, &c, unsafe.Pointer(parameters)))
}

// allowShared lets a kernel use more dynamic shared memory than 48 KiB. The device's context is current.
func allowShared(f function, bytes int) error {
	return result(C.cuFuncSetAttribute(f, C.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, C.int(bytes)))
}

// pinned allocates zeroed host memory that the device can reach at the same address. It lives as long as the process.
func pinned(bytes int) (unsafe.Pointer, error) {
	var p unsafe.Pointer
	err := result(C.cuMemHostAlloc(&p, C.size_t(bytes), C.CU_MEMHOSTALLOC_PORTABLE|C.CU_MEMHOSTALLOC_DEVICEMAP))
	if err == nil {
		clear(unsafe.Slice((*byte)(p), bytes))
	}
	return p, err
}

// working tells whether work is queued on the stream that is not done.
func working(s cu.Stream) (bool, error) {
	err := result(C.cuStreamQuery(handle[C.CUstream](s)))
	if errors.Is(err, cu.NotReady) {
		return true, nil
	}
	return false, err
}

// execGraph is a captured graph that can be launched.
type execGraph = C.CUgraphExec

// beginCapture makes the stream record what is queued on it. Calls of any thread are recorded, and memory may be allocated.
func beginCapture(s cu.Stream) error {
	return result(C.cuStreamBeginCapture(handle[C.CUstream](s), C.CU_STREAM_CAPTURE_MODE_RELAXED))
}

// endCapture ends the recording and makes a launchable graph of it.
func endCapture(s cu.Stream) (execGraph, error) {
	var g C.CUgraph
	if err := result(C.cuStreamEndCapture(handle[C.CUstream](s), &g)); err != nil {
		return nil, err
	}
	defer C.cuGraphDestroy(g)
	var e execGraph
	err := result(C.cuGraphInstantiateWithFlags(&e, g, 0))
	return e, err
}

func launchGraph(e execGraph, s cu.Stream) error {
	return result(C.cuGraphLaunch(e, handle[C.CUstream](s)))
}

func destroyGraph(e execGraph) error { return result(C.cuGraphExecDestroy(e)) }
