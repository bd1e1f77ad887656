//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestPick(t *testing.T) {
	hopper := &Device{sms: 132, functions: testDevice(t).functions}
	hopper.functions = slices.Clone(hopper.functions)
	list := tensorCore[backend.BFloat16]
	if hopper.functions[list[2].kernel.index] == nil {
		hopper.functions[list[2].kernel.index] = hopper.functions[list[3].kernel.index]
	}
	ampere := &Device{sms: 108, functions: slices.Clone(hopper.functions)}
	ampere.functions[list[2].kernel.index] = nil
	for _, c := range []struct {
		device                   *Device
		n, experts, rowsOfExpert int
		want                     int
	}{
		{hopper, 28672, 8, 1, 0},
		{hopper, 28672, 8, 16, 0},
		{hopper, 28672, 8, 17, 1},
		{hopper, 28672, 8, 64, 1},
		{hopper, 28672, 8, 65, 2},
		{hopper, 28672, 8, 100000, 2},
		{ampere, 28672, 8, 65, 3},
		{hopper, 4096, 1, 256, 1}, // 32 tiles of 128×256
		{hopper, 4096, 1, 512, 2}, // 64
		{ampere, 4096, 1, 384, 1}, // 48
		{ampere, 4096, 1, 512, 3}, // 64
		{hopper, 1024, 1, 256, 0}, // 32 tiles of 64×128
	} {
		if got := c.device.pick(list, c.n, c.experts, c.rowsOfExpert); got.kernel != list[c.want].kernel {
			t.Errorf("%d columns, %d experts of %d rows on %d multiprocessors run as %s, want %s",
				c.n, c.experts, c.rowsOfExpert, c.device.sms, got.kernel.name, list[c.want].kernel.name)
		}
	}
}

// TestGroupedMatMulPaths runs every kernel for products at the smallest shapes that take each of its ways: tiles of every height,
// full and ragged ones, padding, an expert without rows, a last step of D that is not full, odd N and D, a stack of blocks. The
// conformance suite has more of everything; this is the set to run under compute-sanitizer's racecheck, which is far slower.
// The numbers are −1, 0 and 1, whose sums are exact in every dtype.
func TestGroupedMatMulPaths(t *testing.T) {
	d := computingDevice(t)
	f32, f64, bf16, f16, f8 := tensor.Float32, tensor.Float64, backend.BFloat16, backend.Float16, backend.Float8E4M3
	type size struct{ d, n int }
	fitting, odd := []size{{8, 1}, {72, 24}, {328, 265}}, []size{{37, 131}}
	for i, c := range []struct {
		x, w, out tensor.Dtype
		sizes     []size
		kernels   []tiling
	}{
		{bf16, bf16, bf16, fitting, tensorCore[bf16]},
		{f16, f16, f16, fitting, tensorCore[f16]},
		{f16, f16, f32, []size{{72, 24}}, tensorCore[f16]},
		{f32, f32, f32, odd, product32},
		{f64, f64, f64, odd, product64},
		{bf16, bf16, f64, odd, productAny32},
		{f8, f8, f32, odd, productAny32},
		{bf16, f64, f32, odd, productAny64},
	} {
		for _, k := range c.kernels {
			for _, s := range c.sizes {
				t.Run(fmt.Sprintf("%s/%v·%v=%v/D=%d,N=%d", k.kernel.name, c.x, c.w, c.out, s.d, s.n), func(t *testing.T) {
					if d.functions[k.kernel.index] == nil {
						t.Skipf("%v has no such kernel", d)
					}
					for _, other := range c.kernels {
						if other.kernel != k.kernel {
							withoutKernel(t, d, other.kernel)
						}
					}
					p := newProductCase(t, d, rand.New(rand.NewPCG(uint64(i), uint64(k.rows))), rowsOfTile[k.rows], c.x, c.w, s.d, s.n)
					p.check(t, c.out, p.w)
					if c.w != f8 {
						p.check(t, c.out, p.stack(t))
					}
				})
			}
		}
	}
}

// withoutKernel hides a kernel of a device until the test ends.
func withoutKernel(t *testing.T, d *Device, k *kernel) {
	f := d.functions[k.index]
	d.functions[k.index] = nil
	t.Cleanup(func() { d.functions[k.index] = f })
}

// rowsOfTile are the rows of each expert for kernels whose tiles have so many rows.
var rowsOfTile = map[int][]int{8: {9, 0, 5}, 16: {17, 0, 5}, 64: {65, 33, 20}, 128: {160, 64, 100}}

// productCase is a call of GroupedMatMul on a device and, in float64, its result.
type productCase struct {
	device *Device
	plan   *backend.Plan
	x, w   backend.Value // on the device
	ws     []float64     // the numbers of w
	want   []float64
}

