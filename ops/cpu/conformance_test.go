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

// TestConformanceOfVariants runs every variant on vector instructions that this machine has, with weights as they are and packed.
func TestConformanceOfVariants(t *testing.T) {
	conformance.Run(t, backend.Host, cpu.VectorBackends()...)
}
