package backend

import (
	"errors"
	"math"
	"testing"

	"gorgonia.org/tensor"
)

func TestTensorBytes(t *testing.T) {
	const half = math.MaxInt/2 + 1 // twice that is no int
	for _, c := range []struct {
		shape tensor.Shape
		want  int
		err   error
	}{
		{nil, 4, nil}, {tensor.Shape{3, 5}, 60, nil}, {tensor.Shape{0, 5}, 0, nil}, {tensor.Shape{half, half, 0}, 0, nil},
		{tensor.Shape{0, half, half}, 0, nil}, {tensor.Shape{math.MaxInt / 4}, math.MaxInt / 4 * 4, nil},
		{tensor.Shape{-1, 5}, 0, ErrShape}, {tensor.Shape{0, -5}, 0, ErrShape}, {tensor.Shape{half / 2}, 0, ErrShape},
		{tensor.Shape{half, 2}, 0, ErrShape}, {tensor.Shape{half, half}, 0, ErrShape}, {tensor.Shape{half - 1, 2, 3}, 0, ErrShape},
	} {
		if got, err := TensorBytes(tensor.Float32, c.shape); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v: %d, %v, want %d, %v", c.shape, got, err, c.want, c.err)
		}
		if c.err == nil {
			continue
		}
		if _, err := Host.New(tensor.Float32, c.shape); !errors.Is(err, c.err) {
			t.Errorf("a host tensor of shape %v: error %v, want %v", c.shape, err, c.err)
		}
	}
	if v, err := Host.New(tensor.Dtype{}, tensor.Shape{2}); !errors.Is(err, ErrDtype) {
		t.Errorf("a tensor of no dtype: %v, %v, want ErrDtype", v, err)
	}
}
