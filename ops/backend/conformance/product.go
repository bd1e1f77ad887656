package conformance

import (
	"fmt"
	"math"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// factor is a kind of operand of a product.
type factor struct {
	name string
	// dtype is the floating-point dtype, backend.Float8E4M3 for a quantized operand.
	dtype tensor.Dtype
	// make draws an operand of a shape and gives the value that a stage gets, with its numbers.
	make func(e *env, shape ...int) (backend.Value, operand)
	// rounding bounds how far rounding of the other factor x, which a stage is free to, moves the dot with a row w. It is nil if a
	// stage is not.
	rounding func(x, w []float64) float64
}

// dense is a tensor of a floating-point dtype.
func dense(dt tensor.Dtype) factor {
	return factor{name: dt.Name(), dtype: dt, make: func(e *env, shape ...int) (backend.Value, operand) {
		o := e.floats(dt, normal, shape...)
		return o.value, o
	}}
}

// quantizedFactor is block-scaled FP8.
func quantizedFactor(blockRows, blockCols int) factor {
	return factor{name: fmt.Sprintf("FP8 in %dx%d", blockRows, blockCols), dtype: backend.Float8E4M3, make: func(e *env, shape ...int) (backend.Value, operand) {
		q, o := e.quantized(blockRows, blockCols, shape...)
		return q, o
	}}
}

// stacked is an ExpertStack of blocks whose heights are about these shares of all rows.
func stacked(dt tensor.Dtype, shares ...float64) factor {
	return factor{name: fmt.Sprintf("stack of %d %v", len(shares), dt), dtype: dt, make: func(e *env, shape ...int) (backend.Value, operand) {
		all := e.floats(dt, normal, shape...)
		n, d := shape[1], shape[2]
		blocks := make([][]backend.Value, shape[0])
		for expert := range blocks {
			from, share := 0, 0.0
			for i, s := range shares {
				share += s
				to := int(share * float64(n))
				if i == len(shares)-1 {
					to = n
				}
				block := e.alloc(dt, garbageNaN, to-from, d)
				store(block, all.matrix(expert)[from*d:to*d])
				blocks[expert] = append(blocks[expert], block)
				from = to
			}
		}
		return must(backend.StackExperts(blocks)), all
	}}
}

// extraRoundings is how many roundings a term of a product passes beside those of product and sum: for a quantized operand
// those of the scale.
func extraRoundings(factors ...tensor.Dtype) int {
	n := 0
	for _, dt := range factors {
		if dt == backend.Float8E4M3 {
			n += 2
		}
	}
	return n
}

// poisonWeight makes element at of a weight NaN, and its number.
func poisonWeight(w backend.Value, numbers operand, at int) {
	if q, ok := w.(*backend.BlockQuantized); ok {
		poisonBlock(q, numbers, at)
		return
	}
	numbers.f[at] = math.NaN()
	for _, part := range leaves(w) { // of a stack its blocks, of a quantized weight the codes before the scales
		n := backend.Elements(part.Shape())
		if at >= n {
			at -= n
			continue
		}
		if codes, err := backend.Slice[backend.F8E4M3](part); err == nil {
			codes[at] = 0xff
			return
		}
		f := must(load(part))
		f[at] = math.NaN()
		store(part, f)
		return
	}
}

// combination is the dtypes of a product x·wᵀ.
type combination struct {
	x, w factor
	out  tensor.Dtype
}

// rowsTimes is x · wᵀ for one row x and the rows of w, appended to out.
func (c combination) rowsTimes(out []approx, x, w []float64) []approx {
	from := len(out)
	out = rowsTimes(out, x, w, accumulator(c.x.dtype, c.w.dtype), extraRoundings(c.x.dtype, c.w.dtype))
	if c.w.rounding != nil {
		for j := range out[from:] {
			out[from+j].tol += c.w.rounding(x, w[j*len(x):][:len(x)])
		}
	}
	return out
}

func (c combination) String() string { return fmt.Sprintf("%s by %s to %v", c.x.name, c.w.name, c.out) }

// floatCombinations are the products of floating-point operands that Linear takes: out has the dtype of x.
func floatCombinations() []combination {
	list := []combination{{dense(tensor.Float64), dense(tensor.Float64), tensor.Float64}}
	for _, x := range []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16} {
		for _, w := range []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16} {
			list = append(list, combination{dense(x), dense(w), x})
		}
	}
	return list
}

// groupedCombinations are the products that GroupedMatMul takes.
func groupedCombinations() []combination {
	list := append(floatCombinations(), combination{dense(tensor.Float64), stacked(tensor.Float64, 0.5, 0.5), tensor.Float64})
	narrow := []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16}
	rows, weight := quantizedFactor(1, backend.QuantBlock), quantizedFactor(backend.QuantBlock, backend.QuantBlock)
	for _, dt := range narrow {
		for _, out := range narrow {
			if out != dt {
				list = append(list, combination{dense(dt), dense(dt), out})
			}
		}
		list = append(list,
			combination{dense(dt), stacked(dt, 0.5, 0.5), dt},
			combination{dense(dt), stacked(dt, 1), dt},
			combination{dense(dt), stacked(dt, 0.2, 0.5, 0.3), dt},
			combination{dense(dt), weight, dt},
			combination{rows, dense(dt), tensor.Float32},
			combination{rows, weight, dt},
		)
	}
	list = append(list, combination{rows, stacked(backend.BFloat16, 0.5, 0.5), backend.BFloat16})
	return append(list, blockCombinations()...)
}
