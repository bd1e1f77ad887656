package ops

import (
	"fmt"
	"slices"
	"strings"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Checks that the stages' infer methods share.

func wantRank(name, what string, x operand, rank int) error {
	if len(x.shape) != rank {
		return fmt.Errorf("%s: %s has shape %v, want %d dimensions: %w", name, what, x.shape, rank, backend.ErrShape)
	}
	return nil
}

func wantShape(name, what string, x operand, dims ...int) error {
	if !slices.Equal(x.shape, dims) {
		return fmt.Errorf("%s: %s has shape %v, want %v: %w", name, what, x.shape, tensor.Shape(slices.Clone(dims)), backend.ErrShape)
	}
	return nil
}

func wantDtype(name, what string, x operand, of ...tensor.Dtype) error {
	for _, dt := range of {
		if x.dtype == dt {
			return nil
		}
	}
	names := make([]string, len(of))
	for i, dt := range of {
		names[i] = dt.Name()
	}
	return fmt.Errorf("%s: %s is %v, want %s: %w", name, what, x.dtype, strings.Join(names, " or "), backend.ErrDtype)
}

// floats are the dtypes called F in package backend, numbers those and the one of FP8 codes.
var (
	numbers = [...]tensor.Dtype{tensor.Float32, tensor.Float64, backend.BFloat16, backend.Float16, backend.Float8E4M3}
	floats  = numbers[:4]
)

// planOf gives the plan when the op runs, nil while the graph is built. The sizes that a plan states must be those of its tables:
// stages allocate and index by them.
func planOf(name string, x operand) (*backend.Plan, error) {
	if err := wantDtype(name, "plan", x, backend.PlanDtype); err != nil {
		return nil, err
	}
	if err := wantRank(name, "plan (R)", x, 1); err != nil {
		return nil, err
	}
	if x.value == nil {
		return nil, nil
	}
	p, ok := x.value.(*backend.Plan)
	if !ok {
		return nil, fmt.Errorf("%s: plan is a %T: %w", name, x.value, backend.ErrValue)
	}
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}
