package cpu

import "github.com/gorgonia/moe/ops/backend"

// Levels are the values of MOE_CPU on this architecture.
var Levels = levels

// packing is a backend that packs each weight before it multiplies with it.
type packing struct{ simd }

func (p packing) Linear(out, x, w backend.Value) error {
	packed, err := p.PackWeight(w)
	if err != nil {
		return err
	}
	return p.simd.Linear(out, x, packed)
}

func (p packing) GroupedMatMul(out, rows, w backend.Value, plan *backend.Plan) error {
	packed, err := p.PackWeight(w)
	if err != nil {
		return err
	}
	return p.simd.GroupedMatMul(out, rows, packed, plan)
}

func (p packing) Experts(y, x, gates backend.Value, plan *backend.Plan, w13, w2 backend.Value) error {
	packed13, err := p.PackWeight(w13)
	if err != nil {
		return err
	}
	packed2, err := p.PackWeight(w2)
	if err != nil {
		return err
	}
	return p.simd.Experts(y, x, gates, plan, packed13, packed2)
}

// vectorBackend is one of VectorBackends.
type vectorBackend interface{ kernels() *kernels }

func (s simd) kernels() *kernels { return s.k }

// StagesOf are the stages to run of one of VectorBackends: all that its kernels can compute or, where it packs weights, those that then
// are not as without. It declines the others.
func StagesOf(b backend.Backend) []string {
	k := b.(vectorBackend).kernels()
	stages := []string{"GroupedMatMul", "Linear"}
	if _, packs := b.(packing); packs {
		if hasExperts(k) {
			stages = append(stages, "Experts")
		}
		return stages
	}
	stages = append(stages, "Permute", "PackWeight")
	for _, s := range []struct {
		has   bool
		names []string
	}{
		{hasSwiGLU(k), []string{"SwiGLU"}},
		{hasExperts(k), []string{"Experts"}},
		{hasVectors(k), []string{"Unpermute", "Quantize", "RMSNorm", "Rotary", "Attention", "Add"}},
	} {
		if s.has {
			stages = append(stages, s.names...)
		}
	}
	return stages
}

// VectorBackends are the variants on vector instructions that the machine has, products on kernels in plain Go with a dot of bfloat16,
// without and with other tiles for it, and all of these with weights that are packed first.
func VectorBackends() []backend.Backend {
	noDot := goKernels
	noDot.tileDot, noDot.fewDot, noDot.tileBesideWidened = nil, nil, nil
	var list []backend.Backend
	for _, s := range append(variantsAndGo(hasAll), simd{"cpu/kernels in go without dot", &noDot, 0}, simd{"cpu/kernels in go with pairs", &goPairs, 0}) {
		list = append(list, s, packing{simd{s.name + " packed", s.k, 0}})
	}
	return list
}
