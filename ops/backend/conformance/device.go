package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// deviceChecks hold the device itself to backend.Device.
func deviceChecks(dev backend.Device) []check {
	var checks []check
	for _, dt := range append([]tensor.Dtype{tensor.Int32, tensor.Int64, tensor.Uint8, backend.Float8E4M3}, floats...) {
		for _, shape := range [][]int{{0}, {3, 0}, {0, 2, 5}, {1}, {7}, {3, 127}, {2, 3, 5}, {100003}} {
			checks = append(checks, check{fmt.Sprintf("%v %v", dt, shape), func(e *env) error { return e.roundTrip(dt, shape) }})
		}
	}
	return append(checks,
		check{"a view arrives in row-major order", func(e *env) error {
			m := e.floats(tensor.Float32, normal, 5, 7)
			view, err := e.withGaps(m.value)
			if err != nil {
				return err
			}
			there, err := backend.To(dev, view)
			if err != nil {
				return err
			}
			back, err := backend.To(backend.Host, there)
			if err != nil {
				return err
			}
			if !bytes.Equal(snapshot(back)[0], snapshot(m.value)[0]) {
				return fmt.Errorf("a view of rows with gaps came back as %v, want %v", back, m.value)
			}
			return nil
		}},
		check{"impossible shapes", func(*env) error {
			const half = math.MaxInt/2 + 1 // twice that is no int
			for _, shape := range []tensor.Shape{{2, -1}, {0, -1}, {half, 2}, {half, 2, 3}} {
				if v, err := dev.New(tensor.Float32, shape); !errors.Is(err, backend.ErrShape) {
					return fmt.Errorf("a value of shape %v: %T, error %v, want ErrShape", shape, v, err)
				}
			}
			return nil
		}},
	)
}

// roundTrip allocates a value, and sends one there and back.
func (e *env) roundTrip(dt tensor.Dtype, shape []int) error {
	v, err := e.dev.New(dt, shape)
	if err != nil {
		return err
	}
	if v.Dtype() != dt || !bytes.Equal(fmt.Append(nil, v.Shape()), fmt.Append(nil, tensor.Shape(shape))) {
		return fmt.Errorf("a new value has dtype %v and shape %v", v.Dtype(), v.Shape())
	}
	if d := backend.DeviceOf(v); d != e.dev {
		return fmt.Errorf("a new value is on %v, want %v", d, e.dev)
	}
	x := e.random(dt, shape...)
	want := bytes.Clone(must(backend.Bytes(x)))
	there, err := backend.To(e.dev, x)
	if err != nil {
		return err
	}
	if d := backend.DeviceOf(there); d != e.dev {
		return fmt.Errorf("a value sent to %v is on %v", e.dev, d)
	}
	back, err := backend.To(backend.Host, there)
	if err != nil {
		return err
	}
	got, err := backend.Bytes(back)
	if err != nil {
		return err
	}
	if back.Dtype() != dt || !bytes.Equal(got, want) {
		return fmt.Errorf("the bytes of a value of %v %v changed on the way to the device and back", dt, tensor.Shape(shape))
	}
	return e.dev.Sync()
}
