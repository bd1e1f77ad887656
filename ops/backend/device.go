package backend

import (
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/internal/hugepages"
)

// Value is what flows along the edges of a Gorgonia graph.
type Value = gorgonia.Value

// Device is a place where values live and stages run.
type Device interface {
	fmt.Stringer // "cpu", "cuda:0"

	// Kind is what backends register for: "cpu", "cuda".
	Kind() string
	// New allocates a contiguous value with undefined contents. A shape that TensorBytes refuses is an ErrShape. The shape stays
	// the caller's: New copies what it keeps of it.
	New(dt tensor.Dtype, shape tensor.Shape) (Value, error)
	// Upload copies a host *tensor.Dense (contiguous, row-major) here.
	Upload(v Value) (Value, error)
	// Download copies a value of this device into a new host *tensor.Dense.
	Download(v Value) (Value, error)
	// Sync waits for all work queued on the device and reports the first error found since the last Sync.
	Sync() error
}

// Located is a value that knows its device. A value that is not Located lives on the Host.
type Located interface{ Device() Device }

// Composite is a value of several parts, each a value of its own, all on one device.
type Composite interface {
	Value
	// Parts lists the parts in a fixed order.
	Parts() []Value
	// With is the same composite over other parts: the copies of Parts on another device, in the same order.
	With(parts []Value) (Value, error)
}

// Packed is a weight in an order of memory that one backend likes, with the dtype and shape of what it was packed from.
type Packed interface {
	Value
	// Unpack restores the ordinary value, no Packed (a *tensor.Dense on the host).
	Unpack() (Value, error)
}

// DeviceOf tells where v lives. For a composite it is the device of its first part that is not on the host.
func DeviceOf(v Value) Device {
	switch v := v.(type) {
	case Located:
		return v.Device()
	case Composite:
		for _, p := range v.Parts() {
			if d := DeviceOf(p); d != Host {
				return d
			}
		}
	}
	return Host
}

// wholeOn reports whether v is on d with all its parts.
func wholeOn(d Device, v Value) bool {
	if c, ok := v.(Composite); ok {
		return !slices.ContainsFunc(c.Parts(), func(p Value) bool { return !wholeOn(d, p) })
	}
	return DeviceOf(v) == d
}

// To copies v to the device d, part by part; a value that is there already is returned as it is. A packed value that moves is
// unpacked, for its order of memory suits the device that it leaves. No device is an ErrParameter, no value an ErrValue, and so is one
// that unpacks to no value or to a packed one.
func To(d Device, v Value) (Value, error) {
	if err := checkDevice(d); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	if err := CheckValue(v); err != nil {
		return nil, fmt.Errorf("to %v: the value %w", d, err)
	}
	return move(d, v)
}

func checkDevice(d Device) error {
	if d == nil {
		return fmt.Errorf("the device is nil: %w", ErrParameter)
	}
	return nil
}

// move is To for a device and a value that are there.
func move(d Device, v Value) (Value, error) {
	if c, ok := v.(Composite); ok {
		if wholeOn(d, c) {
			return c, nil
		}
		parts := slices.Clone(c.Parts())
		for i, p := range parts {
			moved, err := move(d, p)
			if err != nil {
				return nil, err
			}
			parts[i] = moved
		}
		return c.With(parts)
	}
	from := DeviceOf(v)
	if from == d {
		return v, nil
	}
	if p, ok := v.(Packed); ok {
		plain, err := unpack(p)
		if err != nil {
			return nil, err
		}
		return move(d, plain)
	}
	if from != Host {
		h, err := from.Download(v)
		if err != nil {
			return nil, err
		}
		v = h
	}
	if d == Host {
		return v, nil
	}
	v, err := Contiguous(v)
	if err != nil {
		return nil, err
	}
	return d.Upload(v)
}

// unpack is what p was packed from. If that is nothing or packed itself, which a foreign value may claim, it is an ErrValue.
func unpack(p Packed) (Value, error) {
	plain, err := p.Unpack()
	if err != nil {
		return nil, err
	}
	if err := CheckValue(plain); err != nil {
		return nil, fmt.Errorf("what a %T was packed from %w", p, err)
	}
	if _, again := plain.(Packed); again {
		return nil, fmt.Errorf("a %T unpacks to a %T, want a value that is not packed: %w", p, plain, ErrValue)
	}
	return plain, nil
}

// Overlap reports whether a and b share any byte of memory.
func Overlap(a, b Value) bool {
	if c, ok := a.(Composite); ok {
		return slices.ContainsFunc(c.Parts(), func(p Value) bool { return Overlap(p, b) })
	}
	if c, ok := b.(Composite); ok {
		return slices.ContainsFunc(c.Parts(), func(p Value) bool { return Overlap(a, p) })
	}
	if Elements(a.Shape()) == 0 || Elements(b.Shape()) == 0 || DeviceOf(a) != DeviceOf(b) {
		return false
	}
	as, bs := a.Uintptr(), b.Uintptr()
	return as < bs+b.MemSize() && bs < as+a.MemSize()
}

// Elements is the product of the dimensions: 1 for a scalar, 0 if any dimension is 0.
// (tensor.Shape.TotalSize is 0 for a scalar.)
func Elements(s tensor.Shape) int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Host is the CPU's memory.
var Host Device = host{}

type host struct{}

func (host) String() string { return "cpu" }
func (host) Kind() string   { return "cpu" }
func (host) Sync() error    { return nil }

