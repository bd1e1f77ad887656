//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda/internal/memory"
)

// Array is a tensor in the memory of a Device: contiguous, row-major, of any dtype of fixed size. It is a gorgonia.Value, so
// it can be bound to a node and flows between the ops of this module; Gorgonia's own ops refuse it with an error.
//
// Its memory is free for others once the Array is closed or unreachable, and no Graph uses it. Work that is queued by then
// still finds it as it was. Up to eight Arrays of at most 64 KiB that were made one after the other count as unreachable together.
// Data, formatting and copies to the host wait for the work that is queued.
type Array struct {
	dtype tensor.Dtype
	shape tensor.Shape
	dims  [4]int // where shape lies, if it fits
	*reference
}

var (
	_ backend.Value         = (*Array)(nil)
	_ backend.Located       = (*Array)(nil)
	_ gorgonia.Typer        = (*Array)(nil)
	_ gorgonia.CloneErrorer = (*Array)(nil)
	_ gorgonia.CopierTo     = (*Array)(nil)
	_ gorgonia.CopierFrom   = (*Array)(nil)
)

func (d *Device) newArray(dt tensor.Dtype, s tensor.Shape) (*Array, error) {
	if dt.Type == nil || dt.Kind() < reflect.Bool || dt.Kind() > reflect.Complex128 {
		return nil, fmt.Errorf("%v: an array of %v, want a dtype of fixed size: %w", d, dt, backend.ErrDtype)
	}
	bytes, err := backend.TensorBytes(dt, s)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", d, err)
	}
	size := int64(bytes)
	if size > 1<<62 { // which leaves room for rounding up
		return nil, fmt.Errorf("%v: an array of %v of shape %v, want at most 2^62 bytes: %w", d, dt, s, backend.ErrShape)
	}
	a := d.nursery.array(d, size)
	a.dtype, a.shape = dt, append(a.dims[:0], s...)
	if size > 0 {
		if a.block, err = d.memory.Get(size); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Array) bytes() int64 { return int64(backend.Elements(a.shape)) * int64(a.dtype.Size()) }

// inMemory is an ErrShape if the shape, which whoever asked for it can write to, is larger than the memory.
func (a *Array) inMemory() error {
	if bytes, err := backend.TensorBytes(a.dtype, a.shape); err != nil || int64(bytes) > a.block.Size {
		return fmt.Errorf("an array of %v of shape %v in %d bytes: %w", a.dtype, a.shape, a.block.Size, backend.ErrShape)
	}
	return nil
}

// Device implements backend.Located.
func (a *Array) Device() backend.Device { return a.device }

// Shape is the shape, not to be changed.
func (a *Array) Shape() tensor.Shape { return a.shape }

// Size is the number of elements.
func (a *Array) Size() int { return backend.Elements(a.shape) }

// Dtype is the type of the elements.
func (a *Array) Dtype() tensor.Dtype { return a.dtype }

// Type is the type of the Array's node: a dtype if it has no dimensions, a tensor type if it has.
func (a *Array) Type() hm.Type {
	if len(a.shape) == 0 {
		return a.dtype
	}
	return gorgonia.TensorType{Dims: len(a.shape), Of: a.dtype}
}

// Uintptr is the address in the device's memory, 0 if there are no elements. The host cannot read there.
func (a *Array) Uintptr() uintptr { return a.block.Address }

// MemSize is the size of the elements in bytes.
func (a *Array) MemSize() uintptr { return uintptr(a.bytes()) }

// Data copies the elements to the host, as a slice (a single value if there are no dimensions). It is nil if that fails; then
// Device.Download tells why.
func (a *Array) Data() interface{} {
	host, err := a.device.Download(a)
	if err != nil {
		return nil
	}
	if a.Size() == 0 {
		return reflect.MakeSlice(reflect.SliceOf(a.dtype.Type), 0, 0).Interface()
	}
	return host.Data()
}

// Format implements fmt.Formatter: as the copy on the host is formatted, or one line that says why there is none.
func (a *Array) Format(s fmt.State, verb rune) {
	host, err := a.device.Download(a)
	switch {
	case err != nil:
		fmt.Fprintf(s, "Array{%v %v on %v: %v}", a.dtype, a.shape, a.device, err)
	case a.Size() == 0:
		fmt.Fprintf(s, "Array{%v %v on %v}", a.dtype, a.shape, a.device)
	default:
		host.Format(s, verb)
	}
}

