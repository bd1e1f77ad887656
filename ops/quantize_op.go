package ops

import (
	"fmt"
	"strings"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// Quantize makes block-scaled FP8 of activations: one scale for each row and 128 columns. For each block
//
//	scale = max|x| / 448,  code = e4m3(x / scale)
//
// with the maximum over the finite elements, and scale 1 if that is 0; ±Inf becomes the code of ±448, NaN stays NaN. x is (T,H), or
// (…,H), of float32, float64, BFloat16 or Float16; the result is a backend.Quantized of x's shape: codes (T,H) Float8E4M3 and scales
// (T,⌈H/128⌉) float32 in one value. Codes and Scales take it apart.
func Quantize(x *gorgonia.Node) (*gorgonia.Node, error) { return apply(quantize{1}, x) }

// EvalQuantize is Quantize on a value, without a graph.
func EvalQuantize(x backend.Value) (*backend.Quantized, error) { return evalQuantize(1, x) }

// QuantizeWeight is Quantize for weights (…,N,D): one scale for each 128×128 block, (…,⌈N/128⌉,⌈D/128⌉).
func QuantizeWeight(w *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(quantize{backend.QuantBlock}, w)
}

// EvalQuantizeWeight is QuantizeWeight on a value, without a graph.
func EvalQuantizeWeight(w backend.Value) (*backend.Quantized, error) {
	return evalQuantize(backend.QuantBlock, w)
}

func evalQuantize(blockRows int, x backend.Value) (*backend.Quantized, error) {
	v, err := eval(quantize{blockRows}, x)
	if err != nil {
		return nil, err
	}
	return v.(*backend.Quantized), nil
}

type quantize struct{ blockRows int }

func (quantize) name() string   { return "Quantize" }
func (s quantize) spec() string { return fmt.Sprintf("%dx%d", s.blockRows, backend.QuantBlock) }

func (s quantize) infer(in []operand) (operand, error) {
	if err := wantDtype("quantize", "x", in[0], floats...); err != nil {
		return operand{}, err
	}
	if len(in[0].shape) < 2 {
		return operand{}, fmt.Errorf("quantize: x has shape %v, want two dimensions or more: %w", in[0].shape, backend.ErrShape)
	}
	return operand{dtype: backend.Float8E4M3, shape: in[0].shape}, nil
}

func (s quantize) make(dev backend.Device, out operand, _ []backend.Value, reuse backend.Value) (backend.Value, error) {
	return newQuantized(dev, out.shape, s.blockRows, backend.QuantBlock, reuse)
}

func (quantize) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "quantize", func(b backend.Quantize) error { return b.Quantize(out.(*backend.Quantized), in[0]) })
}

// Codes is the FP8 part of a quantized node of blocks one row high: (T,H) Float8E4M3. On a device the value shares q's memory, on the
// host it is a copy.
func Codes(q *gorgonia.Node) (*gorgonia.Node, error) { return apply(part{codes: true}, q) }

// Scales is the scales' part of a quantized node of blocks one row high: (T,⌈H/128⌉) float32. On a device the value
// shares q's memory, on the host it is a copy.
func Scales(q *gorgonia.Node) (*gorgonia.Node, error) { return apply(part{}, q) }

type part struct{ codes bool }

func (s part) name() string {
	if s.codes {
		return "Codes"
	}
	return "Scales"
}
func (part) spec() string { return "" }

func (s part) infer(in []operand) (operand, error) {
	x, name := in[0], strings.ToLower(s.name())
	if err := wantDtype(name, "q", x, backend.Float8E4M3); err != nil {
		return operand{}, err
	}
	if x.value != nil {
		q, ok := x.value.(*backend.Quantized)
		if !ok || q.BlockRows != 1 || q.BlockCols != backend.QuantBlock {
			return operand{}, fmt.Errorf("%s: q is %v, want a backend.Quantized in 1×%d blocks: %w", name, x.value, backend.QuantBlock, backend.ErrValue)
		}
		if _, err := backend.QuantizedOf(q.Codes, q.Scales, q.BlockRows, q.BlockCols); err != nil {
			return operand{}, fmt.Errorf("%s: q: %w", name, err)
		}
	}
	if s.codes {
		return operand{dtype: x.dtype, shape: x.shape}, nil
	}
	shape, err := backend.ScaleShape(x.shape, 1, backend.QuantBlock)
	return operand{dtype: tensor.Float32, shape: shape}, err
}

func (s part) make(_ backend.Device, _ operand, in []backend.Value, _ backend.Value) (backend.Value, error) {
	q := in[0].(*backend.Quantized)
	if s.codes {
		return q.Codes, nil
	}
	return q.Scales, nil
}

func (part) run(backend.Device, backend.Value, []backend.Value) error { return nil }
