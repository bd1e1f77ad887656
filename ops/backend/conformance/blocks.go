package conformance

import (
	"encoding/binary"
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Weights in blocks of 32 elements (backend.BlockQuantized). The numbers they stand for are float32, so a product with them is held
// to the bound of a product with a float32 weight of these numbers. A stage may also round x, see
// backend.BlockQuantized: each element by δ = (1+2⁻⁶)·2⁻¹⁶ of the largest of its block of 32. A dot is moved by the sum of |w|·δ at
// most, which is added to its bound. A row with a NaN or an infinity cannot be rounded so, and is wanted to give what it gives.

// inBlocks is a weight in a block format, of random codes and of scales of either sign over four powers of two.
func inBlocks(format backend.BlockFormat) factor {
	f := factor{name: format.String(), dtype: tensor.Float32, rounding: blockRounding}
	f.make = func(e *env, shape ...int) (backend.Value, operand) {
		n := len(shape)
		rowBytes, d := format.RowBytes(shape[n-1]), shape[n-1]
		memory := must(backend.Bytes(e.alloc(tensor.Uint8, garbageFinite, backend.Elements(shape[:n-1])*rowBytes)))
		for i := range memory {
			memory[i] = byte(e.rng.Uint32())
		}
		for at := 0; at < len(memory); at += format.BlockBytes() {
			scale := float32(math.Exp2(4*e.rng.Float64() - 8))
			if e.rng.IntN(2) == 0 {
				scale = -scale
			}
			binary.LittleEndian.PutUint16(memory[at:], uint16(backend.ToF16(scale)))
		}
		numbers := operand{template(tensor.Float32, shape...).(*tensor.Dense), make([]float64, backend.Elements(shape))}
		for i := range numbers.f {
			block := memory[i/d*rowBytes+i%d/backend.BlockElements*format.BlockBytes():]
			numbers.f[i] = blockNumber(format, block, i%d%backend.BlockElements)
		}
		numbers.flush()
		return must(backend.NewBlockQuantized(format, shape, memory)), numbers
	}
	return f
}

// blockRounding is Σ_k |w_k|·δ with δ that of the block of x_k.
func blockRounding(x, w []float64) (sum float64) {
	const delta = 0x1.04p-16
	for from := 0; from < len(x); from += backend.BlockElements {
		most := 0.0
		for _, v := range x[from:min(from+backend.BlockElements, len(x))] {
			most = max(most, math.Abs(v))
		}
		for _, v := range w[from:min(from+backend.BlockElements, len(x))] {
			sum += math.Abs(v) * delta * most
		}
	}
	return sum
}

// blockNumber is element i of a block.
func blockNumber(format backend.BlockFormat, block []byte, i int) float64 {
	d := float64(backend.F16(binary.LittleEndian.Uint16(block)).Float32())
	switch {
	case format == backend.Q8_0:
		return d * float64(int8(block[2+i]))
	case i < 16:
		return d * float64(int(block[2+i]%16)-8)
	}
	return d * float64(int(block[2+i-16]/16)-8)
}

// blockCombinations are products with weights in blocks.
func blockCombinations() []combination {
	var list []combination
	for _, format := range []backend.BlockFormat{backend.Q8_0, backend.Q4_0} {
		for _, x := range []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16} {
			list = append(list, combination{dense(x), inBlocks(format), x})
		}
	}
	return list
}

// poisonBlock makes the scale of the block with element at NaN, and the numbers of that block.
func poisonBlock(q *backend.BlockQuantized, numbers operand, at int) {
	d := q.Shape()[len(q.Shape())-1]
	row, block := at/d, at%d/backend.BlockElements
	format := q.BlockFormat()
	binary.LittleEndian.PutUint16(q.Bytes()[row*format.RowBytes(d)+block*format.BlockBytes():], 0x7e00)
	for i := block * backend.BlockElements; i < min((block+1)*backend.BlockElements, d); i++ {
		numbers.f[row*d+i] = math.NaN()
	}
}

// blockLinearChecks are the products of Linear with weights in blocks.
func blockLinearChecks(call kernel) []check {
	var checks []check
	for _, c := range blockCombinations() {
		for _, size := range []struct{ t, d, n int }{
			{0, 3, 5}, {3, 0, 5}, {3, 5, 0}, {1, 1, 1}, {1, 130, 127}, {2, 64, 130}, {8, 96, 33}, {33, 127, 3}, {67, 130, 65}, {1, 1100, 8},
		} {
			checks = append(checks, check{fmt.Sprintf("%v/T=%d,D=%d,N=%d", c, size.t, size.d, size.n), func(e *env) error {
				_, x := c.x.make(e, size.t, size.d)
				w, numbers := c.w.make(e, size.n, size.d)
				out, err := e.apply(call, template(c.out, size.t, size.n), x.value, w)
				if err != nil {
					return err
				}
				if size.d == 0 {
					return compare(out, make([]approx, size.t*size.n))
				}
				var want []approx
				for i := range size.t {
					want = c.rowsTimes(want, x.row(i), numbers.f)
				}
				return compare(out, want)
			}})
		}
	}
	return checks
}
