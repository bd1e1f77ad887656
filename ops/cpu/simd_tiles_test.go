package cpu

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TestNextPartIsReadNext looks at what tiles are told to prefetch: with one worker the part of a panel that the tiles after them read,
// but for the last part of each of the two products.
func TestNextPartIsReadNext(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long in plain Go; where tiles look does not depend on the machine, nor on a race detector")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	k := goKernels
	var reading, expected *uint32
	parts, unknown := 0, 0
	watch := func(tile tileKernel) tileKernel {
		return func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int) {
			if reading == nil || b != reading && b != at(reading, 4*panelCols/2) {
				if expected == reading {
					unknown++
				} else if b != expected {
					t.Errorf("part %d is not the one that was prefetched", parts)
				}
				reading, expected = b, next
				parts++
			}
			tile(a, lda, b, c, ldc, steps, rows, cols, add, next, apart, ahead)
		}
	}
	k.tileF32, k.tileBesideF32 = watch(k.tileF32), watch(k.tileBesideF32)
	const experts, h, f = 4, partSteps + 10, 3*taskCols/2 + 38
	c := expertsCase{tokens: 60, slots: 2, experts: experts, align: 1, h: h, f: f, id: func(i, s int) int {
		if s == 0 {
			return i % 8 / 7
		}
		return 3
	}}
	in := c.operands(t, rand.New(rand.NewPCG(15, 16)), tensor.Float32, weightKinds[0])
	for i := 3; i <= 4; i++ {
		w, err := pack(&k, in[i])
		if err != nil {
			t.Fatal(err)
		}
		in[i] = w
	}
	y := filled(tensor.Float32, c.tokens, h)
	if err := (simd{"watched", &k, 0}).Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
		t.Fatal(err)
	}
	if least := 3 * 2 * pieces(2*f, panelCols); parts < least || unknown != 2 {
		t.Errorf("%d parts, %d of them not foreseen; want %d parts at least, and 2", parts, unknown, least)
	}
}
