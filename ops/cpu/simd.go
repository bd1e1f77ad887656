package cpu

import (
	"fmt"

	"github.com/gorgonia/moe/ops/backend"
)

// simd is the backend of one level of vector instructions: products and stages on rows of float32 and bfloat16, the products also
// with weights of float16 or in blocks. It declines all else, and what does not fit together, which plain Go then computes or puts
// into words.
type simd struct {
	name string
	k    *kernels
	// priority orders the variants of a machine, plain Go's being 0.
	priority int
}

// Name is "cpu/" and the level.
func (s simd) Name() string { return s.name }

// PackWeight implements backend.PackWeight for contiguous weights (N,D) and (E,N,D) and stacks of experts, of float32 or
// bfloat16 and none of whose dimensions is 0. A value that is packed already is given back.
func (s simd) PackWeight(w backend.Value) (backend.Packed, error) {
	if p, ok := w.(*panels); ok && p != nil {
		return p, nil
	}
	return pack(s.k, w)
}

// Linear implements backend.Linear for x, w and out of float32 or bfloat16, in any mixture; w may be packed, float16 or
// BlockQuantized. Sums run in float32.
func (s simd) Linear(out, x, w backend.Value) error {
	g := getGEMM(s.k)
	defer g.put()
	if !g.operands(out, x, w) || g.w.dims != 2 {
		return s.decline("linear", x, w)
	}
	g.cut(0, g.rows, 0)
	g.run()
	return nil
}

// GroupedMatMul implements backend.GroupedMatMul for rows, w and out of float32 or bfloat16, in any mixture; w may be packed,
// float16, BlockQuantized or a stack. Sums run in float32.
func (s simd) GroupedMatMul(out, rows, w backend.Value, p *backend.Plan) error {
	g := getGEMM(s.k)
	defer g.put()
	if p == nil || !g.operands(out, rows, w) || g.w.dims != 3 || !g.cutPlan(p) {
		return s.decline("grouped matmul", rows, w)
	}
	g.run()
	return nil
}

func (s simd) decline(stage string, x, w backend.Value) error {
	return fmt.Errorf("%s: %s takes matrices that fit, of float32 or bfloat16 (w also of float16 or blocks) and without a dimension of 0, got %T and %T: %w",
		stage, s.name, x, w, backend.ErrUnsupported)
}
