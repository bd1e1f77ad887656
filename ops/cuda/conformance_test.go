//go:build cu && linux && cgo

package cuda

import (
	"testing"

	"github.com/gorgonia/moe/ops/backend/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, computingDevice(t), Portable{})
}
