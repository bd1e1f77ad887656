package main

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// dtype is an element type by the name that flags and reports use.
type dtype struct {
	name string
	of   tensor.Dtype
	// fill sets the elements of a contiguous host tensor of this dtype to random numbers in ±amplitude.
	fill func(v backend.Value, amplitude float32) error
	// put writes numbers into such a tensor, from the element at on.
	put func(v backend.Value, at int, numbers []float32) error
	// blocks says that a weight is quantised from this dtype, to blocks of the format.
	blocks bool
	format backend.BlockFormat
}

var (
	f32  = &dtype{name: "f32", of: tensor.Float32, fill: fillAs[float32], put: putAs[float32]}
	bf16 = &dtype{name: "bf16", of: backend.BFloat16, fill: fillAs[backend.BF16], put: putAs[backend.BF16]}
	f16  = &dtype{name: "f16", of: backend.Float16, fill: fillAs[backend.F16], put: putAs[backend.F16]}
	fp8  = &dtype{name: "fp8", of: backend.Float8E4M3, fill: fillAs[backend.F8E4M3], put: putAs[backend.F8E4M3]}
	q8   = &dtype{name: "q8_0", of: tensor.Float32, fill: fillAs[float32], put: putAs[float32], blocks: true, format: backend.Q8_0}
	q4   = &dtype{name: "q4_0", of: tensor.Float32, fill: fillAs[float32], put: putAs[float32], blocks: true, format: backend.Q4_0}

	plainDtypes  = []*dtype{f32, bf16, f16}
	allDtypes    = []*dtype{f32, bf16, f16, fp8} // of activations
	matrixDtypes = []*dtype{f32, bf16, f16, q8, q4}
	expertDtypes = []*dtype{f32, bf16, f16, fp8, q8, q4}
)

func parseDtype(s string) (*dtype, error) {
	i := slices.IndexFunc(expertDtypes, func(d *dtype) bool { return d.name == s })
	if i < 0 {
		return nil, fmt.Errorf("dtype %q, want %s", s, names(expertDtypes, func(d *dtype) string { return d.name }))
	}
	return expertDtypes[i], nil
}

// activationBytes is the size of an element of an activation: FP8 has a float32 scale for each 128 elements of a row.
func (d *dtype) activationBytes() float64 {
	if d == fp8 {
		return 1 + 4./backend.QuantBlock
	}
	return float64(d.of.Size())
}

// weightBytes is the size of an element of an expert's weight, with its share of a scale: FP8 has a float32 scale for each block of
// 128×128.
func (d *dtype) weightBytes() float64 {
	switch {
	case d == fp8:
		return 1 + 4./(backend.QuantBlock*backend.QuantBlock)
	case d.blocks:
		return float64(d.format.BlockBytes()) / backend.BlockElements
	}
	return float64(d.of.Size())
}

// product is the dtype of a product whose rows have dtype d.
func (d *dtype) product() *dtype {
	if d == fp8 {
		return f32
	}
	return d
}

// beside is the dtype of the other weights of a model whose experts have dtype d: where that is no plain one, they are in bf16.
func (d *dtype) beside() *dtype {
	if d == fp8 || d.blocks {
		return bf16
	}
	return d
}

// matrix is the dtype of its linear maps, which blocks serve as well.
func (d *dtype) matrix() *dtype {
	if d.blocks {
		return d
	}
	return d.beside()
}