// Clone copies the Array on its device. It implements gorgonia.CloneErrorer.
func (a *Array) Clone() (interface{}, error) {
	b, err := a.device.newArray(a.dtype, a.shape)
	if err != nil {
		return nil, err
	}
	if err := a.CopyTo(b); err != nil {
		return nil, err
	}
	return b, nil
}

// CopyTo copies the elements into an Array of any device or a contiguous host tensor of the same dtype and shape. It
// implements gorgonia.CopierTo.
func (a *Array) CopyTo(dest interface{}) error {
	if err := a.checkLike("copy to", dest); err != nil {
		return err
	}
	switch to := dest.(type) {
	case *Array:
		if to.device == a.device {
			return a.copyOnDevice(to)
		}
		host, err := a.device.Download(a)
		if err != nil {
			return err
		}
		return to.CopyFrom(host)
	default:
		memory, err := backend.Bytes(dest.(*tensor.Dense))
		if err != nil {
			return fmt.Errorf("%v: copy to the host: %w", a.device, err)
		}
		return a.read(memory)
	}
}

// CopyFrom overwrites the elements with those of an Array of any device or a host tensor of the same dtype and shape. The
// address stays, so that a Graph which reads the Array reads the new elements. It implements gorgonia.CopierFrom.
func (a *Array) CopyFrom(src interface{}) error {
	if from, ok := src.(*Array); ok {
		return from.CopyTo(a)
	}
	if err := a.checkLike("copy from", src); err != nil {
		return err
	}
	host, err := backend.Contiguous(src.(*tensor.Dense))
	if err != nil {
		return fmt.Errorf("%v: copy from the host: %w", a.device, err)
	}
	memory, err := backend.Bytes(host)
	if err != nil {
		return fmt.Errorf("%v: copy from the host: %w", a.device, err)
	}
	return a.write(memory)
}

// checkLike checks that the other side of a copy is an Array or a host tensor of the same dtype and shape.
func (a *Array) checkLike(what string, other any) error {
	var v backend.Value
	switch other := other.(type) {
	case *Array:
		v = other
	case *tensor.Dense:
		v = other
	default:
		return fmt.Errorf("%v: %s a %T, want a *cuda.Array or a *tensor.Dense: %w", a.device, what, other, backend.ErrValue)
	}
	if v.Dtype() != a.dtype {
		return fmt.Errorf("%v: %s a tensor of %v, the array is of %v: %w", a.device, what, v.Dtype(), a.dtype, backend.ErrDtype)
	}
	if !slices.Equal(v.Shape(), a.shape) {
		return fmt.Errorf("%v: %s a tensor of shape %v, the array has %v: %w", a.device, what, v.Shape(), a.shape, backend.ErrShape)
	}
	return nil
}

// Close frees the memory without waiting for the garbage collector. Using the Array afterwards is ErrClosed; closing it again
// does nothing.
func (a *Array) Close() error {
	a.close()
	return nil
}

// reference is what keeps an Array's memory from being handed out again: the Array itself, until it is closed or unreachable,
// and all who use the memory at the moment.
type reference struct {
	device *Device
	block  memory.Block // none if there are no elements
	keeps  []*reference // whose addresses the elements are
	state  atomic.Int64 // the number of users, and referenceClosed
}

const referenceClosed = 1 << 62

// acquire begins a use. It fails on a closed reference.
func (r *reference) acquire() bool {
	for {
		s := r.state.Load()
		if s&referenceClosed != 0 {
			return false
		}
		if r.state.CompareAndSwap(s, s+1) {
			return true
		}
	}
}

// share begins another use, which succeeds on a closed reference too. The caller has a use of it.
func (r *reference) share() { r.state.Add(1) }

// release ends a use.
func (r *reference) release() {
	if r.state.Add(-1) == referenceClosed {
		r.free()
	}
}

func (r *reference) close() {
	if r.state.Or(referenceClosed) == 0 {
		r.free()
	}
}

func (r *reference) free() {
	if r.block.Size > 0 {
		r.device.memory.Put(r.block)
	}
	for _, k := range r.keeps {
		k.release()
	}
}

func (r *reference) closed() bool { return r.state.Load()&referenceClosed != 0 }
