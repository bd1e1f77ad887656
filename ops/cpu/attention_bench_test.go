package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// BenchmarkVectorAttention is one token, and some, of 32 query heads on 8 of a cache, of width 128, behind 8192 positions. The bytes are
// those of the cache.
func BenchmarkVectorAttention(b *testing.B) {
	const capacity, d, kvHeads, heads = 8192 + 64, 128, 8, 32
	rng := rand.New(rand.NewPCG(51, 52))
	for _, dt := range []tensor.Dtype{tensor.Float32, backend.BFloat16} {
		cache, err := backend.NewKVCache(backend.Host, dt, capacity, kvHeads, d)
		if err != nil {
			b.Fatal(err)
		}
		cache.Keys, _ = normals(b, rng, dt, capacity, kvHeads*d)
		cache.Values, _ = normals(b, rng, dt, capacity, kvHeads*d)
		for _, tokens := range []int{1, 64} {
			q, _ := normals(b, rng, dt, tokens, heads*d)
			out := poisoned(b, dt, tokens, heads*d)
			at := make([]int32, tokens)
			for i := range at {
				at[i] = int32(capacity - tokens + i)
			}
			positions := hostTensor(b, []int{tokens}, at...)
			for _, s := range rowBackends(b) {
				b.Run(fmt.Sprintf("%s/%v/T=%d", s.Name(), dt, tokens), func(b *testing.B) {
					b.SetBytes(int64(2 * capacity * kvHeads * d * int(dt.Size())))
					for b.Loop() {
						if err := s.Attention(out, q, cache, positions, 0); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
