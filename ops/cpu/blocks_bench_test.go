package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// BenchmarkBlockDots measures the kernels of dots on operands in the second level of cache: what they could read from memory.
func BenchmarkBlockDots(b *testing.B) {
	const blocks = 128
	r := rand.New(rand.NewPCG(1, 2))
	for _, v := range someVariants(b, hasFormats) {
		for rows := 1; rows <= v.k.dotRows; rows++ {
			forFormats(v.k.formats, &goFormats, func(name string, k, _ blockKernels) {
				x, out := make([]float32, rows*blocks*backend.BlockElements), make([]float32, 4*rows)
				w := make([]byte, 8*blocks*k.bytes)
				smallBlocks(r, k.bytes, w)
				b.Run(fmt.Sprintf("%s/%s/rows=%d", v.name, name, rows), func(b *testing.B) {
					for b.Loop() {
						k.dot(&out[0], &x[0], 4*blocks*backend.BlockElements, &w[0], k.bytes*blocks, blocks, rows)
					}
					n := float64(4*blocks) * float64(b.N)
					b.ReportMetric(n*float64(k.bytes)/b.Elapsed().Seconds()*1e-9, "GB/s")
					b.ReportMetric(b.Elapsed().Seconds()*1e9/n, "ns/block")
				})
			})
		}
	}
}
