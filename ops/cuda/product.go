//go:build cu && linux && cgo

package cuda

import (
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// factor is an operand of a matrix product: an Array of a dtype F, or the codes and scales of a Quantized, or a stack.
type factor struct {
	array  operand // the elements or codes; none for a stack
	code   int     // the dtype in parameters
	scales operand
	rows   int // of a scale's block
	cols   int
	stack  *stackTable
}

// codeE4M3 is the dtype code of FP8 codes, which follows those of floats.
const codeE4M3 = len(floats)

// factor looks up an operand of a product with a shape.
func (c *call) factor(what string, v backend.Value, dims ...int) factor {
	switch v := v.(type) {
	case *backend.Quantized:
		return c.quantized(what, v, dims...)
	case *backend.ExpertStack:
		return c.stacked(what, v, dims...)
	case backend.Packed:
		c.fail("%s is a %T", what, v, backend.ErrUnsupported)
		return factor{}
	}
	f := factor{array: c.array(what, v)}
	c.wantShape(f.array, dims...)
	f.code = c.float(f.array)
	return f
}

func (c *call) quantized(what string, q *backend.Quantized, dims ...int) (f factor) {
	if q == nil {
		c.fail("%s is nil", what, backend.ErrValue)
		return f
	}
	scaleShape, err := backend.ScaleShape(dims, q.BlockRows, q.BlockCols)
	if err != nil {
		c.fail("%s", what, err)
		return f
	}
	return factor{
		array:  c.tensor(what, q.Codes, backend.Float8E4M3, dims...),
		scales: c.tensor("scales of "+what, q.Scales, tensor.Float32, scaleShape...),
		code:   codeE4M3, rows: q.BlockRows, cols: q.BlockCols,
	}
}

func (c *call) stacked(what string, s *backend.ExpertStack, dims ...int) (f factor) {
	if s == nil {
		c.fail("%s is nil", what, backend.ErrValue)
	}
	if c.err != nil {
		return f
	}
	f.array = operand{what: what, shape: s.Shape(), dtype: s.Dtype()}
	c.wantShape(f.array, dims...)
	f.code = c.float(f.array)
	if c.err != nil {
		return f
	}
	if f.stack = c.dev.stacks.of(c, s); c.err == nil {
		c.array(what, f.stack.array)
	}
	return f
}

// tiling is a kernel for products and the tile of the result that a block of it has.
type tiling struct {
	kernel     *kernel
	rows, cols int
	threads    int
	shared     int // bytes
	upTo       int // the most rows of an expert for which no larger tile is better
	quarters   int // of the multiprocessors, that its tiles must occupy to be better than smaller ones
}

const manyRows = math.MaxInt

// tensorCore are the kernels for x and w both BFloat16 or both Float16, from small tiles to large ones. Only devices of compute
// capability 9.0 have the one of that name.
var tensorCore = map[tensor.Dtype][]tiling{
	backend.BFloat16: newTensorCore("bf16"),
	backend.Float16:  newTensorCore("f16"),
}

func newTensorCore(dt string) []tiling {
	name := "grouped_matmul_" + dt + "_"
	return []tiling{
		{newKernel(name + "s"), 16, 32, 128, 43008, 16, 0},
		{newSharedKernel(name+"m", 98304), 64, 128, 128, 98304, 64, 1},
		{newSharedKernel(name+"sm90", 196608), 128, 256, 256, 196608, manyRows, 1},
		{newSharedKernel(name+"l", 98304), 128, 256, 256, 98304, manyRows, 2},
	}
}

// The kernels for all other operands: of one dtype, and of any mixture.
var (
	product32    = newTilings("f32", 128)
	product64    = newTilings("f64", 64)
	productAny32 = newTilings("any_f32", 128)
	productAny64 = newTilings("any_f64", 64)
)

func newTilings(name string, side int) []tiling {
	name = "grouped_matmul_" + name
	return []tiling{
		{newKernel(name + "_rows"), 8, 8, 256, 0, 8, 0},
		{newKernel(name), side, side, 256, 0, manyRows, 0},
	}
}

// tilings picks the kernels for x and w.
func tilings(x, w factor, d int) []tiling {
	float64s := x.array.dtype == tensor.Float64 || w.array.dtype == tensor.Float64
	switch {
	case x.array.dtype != w.array.dtype || x.code == codeE4M3:
		if float64s {
			return productAny64
		}
		return productAny32
	case float64s:
		return product64
	case x.array.dtype == tensor.Float32:
		return product32
	case d%8 == 0:
		return tensorCore[x.array.dtype]
	}
	return productAny32
}

// multiply queues out (R,N) = x (R,D) · w (E,N,D)ᵀ, the rows of each expert with its matrix. Without offsets there is one
// expert, which has all rows. An expert has about rowsOfExpert rows.
func (c *call) multiply(out operand, x, w factor, dims [4]int, rowsOfExpert int, offsets, counts operand) error {
	r, n, d, e := dims[0], dims[1], dims[2], dims[3]
	outCode := c.float(out)
	if c.err != nil || r*n == 0 {
		return c.err
	}
	t := c.dev.pick(tilings(x, w, d), n, min(e, r), rowsOfExpert)
	tiles := blocks(r, t.rows)
	if offsets.array != nil {
		tiles = r/t.rows + min(e, r) + 1
	}
	c.begin().pointers(out, x.array, w.array).ints(r, n, d, e).pointers(offsets, counts)
	if w.stack != nil {
		c.words[c.used] = w.stack.addresses()
		c.words[c.used+1] = uint64(w.stack.array.block.Address)
		c.used += 2
		c.ints(w.stack.perE)
	} else {
		c.ints(0, 0, 0)
	}
	return c.ints(x.code, w.code, outCode).pointers(x.scales, w.scales).ints(x.rows, x.cols, w.rows, w.cols).faults().
		launch(t.kernel, shape{grid: [3]int{blocks(n, t.cols) * tiles}, block: t.threads, shared: t.shared})
}

// pick chooses among the kernels that the device has for an output of n columns and experts of so many rows: the first one that
// is meant for them, or one of smaller tiles where larger ones would leave too much of the device idle.
func (d *Device) pick(list []tiling, n, experts, rowsOfExpert int) tiling {
	best, found := list[len(list)-1], false
	for _, t := range list {
		if d.functions[t.kernel.index] == nil {
			continue
		}
		tiles := experts * blocks(rowsOfExpert, t.rows) * blocks(n, t.cols)
		if found && (rowsOfExpert <= best.upTo || 4*tiles < t.quarters*d.sms) {
			break
		}
		best, found = t, true
	}
	return best
}
