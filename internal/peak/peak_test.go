package peak

import (
	"testing"

	"github.com/gorgonia/moe/ops/cpu"
)

// TestLoops runs the loops of the variants that the machine has.
func TestLoops(t *testing.T) {
	for _, b := range cpu.Variants() {
		l := For(b.Name())
		if _, vectors := loops[b.Name()]; vectors == (b.Name() == "cpu/go") {
			t.Errorf("%s: a loop on vectors: %v", b.Name(), vectors)
		}
		if l.Flops < 2*plainSums {
			t.Errorf("%s: %d operations a round", b.Name(), l.Flops)
		}
		l.Run(1)
		l.Run(1000)
	}
	if zero != 0 {
		t.Errorf("sums of zeros are %v", zero)
	}
}
