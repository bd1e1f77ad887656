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
					reportBlocks(b, 4*blocks, k.bytes)
				})
				if rows > k.rounded.rows {
					return
				}
				rounded := make([]uint32, rows*k.rounded.len(blocks))
				k.rounded.round(&rounded[0], &x[0], rows*blocks)
				b.Run(fmt.Sprintf("%s/%s rounded/rows=%d", v.name, name, rows), func(b *testing.B) {
					for b.Loop() {
						k.rounded.dot(&out[0], 16, 4, &rounded[0], 4*k.rounded.len(blocks), &w[0], k.bytes*blocks, blocks, rows, 1)
					}
					reportBlocks(b, 4*blocks, k.bytes)
				})
				b.Run(fmt.Sprintf("%s/%s rounding/rows=%d", v.name, name, rows), func(b *testing.B) {
					for b.Loop() {
						k.rounded.round(&rounded[0], &x[0], rows*blocks)
					}
					reportBlocks(b, rows*blocks, 4*backend.BlockElements)
				})
			})
		}
	}
}

// reportBlocks reports the speed of a loop that takes some blocks each time, of so many bytes.
func reportBlocks(b *testing.B, blocks, bytes int) {
	n := float64(blocks) * float64(b.N)
	b.ReportMetric(n*float64(bytes)/b.Elapsed().Seconds()*1e-9, "GB/s")
	b.ReportMetric(b.Elapsed().Seconds()*1e9/n, "ns/block")
}
