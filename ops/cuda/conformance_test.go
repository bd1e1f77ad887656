//go:build cu && linux && cgo

package cuda

import (
	"strings"
	"testing"

	"github.com/gorgonia/moe/ops/backend/conformance"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, computingDevice(t), Portable{})
}

// TestConformanceOfLargeTiles runs the products whose kernel is chosen by their size on each of the kernels for large ones.
func TestConformanceOfLargeTiles(t *testing.T) {
	d := computingDevice(t)
	for _, suffix := range []string{"_sm90", "_l"} {
		t.Run(suffix[1:], func(t *testing.T) {
			for _, list := range tensorCore {
				for _, k := range list {
					switch wanted := strings.HasSuffix(k.kernel.name, suffix); {
					case !wanted:
						withoutKernel(t, d, k.kernel)
					case d.functions[k.kernel.index] == nil:
						t.Skipf("%v has no kernel %s", d, k.kernel.name)
					}
				}
			}
			conformance.Options{Stages: []string{"GroupedMatMul", "Linear"}}.Run(t, d, Portable{})
		})
	}
}