// newProductCase draws rows of 8-aligned segments and a weight of n by depth.
func newProductCase(t *testing.T, d *Device, rng *rand.Rand, counts []int, xDtype, wDtype tensor.Dtype, depth, n int) productCase {
	var ids []int32
	for e, count := range counts {
		for range count {
			ids = append(ids, int32(e))
		}
	}
	rows := must(backend.RowBound(len(ids), 1, len(counts), 8))(t) + 3
	c := productCase{device: d, plan: must(backend.NewPlan(d, len(ids), 1, len(counts), 8, rows))(t)}
	slots := must(d.Upload(tensor.New(tensor.WithShape(len(ids), 1), tensor.WithBacking(ids))))(t)
	if err := (Portable{}).Plan(c.plan, slots, nil); err != nil {
		t.Fatal(err)
	}
	experts := must(backend.Slice[int32](must(d.Download(c.plan.RowExpert))(t)))(t)
	x, xs := ternary(t, rng, xDtype, rows, depth)
	w, ws := ternary(t, rng, wDtype, len(counts), n, depth)
	for r, e := range experts {
		for col := range n {
			var sum float64
			for k := range depth {
				if e >= 0 {
					sum += xs[r*depth+k] * ws[(int(e)*n+col)*depth+k]
				}
			}
			c.want = append(c.want, sum)
		}
	}
	c.ws, c.x, c.w = ws, must(backend.To(d, x))(t), must(backend.To(d, w))(t)
	return c
}

// check calls GroupedMatMul with a weight and compares.
func (c productCase) check(t *testing.T, dt tensor.Dtype, w backend.Value) {
	t.Helper()
	n := len(c.want) / c.plan.Rows
	host := must(backend.Host.New(dt, tensor.Shape{c.plan.Rows, n}))(t)
	nans := make([]float64, len(c.want))
	for i := range nans {
		nans[i] = math.NaN()
	}
	setNumbers(t, host, nans)
	out := must(c.device.Upload(host))(t)
	if err := (Portable{}).GroupedMatMul(out, c.x, w, c.plan); err != nil {
		t.Fatal(err)
	}
	got := numbers(t, must(c.device.Download(out.(*Array)))(t))
	for i, want := range c.want {
		if got[i] != want {
			t.Fatalf("row %d, column %d is %v, want %v", i/n, i%n, got[i], want)
		}
	}
}

// stack is the weight as blocks of one row and of the others.
func (c productCase) stack(t *testing.T) backend.Value {
	e, n, depth := c.w.Shape()[0], c.w.Shape()[1], c.w.Shape()[2]
	experts := make([][]backend.Value, e)
	rest := c.ws
	for i := range experts {
		for _, height := range []int{1, n - 1} {
			if height == 0 {
				continue
			}
			block := must(backend.Host.New(c.w.Dtype(), tensor.Shape{height, depth}))(t)
			setNumbers(t, block, rest[:height*depth])
			rest = rest[height*depth:]
			experts[i] = append(experts[i], must(c.device.Upload(block))(t))
		}
	}
	return must(backend.StackExperts(experts))(t)
}

// ternary draws a host value of −1, 0 and 1; one of FP8 has scales of ½, 1 and 2 for blocks of 16 by 16.
func ternary(t *testing.T, rng *rand.Rand, dt tensor.Dtype, shape ...int) (backend.Value, []float64) {
	v := must(backend.Host.New(dt, shape))(t)
	f := make([]float64, backend.Elements(shape))
	for i := range f {
		f[i] = float64(rng.IntN(3) - 1)
	}
	setNumbers(t, v, f)
	if dt != backend.Float8E4M3 {
		return v, f
	}
	scales := must(backend.Host.New(tensor.Float32, must(backend.ScaleShape(shape, 16, 16))(t)))(t)
	s := make([]float64, backend.Elements(scales.Shape()))
	for i := range s {
		s[i] = math.Ldexp(1, rng.IntN(3)-1)
	}
	setNumbers(t, scales, s)
	last := len(shape) - 1
	height, width := shape[last-1], shape[last]
	for i := range f {
		matrix, row, col := i/(height*width), i/width%height, i%width
		f[i] *= s[(matrix*blocks(height, 16)+row/16)*blocks(width, 16)+col/16]
	}
	return must(backend.QuantizedOf(v, scales, 16, 16))(t), f
}

// setNumbers sets the elements of a host tensor, numbers gives them.
func setNumbers(t *testing.T, v backend.Value, f []float64) {
	t.Helper()
	if v.Dtype() == tensor.Float64 {
		copy(must(backend.Slice[float64](v))(t), f)
		return
	}
	narrow := make([]float32, len(f))
	for i := range f {
		narrow[i] = float32(f[i])
	}
	switch v.Dtype() {
	case tensor.Float32:
		copy(must(backend.Slice[float32](v))(t), narrow)
	case backend.BFloat16:
		backend.Narrow(must(backend.Slice[backend.BF16](v))(t), narrow)
	case backend.Float16:
		backend.Narrow(must(backend.Slice[backend.F16](v))(t), narrow)
	case backend.Float8E4M3:
		backend.Narrow(must(backend.Slice[backend.F8E4M3](v))(t), narrow)
	}
}

func numbers(t *testing.T, v backend.Value) []float64 {
	t.Helper()
	if v.Dtype() == tensor.Float64 {
		return must(backend.Slice[float64](v))(t)
	}
	narrow := make([]float32, backend.Elements(v.Shape()))
	switch v.Dtype() {
	case tensor.Float32:
		copy(narrow, must(backend.Slice[float32](v))(t))
	case backend.BFloat16:
		backend.Widen(narrow, must(backend.Slice[backend.BF16](v))(t))
	case backend.Float16:
		backend.Widen(narrow, must(backend.Slice[backend.F16](v))(t))
	}
	f := make([]float64, len(narrow))
	for i := range f {
		f[i] = float64(narrow[i])
	}
	return f
}
