package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// GroupedMatMul multiplies each expert's rows with the expert's matrix:
//
//	out[r] = rows[r] · w[RowExpert[r]]ᵀ,  0 for a padding row
//
// rows is (R,D), w (E,N,D) in the layout of the checkpoints, out (R,N). rows and w are float32, float64, BFloat16 or Float16
// (float64 only with float64), or block-scaled FP8 (backend.Quantized). w may be a *tensor.Dense, a backend.ExpertStack, a
// backend.BlockQuantized (see QuantizeBlocks) or another backend.Packed (see Pack). out has the dtype of the rows, float32 for
// quantized rows; sums run in float32 (float64 for float64). A plan whose segments lie outside of the rows or overlap is an error
// (backend.ErrIndex).
func GroupedMatMul(rows, w, plan *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(groupedMatMul{}, rows, w, plan)
}

// EvalGroupedMatMul is GroupedMatMul on values, without a graph.
func EvalGroupedMatMul(rows, w backend.Value, plan *backend.Plan) (backend.Value, error) {
	return eval(groupedMatMul{}, rows, w, plan)
}

// GroupedMatMulTo is GroupedMatMul with an output of dtype dt: float32, BFloat16 or Float16.
func GroupedMatMulTo(dt tensor.Dtype, rows, w, plan *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(groupedMatMul{dt}, rows, w, plan)
}

// EvalGroupedMatMulTo is GroupedMatMulTo on values, without a graph.
func EvalGroupedMatMulTo(dt tensor.Dtype, rows, w backend.Value, plan *backend.Plan) (backend.Value, error) {
	return eval(groupedMatMul{dt}, rows, w, plan)
}

type groupedMatMul struct{ out tensor.Dtype } // the zero Dtype: as the rows

func (groupedMatMul) name() string { return "GroupedMatMul" }
func (s groupedMatMul) spec() string {
	if s.out.Type == nil {
		return ""
	}
	return s.out.Name()
}

func (s groupedMatMul) infer(in []operand) (operand, error) {
	rows, w := in[0], in[1]
	if err := wantRank("groupedmatmul", "rows (R,D)", rows, 2); err != nil {
		return operand{}, err
	}
	if err := wantRank("groupedmatmul", "w (E,N,D)", w, 3); err != nil {
		return operand{}, err
	}
	p, err := planOf("groupedmatmul", in[2])
	if err != nil {
		return operand{}, err
	}
	if err := wantShape("groupedmatmul", "rows", rows, in[2].shape[0], w.shape[2]); err != nil {
		return operand{}, err
	}
	if p != nil && p.Experts != w.shape[0] {
		return operand{}, fmt.Errorf("groupedmatmul: w has %d experts, the plan %d: %w", w.shape[0], p.Experts, backend.ErrShape)
	}
	dt, err := productDtype("groupedmatmul", rows, w, s.out)
	return operand{dtype: dt, shape: tensor.Shape{rows.shape[0], w.shape[1]}}, err
}

// productDtype checks the dtypes of x and w of a product and gives the output's: want, or if that is zero x's own.
func productDtype(name string, x, w operand, want tensor.Dtype) (tensor.Dtype, error) {
	if err := wantDtype(name, "x", x, numbers[:]...); err != nil {
		return want, err
	}
	if err := wantDtype(name, "w", w, numbers[:]...); err != nil {
		return want, err
	}
	for _, o := range []operand{x, w} {
		if _, quantized := o.value.(*backend.Quantized); o.value != nil && o.dtype == backend.Float8E4M3 && !quantized {
			return want, fmt.Errorf("%s: an operand holds FP8 codes without scales (%T), want a backend.Quantized: %w", name, o.value, backend.ErrValue)
		}
	}
	if (x.dtype == tensor.Float64) != (w.dtype == tensor.Float64) {
		return want, fmt.Errorf("%s: %v with %v: float64 goes only with float64: %w", name, x.dtype, w.dtype, backend.ErrDtype)
	}
	switch {
	case want.Type == nil && x.dtype == backend.Float8E4M3:
		return tensor.Float32, nil
	case want.Type == nil || want == x.dtype && x.dtype != backend.Float8E4M3:
		return x.dtype, nil
	case x.dtype == tensor.Float64:
		return want, fmt.Errorf("%s: output %v of float64 operands: %w", name, want, backend.ErrDtype)
	}
	return want, wantDtype(name, "output", operand{dtype: want}, tensor.Float32, backend.BFloat16, backend.Float16)
}

func (groupedMatMul) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	rows, p := in[0], in[2].(*backend.Plan)
	return withUnpacked(dev, "groupedmatmul", in[1], func(w backend.Value) error {
		return backend.Dispatch(dev, "groupedmatmul", func(b backend.GroupedMatMul) error { return b.GroupedMatMul(out, rows, w, p) })
	})
}
