package backend

import (
	"errors"
	"fmt"
	"testing"

	"gorgonia.org/tensor"
)

// wrapped is a packed value that claims to be packed from some value.
type wrapped struct {
	Value
	from Value
	err  error
}

func (w *wrapped) Unpack() (Value, error) { return w.from, w.err }

// elsewhere is a device with memory of its own.
type elsewhere struct{ Device }

func (elsewhere) Upload(v Value) (Value, error) { return v, nil }
func (elsewhere) String() string                { return "elsewhere" }

// TestToUnpacks moves packed values: from a tensor, and such as cannot be unpacked.
func TestToUnpacks(t *testing.T) {
	plain := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(2, 3))
	itself, other := &wrapped{Value: plain}, &wrapped{Value: plain}
	itself.from, other.from = itself, &wrapped{Value: plain, from: other}
	failure := errors.New("no memory")
	for name, c := range map[string]struct {
		v    Value
		want error
	}{
		"from a tensor":       {&wrapped{Value: plain, from: plain}, nil},
		"from itself":         {itself, ErrValue},
		"from another packed": {other, ErrValue},
		"from nothing":        {&wrapped{Value: plain}, ErrValue},
		"from a nil tensor":   {&wrapped{Value: plain, from: (*tensor.Dense)(nil)}, ErrValue},
		"with an error":       {&wrapped{Value: plain, err: fmt.Errorf("unpack: %w", failure)}, failure},
	} {
		got, err := To(elsewhere{}, c.v)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if c.want == nil && got != Value(plain) {
			t.Errorf("%s: moved to %v, want the tensor", name, got)
		}
		if here, err := To(Host, c.v); err != nil || here != c.v {
			t.Errorf("%s: to where it is: %v, error %v", name, here, err)
		}
	}
}
