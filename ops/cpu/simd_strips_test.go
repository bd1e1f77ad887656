package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// TestFilledCopiesAreCopies fills the copies of strips with x, as if it were what the product before computes, some columns at a time
// and in any order, and compares them with the copies made of x.
func TestFilledCopiesAreCopies(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for _, v := range append(machineVariants(), goVariant, simd{"cpu/kernels in go with pairs", &goPairs, 0}) {
		for _, rows := range []int{5, 31, 70, 300} {
			for _, d := range []int{1, 38, 67, 805} {
				for _, dts := range []struct{ x, w tensor.Dtype }{
					{tensor.Float32, tensor.Float32}, {tensor.Float32, backend.BFloat16}, {backend.BFloat16, backend.BFloat16},
				} {
					t.Run(fmt.Sprintf("%s/%d,%d/%v,%v", v.name, rows, d, dts.x.Name(), dts.w.Name()), func(t *testing.T) {
						x := guardedTensor(t, r, dts.x, rows, d)
						w, err := v.PackWeight(filled(dts.w, 3, d))
						if err != nil {
							t.Fatal(err)
						}
						g := getGEMM(v.k)
						defer g.put()
						if !g.operands(filled(tensor.Float32, rows, 3), x, w) {
							t.Fatal("operands do not fit")
						}
						g.cut(0, rows, 0)
						g.place(0)
						poison := func() { fill(g.copied, func() uint32 { return 0xffffffff }) }
						poison()
						for _, s := range g.strips {
							g.cutParts(s)
						}
						for _, p := range g.parts {
							g.copyPart(p)
						}
						want := slices.Clone(g.copied)
						poison()
						values, err := floatsOf[float32]("test", "x", x, rows, d)
						if err != nil {
							t.Fatal(err)
						}
						data := values.read(0, rows*d, make([]float32, rows*d))
						const cols = 37
						for _, at := range r.Perm((d + cols - 1) / cols) {
							for _, s := range g.strips {
								if g.copyLength(s.strip) == 0 {
									continue
								}
								s.then = s.at
								task := task{s, at * cols, min(cols, d-at*cols)}
								c := make([]float32, s.rows*(cols+1))
								for i := range s.rows {
									copy(c[i*(cols+1):][:task.cols], data[(s.row+i)*d+task.col:])
								}
								g.fill(task, c, cols+1)
							}
						}
						if !slices.Equal(g.copied, want) {
							t.Fatal("the copies differ")
						}
					})
				}
			}
		}
	}
}

// TestStripsInTurns computes products whose copies of strips do not all have room at a time.
func TestStripsInTurns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 300 MiB")
	}
	const rows, d, n = copyWords/4096 + 150, 4096, 3
	r := rand.New(rand.NewPCG(13, 14))
	x, w := guardedTensor(t, r, tensor.Float32, rows, d), guardedTensor(t, r, tensor.Float32, n, d)
	want := tensor.New(tensor.Of(tensor.Float32), tensor.WithShape(rows, n))
	if err := (Go{}).Linear(want, x, w); err != nil {
		t.Fatal(err)
	}
	var ins [2][5]backend.Value // of which the second product's strips have no room, or the first's
	var sums [2][]float64
	for i, widths := range [2][2]int{{n, d}, {d, n}} {
		c := expertsCase{tokens: rows, slots: 1, experts: 1, align: 1, h: widths[0], f: widths[1], id: func(int, int) int { return 0 }}
		ins[i] = c.operands(t, r, tensor.Float32, weightKinds[0])
		sums[i] = composed(t, ins[i], tensor.Float32)
	}
	for _, v := range machineVariants() {
		t.Run(v.name, func(t *testing.T) {
			out := guardedTensor(t, r, tensor.Float32, rows, n)
			if err := v.Linear(out, x, w); err != nil {
				t.Fatal(err)
			}
			sameBytes(t, out, want)
			if v.k.swiglu == nil {
				return
			}
			for i, in := range ins {
				y := guardedTensor(t, r, tensor.Float32, rows, in[0].Shape()[1])
				if err := v.Experts(y, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
					t.Fatal(err)
				}
				for j, got := range y.Data().([]float32) {
					if math.Abs(float64(got)-sums[i][j]) > 1e-3*(1+math.Abs(sums[i][j])) {
						t.Fatalf("operands %d, element %d is %v, want %v", i, j, got, sums[i][j])
					}
				}
			}
		})
	}
}
