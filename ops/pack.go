package ops

import (
	"errors"
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
)

// Pack copies a weight of Linear, (N,D), or GroupedMatMul and Experts, (E,N,D), into the order of memory that the best backend
// of its device reads fastest. The result has the dtype, shape and numbers of w and takes its place in every op that multiplies
// with it; it is worth its time and memory for a weight that is used more than once. w is given back as it is if no backend packs
// its kind, or if it is packed already.
func Pack(w backend.Value) (backend.Value, error) {
	if err := backend.CheckValue(w); err != nil {
		return nil, fmt.Errorf("pack: the weight %w", err)
	}
	if _, ok := w.(backend.Packed); ok {
		return w, nil
	}
	dev := backend.DeviceOf(w)
	plain, err := local(dev, w)
	if err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	packed := w
	err = backend.Dispatch(dev, "packweight", func(b backend.PackWeight) error {
		p, err := b.PackWeight(plain)
		if err == nil {
			packed = p
		}
		return err
	})
	if err != nil && !errors.Is(err, backend.ErrUnsupported) {
		return nil, err
	}
	return packed, nil
}

// withUnpacked calls the stage with the weight w. If no backend takes w as it is packed, it is unpacked and the stage called
// again.
func withUnpacked(dev backend.Device, name string, w backend.Value, call func(w backend.Value) error) error {
	err := call(w)
	packed, ok := w.(backend.Packed)
	if !ok || !errors.Is(err, backend.ErrUnsupported) {
		return err
	}
	plain, err := packed.Unpack()
	if err != nil {
		return fmt.Errorf("%s: unpack the weight: %w", name, err)
	}
	if plain, err = backend.To(dev, plain); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return call(plain)
}