func (host) New(dt tensor.Dtype, shape tensor.Shape) (Value, error) {
	if dt.Type == nil {
		return nil, fmt.Errorf("cpu: a tensor without a dtype: %w", ErrDtype)
	}
	bytes, err := TensorBytes(dt, shape)
	if err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	d := tensor.New(tensor.Of(dt), tensor.WithShape(shape.Clone()...))
	if bytes > 0 {
		hugepages.Want(bytesOf(d, bytes)) // stages stream through it
	}
	return d, nil
}

func (host) Upload(v Value) (Value, error)   { return v, nil }
func (host) Download(v Value) (Value, error) { return v, nil }

// Contiguous returns v itself if it is a host tensor whose elements lie in row-major order without gaps, a copy that is so
// if it is a view of another order, and an error if it is masked or no *tensor.Dense (ErrValue) or if its shape, which whoever
// asked for it can write to, is none of its memory (ErrShape).
func Contiguous(v Value) (*tensor.Dense, error) {
	d, ok := v.(*tensor.Dense)
	if !ok {
		return nil, fmt.Errorf("a host tensor is wanted, got %T: %w", v, ErrValue)
	}
	span, err := spanOf(d)
	if err != nil {
		return nil, err
	}
	if span == 0 { // of which IsMasked says true
		return d, nil
	}
	shape := d.Shape()
	if d.IsMasked() {
		return nil, fmt.Errorf("masked tensor of shape %v: %w", shape, ErrValue)
	}
	if rowMajor(shape, d.Strides()) {
		return d, nil
	}
	size := int(d.Dtype().Size())
	out := tensor.New(tensor.Of(d.Dtype()), tensor.WithShape(shape.Clone()...))
	copyStrided(bytesOf(out, Elements(shape)*size), bytesOf(d, span*size), shape, d.Strides(), size)
	return out, nil
}

func rowMajor(shape tensor.Shape, strides []int) bool {
	if len(strides) != len(shape) {
		return Elements(shape) == 1
	}
	want := 1
	for i := len(shape) - 1; i >= 0; i-- {
		if shape[i] != 1 && strides[i] != want {
			return false
		}
		want *= shape[i]
	}
	return true
}

// spanOf is the number of elements from the first to the last of a tensor, a view with gaps perhaps; 0 if it has none. It is an
// ErrShape if the tensor's memory does not hold them.
func spanOf(t *tensor.Dense) (int, error) {
	shape, strides := t.Shape(), t.Strides()
	bytes, err := TensorBytes(t.Dtype(), shape)
	if err != nil || bytes == 0 {
		return 0, err
	}
	n, most := 1, int(t.MemSize()/t.Dtype().Size())
	for i, d := range shape {
		if d == 1 { // of whatever stride, or none
			continue
		}
		if len(strides) != len(shape) || strides[i] < 0 || strides[i] > (most-n)/(d-1) {
			n = most + 1
			break
		}
		n += (d - 1) * strides[i]
	}
	if n > most {
		return 0, fmt.Errorf("a tensor of shape %v with strides %v and memory for %d elements only: %w", shape, strides, most, ErrShape)
	}
	return n, nil
}

func copyStrided(dst, src []byte, shape tensor.Shape, strides []int, size int) []byte {
	if len(shape) == 0 {
		copy(dst[:size], src)
		return dst[size:]
	}
	for i := range shape[0] {
		dst = copyStrided(dst, src[i*strides[0]*size:], shape[1:], strides[1:], size)
	}
	return dst
}

// address is the address of d's first element. tensor.Dense gives it as a uintptr only; the Dense's owner keeps it alive,
// and Go's collector does not move the heap (Gorgonia itself rests on that).
func address(d *tensor.Dense) unsafe.Pointer {
	u := d.Uintptr()
	return *(*unsafe.Pointer)(unsafe.Pointer(&u))
}

func bytesOf(d *tensor.Dense, n int) []byte { return unsafe.Slice((*byte)(address(d)), n) }

// Slice gives the elements of a contiguous host tensor in row-major order, without a copy. It is empty for a tensor of no
// elements, whose own Data method panics.
func Slice[E any](v Value) ([]E, error) {
	d, n, err := contiguousDense(v)
	if err != nil {
		return nil, err
	}
	if want := reflect.TypeFor[E](); d.Dtype().Type != want {
		return nil, fmt.Errorf("a tensor of %v is wanted, got %v: %w", want, d.Dtype(), ErrDtype)
	}
	if n == 0 {
		return nil, nil
	}
	return unsafe.Slice((*E)(address(d)), n), nil
}

// Bytes gives the memory of a contiguous host tensor of any fixed-size dtype, row-major, without a copy.
func Bytes(v Value) ([]byte, error) {
	d, n, err := contiguousDense(v)
	if err != nil || n == 0 {
		return nil, err
	}
	return bytesOf(d, n*int(d.Dtype().Size())), nil
}

func contiguousDense(v Value) (*tensor.Dense, int, error) {
	d, ok := v.(*tensor.Dense)
	if !ok {
		return nil, 0, fmt.Errorf("a host tensor is wanted, got %T: %w", v, ErrValue)
	}
	n, err := spanOf(d)
	if n > 0 && (!rowMajor(d.Shape(), d.Strides()) || d.IsMasked()) {
		return nil, 0, fmt.Errorf("a contiguous tensor is wanted, got shape %v with strides %v: %w", d.Shape(), d.Strides(), ErrValue)
	}
	return d, n, err
}
