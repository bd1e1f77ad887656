package cpu_test

import (
	"slices"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/backend/conformance"
	"github.com/gorgonia/moe/ops/cpu"
)

// TestConformance requires every stage of plain Go but the fused one, which it leaves to the op, and packing.
func TestConformance(t *testing.T) {
	stages := slices.DeleteFunc(conformance.Stages(), func(name string) bool { return name == "Experts" || name == "PackWeight" })
	conformance.Options{Require: stages}.Run(t, backend.Host, cpu.Go{})
}

// TestConformanceOfVariants runs every variant on vector instructions that this machine has, with weights as they are and packed,
// and in a long run products on kernels in plain Go.
func TestConformanceOfVariants(t *testing.T) {
	list := cpu.VectorBackends()
	if testing.Short() {
		list = list[:2*(len(cpu.Variants())-1)]
	}
	for _, b := range list {
		conformance.Options{Stages: cpu.StagesOf(b)}.Run(t, backend.Host, b)
	}
}
