package cpu

import (
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// BenchmarkVariants measures the two products of 8 experts with K=2 under a balanced routing of n tokens, for every variant on
// vector instructions that the machine has, weights as they are and packed.
func BenchmarkVariants(b *testing.B) {
	for _, size := range []struct{ h, f int }{{1024, 3584}} {
		for _, dts := range []struct{ x, w tensor.Dtype }{
			{tensor.Float32, tensor.Float32}, {tensor.Float32, backend.BFloat16}, {backend.BFloat16, backend.BFloat16},
		} {
			w13, w2 := filled(dts.w, 8, 2*size.f, size.h), filled(dts.w, 8, size.h, size.f)
			packed13, err13 := pack(bestKernels(), w13)
			packed2, err2 := pack(bestKernels(), w2)
			if err13 != nil || err2 != nil {
				b.Fatal(err13, err2)
			}
			for _, n := range []int{1, 8, 64, 512} {
				rows := 2 * n
				counts := make([]int, 8)
				for i := range rows {
					counts[i%8]++
				}
				plan := planOfCounts(counts, 1, rows)
				x, mid := filled(dts.x, rows, size.h), filled(dts.x, rows, 2*size.f)
				act, out := filled(dts.x, rows, size.f), filled(dts.x, rows, size.h)
				for _, v := range machineVariants() {
					for _, w := range []struct {
						name    string
						w13, w2 backend.Value
					}{{"plain", w13, w2}, {"packed", packed13, packed2}} {
						b.Run(fmt.Sprintf("%v-%v/n=%d/%s/%s", dts.x.Name(), dts.w.Name(), n, v.name, w.name), func(b *testing.B) {
							b.ReportAllocs()
							for b.Loop() {
								if err := v.GroupedMatMul(mid, x, w.w13, plan); err != nil {
									b.Fatal(err)
								}
								if err := v.GroupedMatMul(out, act, w.w2, plan); err != nil {
									b.Fatal(err)
								}
							}
							work := float64(size.h*size.f) * float64(b.N) / b.Elapsed().Seconds() * 1e-9
							b.ReportMetric(6*work*float64(rows), "GFLOP/s")
							b.ReportMetric(3*work*float64(min(rows, 8))*float64(dts.w.Size()), "GB/s")
						})
					}
				}
			}
		}
	}
}

// bestKernels are those of the best variant that the machine has, plain Go's where it has none.
func bestKernels() *kernels {
	if list := machineVariants(); len(list) > 0 {
		return list[len(list)-1].k
	}
	return &goKernels
}
