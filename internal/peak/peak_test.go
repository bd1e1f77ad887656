package peak

import (
	"bytes"
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
		if l, ok := Tiles(b.Name()); ok {
			l.Run(1)
			l.Run(1000)
		}
	}
	for name := range loops {
		if readers[name] == nil {
			t.Errorf("%s: no loop that reads with vectors", name)
		}
	}
	if zero != 0 {
		t.Errorf("sums of zeros are %v", zero)
	}
}

// TestRead reads memory of lengths around those of a block.
func TestRead(t *testing.T) {
	for _, n := range []int{0, 1, 1000, 272<<10 - 1, 272 << 10, 272<<10 + 1, 3 * 272 << 10} {
		memory := bytes.Repeat([]byte{1}, n)
		for _, b := range cpu.Variants() {
			if at := Read(b.Name(), memory); at >= 0 {
				t.Errorf("%s, %d bytes: a zero at %d", b.Name(), n, at)
			}
		}
	}
}
