package ops

import (
	"fmt"
	"hash"
	"hash/fnv"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// operand is what is known of an input or output: dtype and shape always, the value itself only when the op runs.
type operand struct {
	dtype tensor.Dtype
	shape tensor.Shape
	value backend.Value
}

// stage is what tells one op from another. It holds hyper-parameters and no state, and keeps no slice that it is called with.
type stage interface {
	// name is the stage's name, spec its hyper-parameters ("k=2"), all that changes the result.
	name() string
	spec() string
	// infer checks the inputs and gives the output's dtype and shape. It serves the graph (inputs without values) and the
	// run (with values), so that both find the same errors. The shape may be an input's own.
	infer(in []operand) (operand, error)
	// run computes out from in, all on dev. out has what infer said and overlaps no input.
	run(dev backend.Device, out backend.Value, in []backend.Value) error
}

// maker is a stage whose output is no plain tensor: it allocates the output, or takes reuse if that fits.
type maker interface {
	make(dev backend.Device, out operand, in []backend.Value, reuse backend.Value) (backend.Value, error)
}

// differentiable is a stage that knows its gradient as nodes of the graph.
type differentiable interface {
	diffWRT() []bool
	symDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error)
}

// op makes a gorgonia.Op of a stage applied to inputs of given types.
type op struct {
	stage
	in  []operand
	out operand
}

// apply adds the stage to the graph of its inputs.
func apply(s stage, inputs ...*gorgonia.Node) (*gorgonia.Node, error) {
	in := make([]operand, len(inputs))
	for i, n := range inputs {
		if n == nil {
			return nil, fmt.Errorf("%s: input %d is nil: %w", s.name(), i, backend.ErrValue)
		}
		in[i] = operand{dtype: n.Dtype(), shape: n.Shape()}
	}
	out, err := s.infer(in)
	if err != nil {
		return nil, err
	}
	out.shape = slices.Clone(out.shape)
	n, err := gorgonia.ApplyOp(&op{stage: s, in: in, out: out}, inputs...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name(), err)
	}
	return n, nil
}

// eval runs the stage on values, without a graph.
func eval(s stage, inputs ...backend.Value) (backend.Value, error) {
	return runStage(s, nil, inputs)
}

// Arity implements gorgonia.Op.
func (o *op) Arity() int { return len(o.in) }

// Type implements gorgonia.Op: the types of the inputs and the output that the op was made for.
func (o *op) Type() hm.Type {
	types := make([]hm.Type, 0, len(o.in)+1)
	for _, d := range append(append([]operand(nil), o.in...), o.out) {
		types = append(types, gorgonia.TensorType{Dims: len(d.shape), Of: d.dtype})
	}
	return hm.NewFnType(types...)
}

// InferShape implements gorgonia.Op.
func (o *op) InferShape(dims ...gorgonia.DimSizer) (tensor.Shape, error) {
	shapes, err := gorgonia.DimSizersToShapes(dims)
	if err != nil {
		return nil, err
	}
	if len(shapes) != len(o.in) {
		return nil, fmt.Errorf("%s: %d inputs, want %d: %w", o.name(), len(shapes), len(o.in), backend.ErrShape)
	}
	in := make([]operand, len(shapes))
	for i, s := range shapes {
		in[i] = operand{dtype: o.in[i].dtype, shape: s}
	}
	out, err := o.infer(in)
	return slices.Clone(out.shape), err
}

// Do implements gorgonia.Op.
func (o *op) Do(inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return o.compute(nil, inputs)
}

// UsePreallocDo implements gorgonia.UsePreallocDoer. The value in the register is written over only if its dtype, shape and
// device fit and it shares no memory with an input; else a new value is made.
func (o *op) UsePreallocDo(prealloc gorgonia.Value, inputs ...gorgonia.Value) (gorgonia.Value, error) {
	return o.compute(prealloc, inputs)
}

// compute runs the stage as a node of a graph, where Gorgonia's own ops write over a tensor that nothing reads after them: one that shares
// memory with an input, as a maker's may, is copied.
func (o *op) compute(prealloc backend.Value, inputs []backend.Value) (backend.Value, error) {
	out, err := runStage(o.stage, prealloc, inputs)
	shared, isTensor := out.(*tensor.Dense)
	if _, makes := o.stage.(maker); err != nil || !makes || !isTensor || !overlapsAny(shared, inputs) {
		return out, err
	}
	if !reusable(prealloc, inputs) {
		prealloc = nil
	}
	own, err := outputIn(prealloc, operand{dtype: shared.Dtype(), shape: shared.Shape()}, backend.Host)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", o.name(), err)
	}
	from, err := backend.Bytes(shared)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", o.name(), err)
	}
	to, err := backend.Bytes(own)
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", o.name(), err)
	}
	copy(to, from)
	return own, nil
}

// ReturnsPtr implements gorgonia.Op.
func (o *op) ReturnsPtr() bool { return true }

// CallsExtern implements gorgonia.Op: Gorgonia need not allocate in advance or flush anything.
func (o *op) CallsExtern() bool { return false }

// OverwritesInput implements gorgonia.Op: no op writes into an input's register.
func (o *op) OverwritesInput() int { return -1 }

// WriteHash implements gorgonia.Op.
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "moe/ops %v %v", o, o.Type()) }

// Hashcode implements gorgonia.Op.
func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// String implements gorgonia.Op: Name(hyper-parameters), as it shows in a drawing of the graph.
func (o *op) String() string { return describe(o.stage) }

