package conformance

import (
	"fmt"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// weightKind is what a weight of Experts may be, as it is or packed by the backend first.
type weightKind struct {
	factor
	packed bool
}

func (k weightKind) String() string {
	if k.packed {
		return k.name + " packed"
	}
	return k.name
}

// mixedExpertsChecks are Experts whose two weights are of different kinds, each kind beside each: the two products then may work in
// different ways on the rows between them, which one writes and the other reads. packer is nil for a backend that does not pack.
func mixedExpertsChecks(call kernel, packer backend.PackWeight) []check {
	kinds := []weightKind{
		{factor: dense(tensor.Float32)}, {factor: dense(backend.BFloat16)}, {factor: dense(backend.Float16)},
		{factor: stacked(tensor.Float32, 0.5, 0.5)}, {factor: stacked(backend.BFloat16, 0.5, 0.5)},
		{factor: inBlocks(backend.Q8_0)}, {factor: inBlocks(backend.Q4_0)}, {factor: quantizedFactor(backend.QuantBlock, backend.QuantBlock)},
	}
	if packer != nil {
		kinds = append(kinds, weightKind{dense(tensor.Float32), true}, weightKind{dense(backend.BFloat16), true})
	}
	var checks []check
	for _, x := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		for i, first := range kinds {
			for j, second := range kinds {
				if i == j {
					continue
				}
				mixed := call
				if first.packed {
					mixed = packingFirst(mixed, packer, 3)
				}
				if second.packed {
					mixed = packingFirst(mixed, packer, 4)
				}
				for _, c := range []struct {
					r    routing
					h, f int
				}{
					{routing{150, 1, 2, 1, oneExpert, rowsExact}, 33, 35}, // more rows than a strip has
					{routing{11, 2, 3, 8, partial, rowsBound}, 40, 67},
				} {
					checks = append(checks, check{fmt.Sprintf("%s by %v and %v/H=%d,F=%d/%v", x.Name(), first, second, c.h, c.f, c.r), func(e *env) error {
						return e.newExperts(fused{dense(x), first.factor, second.factor, x}, c.r, c.h, c.f).run(mixed)
					}})
				}
			}
		}
	}
	return checks
}

// packingFirst is the kernel with a source packed before.
func packingFirst(call kernel, packer backend.PackWeight, source int) kernel {
	return func(out backend.Value, in []backend.Value) error {
		packed, err := packer.PackWeight(in[source])
		if err != nil {
			return err
		}
		in = slices.Clone(in)
		in[source] = packed
		return call(out, in)
	}
}
