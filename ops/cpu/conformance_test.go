package cpu_test

import (
	"slices"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/backend/conformance"
	"github.com/gorgonia/moe/ops/cpu"
)

// TestConformance requires every stage but the fused one, which plain Go leaves to the op.
func TestConformance(t *testing.T) {
	stages := slices.DeleteFunc(conformance.Stages(), func(name string) bool { return name == "Experts" })
	conformance.Options{Require: stages}.Run(t, backend.Host, cpu.Go{})
}