// DiffWRT implements gorgonia.SDOp.
func (o *op) DiffWRT(inputs int) []bool {
	if d, ok := o.stage.(differentiable); ok {
		return d.diffWRT()
	}
	return make([]bool, inputs)
}

// SymDiff implements gorgonia.SDOp.
func (o *op) SymDiff(inputs gorgonia.Nodes, output, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if d, ok := o.stage.(differentiable); ok {
		return d.symDiff(inputs, output, grad)
	}
	return nil, fmt.Errorf("%s has no gradient: %w", o.name(), backend.ErrUnsupported)
}

// DoDiff implements gorgonia.ADOp, so that a LispMachine that goes backwards stops with an error instead of passing the op over.
func (o *op) DoDiff(gorgonia.ExecutionContext, gorgonia.Nodes, *gorgonia.Node) error {
	return fmt.Errorf("%s has no gradient on a LispMachine: %w", o.name(), backend.ErrUnsupported)
}

func describe(s stage) string {
	if spec := s.spec(); spec != "" {
		return s.name() + "(" + spec + ")"
	}
	return s.name()
}

// runStage is the one way a stage runs, from a graph or without: the inputs decide the device, those of the host are moved
// there, the output is made, the stage computes it. A panic of a backend becomes an error: a TapeMachine runs ops in a
// goroutine of its own, where a panic would end the process.
func runStage(s stage, reuse backend.Value, inputs []backend.Value) (out backend.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("%s: panic: %v: %w\n%s", describe(s), r, backend.ErrValue, debug.Stack())
		}
	}()
	w := workspaces.Get().(*workspace)
	for i, v := range inputs {
		if err := backend.CheckValue(v); err != nil {
			return nil, fmt.Errorf("%s: input %d %w", s.name(), i, err)
		}
		w.known = append(w.known, operand{dtype: v.Dtype(), shape: v.Shape(), value: v})
	}
	want, err := s.infer(w.known)
	if err != nil {
		return nil, err
	}
	dev, err := commonDevice(s.name(), inputs)
	if err != nil {
		return nil, err
	}
	for i, v := range inputs {
		here, err := local(dev, v)
		if err != nil {
			return nil, fmt.Errorf("%s: input %d: %w", s.name(), i, err)
		}
		w.in = append(w.in, here)
	}
	in := w.in
	// in may be copies: what must not be written to are the inputs.
	if !reusable(reuse, inputs) {
		reuse = nil
	}
	if m, ok := s.(maker); ok {
		out, err = m.make(dev, want, in, reuse)
	} else {
		out, err = outputIn(reuse, want, dev)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: output: %w", s.name(), err)
	}
	if err := s.run(dev, out, in); err != nil {
		return nil, err
	}
	w.giveBack()
	return out, nil
}

// workspace is memory that a run of a stage needs for a moment. A stage keeps none of it.
type workspace struct {
	known []operand
	in    []backend.Value
}

var workspaces = sync.Pool{New: func() any {
	const inputs = 5 // of Experts, the most of all stages
	return &workspace{make([]operand, 0, inputs), make([]backend.Value, 0, inputs)}
}}

// giveBack ends the use of w. After an error w is left to the garbage collector: a backend that panicked may use it still.
func (w *workspace) giveBack() {
	clear(w.known)
	clear(w.in)
	w.known, w.in = w.known[:0], w.in[:0]
	workspaces.Put(w)
}

// commonDevice is the device that holds inputs, the host if none does. Inputs on two devices are an error.
func commonDevice(name string, inputs []backend.Value) (backend.Device, error) {
	dev := backend.Host
	for i, v := range inputs {
		switch d := backend.DeviceOf(v); {
		case d == backend.Host, d == dev:
		case dev == backend.Host:
			dev = d
		default:
			return nil, fmt.Errorf("%s: input %d is on %v, another on %v: %w", name, i, d, dev, backend.ErrDevice)
		}
	}
	return dev, nil
}

// local is v on dev, a host tensor of any order of memory made contiguous.
func local(dev backend.Device, v backend.Value) (backend.Value, error) {
	if dev != backend.Host {
		return backend.To(dev, v)
	}
	if d, ok := v.(*tensor.Dense); ok {
		return backend.Contiguous(d)
	}
	return v, nil
}

// reusable reports whether v is a value that can be written without writing to an input.
func reusable(v backend.Value, in []backend.Value) bool {
	return v != nil && backend.CheckValue(v) == nil && !overlapsAny(v, in)
}

// outputIn is reuse if it fits, else a new value; reuse may be nil.
func outputIn(reuse backend.Value, want operand, dev backend.Device) (backend.Value, error) {
	if reuse != nil && fits(reuse, want, dev) {
		return reuse, nil
	}
	return dev.New(want.dtype, want.shape)
}

func overlapsAny(v backend.Value, in []backend.Value) bool {
	return slices.ContainsFunc(in, func(x backend.Value) bool { return backend.Overlap(v, x) })
}

// fits reports whether v, an ordinary tensor, can be written as the output want on dev.
func fits(v backend.Value, want operand, dev backend.Device) bool {
	if v.Dtype() != want.dtype || !slices.Equal(v.Shape(), want.shape) || backend.DeviceOf(v) != dev {
		return false
	}
	if dev != backend.Host {
		_, composite := v.(backend.Composite)
		return !composite
	}
	_, err := backend.Bytes(v) // a contiguous Dense
	return err == nil
}
