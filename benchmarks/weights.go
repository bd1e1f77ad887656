package main

import (
	"fmt"
	"runtime"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// store keeps weights from one case to the next: those of one shape, dtype, device and order of memory at a time, made when
// they are first asked for. The experts of Mixtral's shape in f32 are 5.6 GB.
type store struct {
	of     string
	values map[string]backend.Value
}

func (s *store) get(of, name string, make func() (backend.Value, error)) (backend.Value, error) {
	if s.of != of {
		s.of, s.values = of, map[string]backend.Value{}
		runtime.GC() // before the next ones come
	}
	if v, ok := s.values[name]; ok {
		return v, nil
	}
	v, err := make()
	if err != nil {
		return nil, err
	}
	s.values[name] = v
	return v, nil
}

// stored is a value of the problem from its store.
func (p *problem) stored(name string, make func() (backend.Value, error)) backend.Value {
	if p.err != nil {
		return nil
	}
	of := fmt.Sprint(p.shape.name, " ", p.weights.name, " ", p.device, " packed: ", p.pack)
	return made[backend.Value](p)(p.store.get(of, name, make))
}

// factor is a weight that activations are multiplied with, packed if the problem wants that.
func (p *problem) factor(name string, make func() (backend.Value, error)) backend.Value {
	return p.stored(name, func() (backend.Value, error) {
		w, err := make()
		if err != nil || !p.pack {
			return w, err
		}
		return ops.Pack(w)
	})
}

// matrix is a weight of a linear map outside the experts.
func (p *problem) matrix(name string, dims ...int) backend.Value {
	return p.factor(name, func() (backend.Value, error) {
		return newRandom(p.device, p.weights.matrix(), weightAmplitude, dims...)
	})
}

// table is an embedding's table (V,H).
func (p *problem) table() backend.Value {
	return p.stored("table", func() (backend.Value, error) {
		return newRandom(p.device, p.weights.beside(), weightAmplitude, p.shape.V, p.shape.H)
	})
}

// ones is the weight of a norm.
func (p *problem) ones() backend.Value {
	w := make([]float32, p.shape.H)
	for i := range w {
		w[i] = 1
	}
	return p.stored("norm", func() (backend.Value, error) {
		return backend.To(p.device, tensor.New(tensor.WithShape(len(w)), tensor.WithBacking(w)))
	})
}

// router is the first G rows of the unit matrix, for tokens that mark made.
func (p *problem) router() backend.Value {
	if !p.routable() {
		return nil
	}
	dt, h := p.weights.beside(), p.shape.H
	return p.factor("router", func() (backend.Value, error) {
		w, err := backend.Host.New(dt.of, tensor.Shape{p.shape.G, h})
		if err != nil {
			return nil, err
		}
		for e := range p.shape.G {
			if err := dt.put(w, e*h+e, []float32{1}); err != nil {
				return nil, err
			}
		}
		return backend.To(p.device, w)
	})
}

// w13 is the experts' first weight (E,2F,H), w1 and w3 of each in tensors of their own; w2 the second (E,H,F).
func (p *problem) w13() backend.Value { return p.experts("w13", 2, p.shape.F, p.shape.H) }
func (p *problem) w2() backend.Value  { return p.experts("w2", 1, p.shape.H, p.shape.F) }

// experts is a weight of every expert, a stack of blocks (rows,cols). FP8 is one tensor for all experts.
func (p *problem) experts(name string, blocks, rows, cols int) backend.Value {
	return p.factor(name, func() (backend.Value, error) {
		if p.weights == fp8 {
			return newFP8(p.device, p.shape.E, blocks*rows, cols)
		}
		stack := make([][]backend.Value, p.shape.E)
		for e := range stack {
			for range blocks {
				w, err := newRandom(p.device, p.weights, weightAmplitude, rows, cols)
				if err != nil {
					return nil, err
				}
				stack[e] = append(stack[e], w)
			}
		}
		return backend.StackExperts(stack)
	})
}

// newFP8 is a weight of random codes whose blocks all have the scale weightAmplitude.
func newFP8(d backend.Device, dims ...int) (backend.Value, error) {
	codes, err := newRandom(d, fp8, 1, dims...)
	if err != nil {
		return nil, err
	}
	shape, err := backend.ScaleShape(dims, backend.QuantBlock, backend.QuantBlock)
	if err != nil {
		return nil, err
	}
	data := make([]float32, backend.Elements(shape))
	for i := range data {
		data[i] = weightAmplitude
	}
	scales, err := backend.To(d, tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data)))
	if err != nil {
		return nil, err
	}
	return backend.QuantizedOf(codes, scales, backend.QuantBlock, backend.QuantBlock)
}
