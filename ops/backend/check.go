package backend

import (
	"fmt"
	"math"
	"reflect"

	"gorgonia.org/tensor"
)

// CheckValue is an error (ErrValue) if v or a part of it is nil or has no dtype. The methods of such a value panic.
func CheckValue(v Value) error {
	if v == nil {
		return fmt.Errorf("has no value: %w", ErrValue)
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.IsNil() {
		return fmt.Errorf("is a nil %T: %w", v, ErrValue)
	}
	if i, ok := v.(interface{ intact() error }); ok {
		if err := i.intact(); err != nil {
			return err
		}
	}
	if c, ok := v.(Composite); ok {
		for i, part := range c.Parts() {
			if err := CheckValue(part); err != nil {
				return fmt.Errorf("is a %T whose part %d %w", v, i, err)
			}
		}
	}
	if v.Dtype().Type == nil {
		return fmt.Errorf("is a %T without a dtype: %w", v, ErrValue)
	}
	return nil
}

// TensorBytes is the size of a tensor of a dtype, which must have one. It is an ErrShape if a dimension is negative or the bytes
// are too many to count: where the number of elements overflowed, a small allocation would pass for a large one.
func TensorBytes(dt tensor.Dtype, shape tensor.Shape) (int, error) {
	bytes, empty := int(dt.Size()), false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("a tensor of %v of shape %v, want no negative dimension: %w", dt, shape, ErrShape)
		case d == 0:
			empty = true
		case bytes > math.MaxInt/d:
			bytes = math.MaxInt
		default:
			bytes *= d
		}
	}
	switch {
	case empty:
		return 0, nil
	case bytes == math.MaxInt:
		return 0, fmt.Errorf("a tensor of %v of shape %v is larger than any memory: %w", dt, shape, ErrShape)
	}
	return bytes, nil
}
