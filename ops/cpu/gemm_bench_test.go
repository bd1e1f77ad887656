package cpu

import (
	"fmt"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// BenchmarkExpertProducts measures the two products of 8 experts with H=1024, F=3584, K=2 under a balanced routing of n tokens.
func BenchmarkExpertProducts(b *testing.B) {
	const h, f, slots = 1024, 3584, 2
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16, backend.Float16} {
		w13, w2 := filled(dt, 8, 2*f, h), filled(dt, 8, h, f)
		for _, n := range []int{1, 8, 64, 512} {
			rows := n * slots
			counts := make([]int, 8)
			for i := range rows {
				counts[i%8]++
			}
			plan := planOfCounts(counts, 1, rows)
			x, mid, act, out := filled(dt, rows, h), filled(dt, rows, 2*f), filled(dt, rows, f), filled(dt, rows, h)
			b.Run(fmt.Sprintf("%v/n=%d", dt, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := (Go{}).GroupedMatMul(mid, x, w13, plan); err != nil {
						b.Fatal(err)
					}
					if err := (Go{}).GroupedMatMul(out, act, w2, plan); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(6*h*f*float64(rows)*float64(b.N)/b.Elapsed().Seconds()*1e-9, "GFLOP/s")
			})
		}
	}
}

// filled is a tensor of small numbers of both signs.
func filled(dt tensor.Dtype, shape ...int) *tensor.Dense {
	d := tensor.New(tensor.Of(dt), tensor.WithShape(shape...))
	f, err := floatsOf[float32]("test", "operand", d, shape...)
	if err != nil {
		panic(err)
	}
	for i := range backend.Elements(shape) {
		f.write(i, []float32{float32(i%17)*0.01 - 0.05})
	}
	return d
}

// planOfCounts lays out counts with segments that are multiples of align.
func planOfCounts(counts []int, align, rows int) *backend.Plan {
	p, err := backend.NewPlan(backend.Host, rows, 1, len(counts), align, rows)
	if err != nil {
		panic(err)
	}
	offsets, _ := backend.Slice[int32](p.Offsets)
	c, _ := backend.Slice[int32](p.Counts)
	for e, n := range counts {
		c[e] = int32(n)
		offsets[e+1] = offsets[e] + int32((n+align-1)/align*align)
	}
	return p
}
