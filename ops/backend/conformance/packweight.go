package conformance

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func packWeightChecks(s backend.PackWeight) []check {
	var checks []check
	add := func(c factor, shapes ...[]int) {
		for _, shape := range shapes {
			checks = append(checks, check{fmt.Sprintf("%s/%v", c.name, shape), func(e *env) error { return e.packWeight(s, c, shape) }})
		}
	}
	for _, dt := range floats {
		add(dense(dt), []int{1, 1}, []int{33, 35}, []int{130, 64}, []int{7, 1000}, []int{1, 3, 2}, []int{3, 70, 131}, []int{8, 32, 16})
		add(stacked(dt, 0.5, 0.5), []int{3, 70, 131}, []int{2, 64, 32})
		add(stacked(dt, 0.2, 0.5, 0.3), []int{3, 70, 131})
	}
	return append(checks, check{"misfits", func(e *env) error {
		for _, w := range []backend.Value{nil, e.alloc(tensor.Float32, 0, 5), e.alloc(tensor.Int32, 0, 5, 7)} {
			if w != nil {
				w = must(e.move(w))
			}
			if _, err := s.PackWeight(w); err == nil || !wrapsSentinel(err) {
				return fmt.Errorf("a weight that is %v: error %v, want one that wraps a sentinel of package backend", w, err)
			}
		}
		return nil
	}})
}

// packWeight packs a weight, compares what it is unpacked to and, if the backend has the stage for weights of its shape, multiplies
// with it.
func (e *env) packWeight(s backend.PackWeight, c factor, shape []int) error {
	v, numbers := c.make(e, shape...)
	w, err := e.move(v)
	if err != nil {
		return err
	}
	p, err := s.PackWeight(w)
	if err != nil {
		return declined(err)
	}
	e.took = true
	if p.Dtype() != c.dtype || !p.Shape().Eq(tensor.Shape(shape)) {
		return fmt.Errorf("packed it is %v %v, want %v %v: %w", p.Dtype(), p.Shape(), c.dtype, shape, backend.ErrShape)
	}
	if d := backend.DeviceOf(p); d != e.dev {
		return fmt.Errorf("packed it is on %v, want %v: %w", d, e.dev, backend.ErrDevice)
	}
	plain, err := p.Unpack()
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	host, err := backend.To(backend.Host, plain)
	if err != nil {
		return fmt.Errorf("download the unpacked weight: %w", err)
	}
	d, ok := host.(*tensor.Dense)
	if !ok || d.Dtype() != c.dtype || !d.Shape().Eq(tensor.Shape(shape)) {
		return fmt.Errorf("unpacked it is a %T, %v %v, want a tensor %v %v: %w", host, host.Dtype(), host.Shape(), c.dtype, shape, backend.ErrValue)
	}
	if at := firstDifference(d, numbers.value); at >= 0 {
		return fmt.Errorf("unpacked it differs at %v", indexOf(shape, at))
	}
	return e.multiplyPacked(s, p, numbers)
}

// multiplyPacked holds a product with a packed weight to that of its numbers.
func (e *env) multiplyPacked(s backend.PackWeight, p backend.Packed, numbers operand) error {
	dt, shape := p.Dtype(), p.Shape()
	n, d := shape[len(shape)-2], shape[len(shape)-1]
	if linear, ok := s.(backend.Linear); ok && len(shape) == 2 {
		for _, rows := range []int{1, 5, 40} {
			x := e.floats(dt, normal, rows, d)
			call := func(out backend.Value, in []backend.Value) error { return linear.Linear(out, in[0], in[1]) }
			out, err := e.apply(call, template(dt, rows, n), x.value, p)
			if err != nil {
				return fmt.Errorf("multiply %d rows: %w", rows, err)
			}
			var want []approx
			for i := range rows {
				want = rowsTimes(want, x.row(i), numbers.f, accumulator(dt), 0)
			}
			if err := compare(out, want); err != nil {
				return fmt.Errorf("multiply %d rows: %w", rows, err)
			}
		}
	}
	if matmul, ok := s.(backend.GroupedMatMul); ok && len(shape) == 3 {
		given := factor{name: "packed", dtype: dt, make: func(*env, ...int) (backend.Value, operand) { return p, numbers }}
		g := e.newGrouped(combination{dense(dt), given, dt}, routing{33, 3, shape[0], 16, partial, rowsSpare}, d, n)
		err := g.run(func(out backend.Value, in []backend.Value) error {
			return matmul.GroupedMatMul(out, in[0], in[1], in[2].(*backend.Plan))
		})
		if err != nil {
			return fmt.Errorf("multiply: %w", err)
		}
	}
	return nil
}
