package cpu

import (
	"fmt"
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
	for _, v := range append(machineVariants(), simd{"cpu/kernels in go", &goKernels, 0}) {
		for _, rows := range []int{5, 31, 70, 300} {
			for _, d := range []int{1, 38, 67, 805} {
				for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
					t.Run(fmt.Sprintf("%s/%d,%d/%v", v.name, rows, d, dt.Name()), func(t *testing.T) {
						x := guardedTensor(t, r, tensor.Float32, rows, d)
						w, err := v.PackWeight(filled(dt, 3, d))
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
						data := x.Data().([]float32)
						const cols = 37
						for _, at := range r.Perm((d + cols - 1) / cols) {
							for _, s := range g.strips {
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
