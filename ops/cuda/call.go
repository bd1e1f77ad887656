//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// call is one call of a stage: its operands are looked up and checked, its kernels launched. The first thing that is wrong
// stays in err, and what follows does nothing, so that a stage reads as a list. It lies on the caller's stack.
//
//	c := call{stage: "swiglu"}
//	defer c.done()
type call struct {
	stage string
	dev   *Device // of the first operand
	err   error

	held  [maxOperands]*reference
	holds int
	words [maxWords]uint64
	used  int
}

const maxOperands = 12

// operand is an Array under the name that errors give it. After an error it may have none.
type operand struct {
	what  string
	array *Array
	shape tensor.Shape
	dtype tensor.Dtype
}

var noDims = make(tensor.Shape, 4)

func (o operand) address() uintptr {
	if o.array == nil {
		return 0
	}
	return o.array.block.Address
}

// fail records an error, prefixed with the stage. The last argument is the sentinel.
func (c *call) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(c.stage+": "+format+": %w", args...)
	}
}

// array looks v up: an open Array of the call's device, of any number of dimensions. It is held until done.
func (c *call) array(what string, v backend.Value) operand {
	none := operand{what: what}
	if c.err != nil {
		return none
	}
	a, ok := v.(*Array)
	switch {
	case !ok || a == nil:
		c.fail("%s is a %T, want a *cuda.Array", what, v, backend.ErrValue)
		return none
	case c.dev != nil && c.dev != a.device:
		c.fail("%s is on %v, another operand on %v", what, a.device, c.dev, backend.ErrDevice)
		return none
	case !a.acquire():
		c.fail("%s", what, ErrClosed)
		return none
	}
	c.dev = a.device
	c.held[c.holds] = a.reference
	c.holds++
	if err := a.inMemory(); err != nil {
		c.fail("%s", what, err)
		return none
	}
	return operand{what, a, a.shape, a.dtype}
}

// operand is array for a number of dimensions. After an error they are 0.
func (c *call) operand(what string, v backend.Value, rank int) operand {
	o := c.array(what, v)
	if c.err == nil && len(o.shape) != rank {
		c.fail("%s has shape %v, want %d dimensions", what, o.shape, rank, backend.ErrShape)
	}
	if c.err != nil {
		o.shape = noDims[:rank]
	}
	return o
}

// tensor is array for a dtype and a shape.
func (c *call) tensor(what string, v backend.Value, dt tensor.Dtype, dims ...int) operand {
	o := c.array(what, v)
	c.wantDtype(o, dt)
	c.wantShape(o, dims...)
	return o
}

// wantShape checks an operand's dimensions.
func (c *call) wantShape(o operand, dims ...int) {
	if c.err == nil && !slices.Equal(o.shape, dims) {
		c.fail("%s has shape %v, want %v", o.what, o.shape, tensor.Shape(slices.Clone(dims)), backend.ErrShape)
	}
}

// wantDtype checks an operand's dtype.
func (c *call) wantDtype(o operand, dt tensor.Dtype) {
	if c.err == nil && o.dtype != dt {
		c.fail("%s is of %v, want %v", o.what, o.dtype, dt, backend.ErrDtype)
	}
}

// scratch allocates an Array for the time of the call.
func (c *call) scratch(bytes int) operand {
	if c.err != nil {
		return operand{}
	}
	a, err := c.dev.newArray(tensor.Byte, tensor.Shape{bytes})
	if err != nil {
		c.err = fmt.Errorf("%s: scratch memory: %w", c.stage, err)
		return operand{}
	}
	o := c.operand("scratch", a, 1)
	a.Close() // the hold keeps it
	return o
}

// begin starts the parameters of a kernel.
func (c *call) begin() *call {
	c.used = 0
	return c
}

// pointers adds the addresses of operands to the parameters.
func (c *call) pointers(operands ...operand) *call {
	for _, o := range operands {
		c.words[c.used] = uint64(o.address())
		c.used++
	}
	return c
}

// faults adds the address of the device's record of faults.
func (c *call) faults() *call {
	if c.err == nil {
		c.words[c.used] = uint64(c.dev.faults.address())
		c.used++
	}
	return c
}

// ints adds integers to the parameters.
func (c *call) ints(values ...int) *call {
	for _, v := range values {
		c.words[c.used] = uint64(v)
		c.used++
	}
	return c
}

// number adds a float64 to the parameters.
func (c *call) number(v float64) *call {
	c.words[c.used] = math.Float64bits(v)
	c.used++
	return c
}

// launch queues a kernel with the parameters added since begin.
func (c *call) launch(k *kernel, s shape) error {
	f := c.function(k)
	if s.grid[0] > math.MaxInt32 || max(s.grid[1], s.grid[2]) > math.MaxUint16 {
		c.fail("a grid of %v blocks, want at most %d×%d×%[3]d", s.grid, math.MaxInt32, math.MaxUint16, backend.ErrShape)
	}
	if c.err == nil {
		c.finish(c.dev.launchFunction(f, s, &c.words))
	}
	return c.err
}

// run queues what f queues through package cu.
func (c *call) run(f func() error) error {
	if c.err == nil {
		c.finish(c.dev.do(c.stage, f))
	}
	return c.err
}

// finish takes the result of queueing. If it is recorded, the operands belong to the recording too.
func (c *call) finish(err error) {
	if c.err = c.dev.failure(c.stage, err); c.err != nil {
		return
	}
	if r := c.dev.recording.Load(); r != nil {
		r.hold(c.held[:c.holds])
	}
}

// done releases the operands.
func (c *call) done() {
	for _, r := range c.held[:c.holds] {
		r.release()
	}
}
