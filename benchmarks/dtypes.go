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
}

var (
	f32  = &dtype{"f32", tensor.Float32, fillAs[float32], putAs[float32]}
	bf16 = &dtype{"bf16", backend.BFloat16, fillAs[backend.BF16], putAs[backend.BF16]}
	f16  = &dtype{"f16", backend.Float16, fillAs[backend.F16], putAs[backend.F16]}
	fp8  = &dtype{"fp8", backend.Float8E4M3, fillAs[backend.F8E4M3], putAs[backend.F8E4M3]}

	plainDtypes = []*dtype{f32, bf16, f16}
	allDtypes   = []*dtype{f32, bf16, f16, fp8}
)

func parseDtype(s string) (*dtype, error) {
	i := slices.IndexFunc(allDtypes, func(d *dtype) bool { return d.name == s })
	if i < 0 {
		return nil, fmt.Errorf("dtype %q, want %s", s, names(allDtypes, func(d *dtype) string { return d.name }))
	}
	return allDtypes[i], nil
}

// activationBytes is the size of an element of an activation: FP8 has a float32 scale for each 128 elements of a row.
func (d *dtype) activationBytes() float64 {
	if d == fp8 {
		return 1 + 4./backend.QuantBlock
	}
	return float64(d.of.Size())
}

// weightBytes is the size of an element of an expert's weight: FP8 has a float32 scale for each block of 128×128.
func (d *dtype) weightBytes() float64 {
	if d == fp8 {
		return 1 + 4./(backend.QuantBlock*backend.QuantBlock)
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

// beside is the dtype of the other weights of a model whose experts have dtype d: FP8 models keep them in bf16.
func (d *dtype) beside() *dtype {
	if d == fp8 {
		return bf16
	}
	return d
}
