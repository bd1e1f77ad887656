//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gorgonia/moe/ops/backend"
)

// fault is what a kernel writes when it finds an index that is out of range. The first kernel to claim it fills it. It lies in
// host memory, so that reading it after a synchronisation costs nothing.
type fault struct {
	state int64 // faultFree, or claimed by a kernel, or faultComplete
	stage int64 // an index of faultStages
	code  int64
	token int64 // the row for faultTable
	slot  int64
	value int64
	limit int64
	_     int64
}

const (
	faultFree     = 0
	faultComplete = 2

	faultExpert = 1 // an expert id is out of [-1,limit)
	faultMapped = 2 // what the expert map holds is out of [-1,limit)
	faultRows   = 3 // a plan needs more rows than limit
	faultIndex  = 4 // an index is out of [0,limit)
	faultTable  = 5 // an entry of a plan's table is out of [-1,limit)
)

var faultStages = [...]string{
	"", "topk", "gates", "plan", "permute", "groupedmatmul", "swiglu", "unpermute", "experts", "quantize", "rmsnorm", "rotary",
	"cacheappend", "attention", "linear", "embedding", "add",
}

// err is the error for what a kernel found.
func (f fault) err() error {
	stage := "a kernel"
	if f.stage > 0 && f.stage < int64(len(faultStages)) {
		stage = faultStages[f.stage]
	}
	switch f.code {
	case faultExpert, faultMapped:
		return fmt.Errorf("%s: %w", stage, &backend.ExpertIDError{
			Token: int(f.token), Slot: int(f.slot), ID: int(f.value), Experts: int(f.limit), Mapped: f.code == faultMapped,
		})
	case faultRows:
		return fmt.Errorf("%s: the routing fills %d rows, the plan has R = %d: %w", stage, f.value, f.limit, backend.ErrShape)
	case faultIndex:
		return fmt.Errorf("%s: index %d of token %d, want one in [0,%d): %w", stage, f.value, f.token, f.limit, backend.ErrIndex)
	case faultTable:
		return fmt.Errorf("%s: the plan holds %d for row or slot %d, want -1 or one in [0,%d): %w",
			stage, f.value, f.token, f.limit, backend.ErrIndex)
	}
	return fmt.Errorf("%s: unknown fault %d: %w", stage, f.code, backend.ErrDevice)
}

// faults is a device's record of what kernels find.
type faults struct {
	mu     sync.Mutex
	record *fault
}

// open allocates the record. The device's context is current.
func (f *faults) open() error {
	p, err := pinned(int(unsafe.Sizeof(fault{})))
	f.record = (*fault)(p)
	return err
}

// address is where kernels find the record.
func (f *faults) address() uintptr { return uintptr(unsafe.Pointer(f.record)) }

// take gives the error on record and clears it. What a kernel is just writing is left for the next call.
func (f *faults) take() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if atomic.LoadInt64(&f.record.state) != faultComplete {
		return nil
	}
	err := f.record.err()
	atomic.StoreInt64(&f.record.state, faultFree)
	return err
}
