package cpu_test

import (
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/backend/conformance"
	"github.com/gorgonia/moe/ops/cpu"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, backend.Host, cpu.Go{})
}
