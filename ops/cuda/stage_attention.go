//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var (
	attentionKernels = newSharedFamily("attention", "", attentionShared)
	// Of each pair the first kernel is for heads of half the width.
	attentionTileKernels = map[tensor.Dtype][2]*kernel{
		backend.BFloat16: {newKernel("attention_bf16_tiles_64"), newSharedKernel("attention_bf16_tiles_128", attentionShared)},
		backend.Float16:  {newKernel("attention_f16_tiles_64"), newSharedKernel("attention_f16_tiles_128", attentionShared)},
	}
	attentionJoinKernels = newFamily("attention", "_join")
)

const (
	attentionShared  = 65536
	attentionMaxDim  = 4000 // the largest width of a head: query, sum and weights fit into a block's shared memory
	attentionTileDim = 128  // the largest width of a head for the kernels of tiles
	attentionTile    = 64   // pairs of a token and a head that a block of those has
)

// Attention implements backend.Attention, for q and out of one dtype, a cache of one dtype, and heads of width 4000 at most.
// The row of a position out of range is zero.
func (Portable) Attention(out, q backend.Value, cache *backend.KVCache, positions backend.Value, window int) error {
	c := call{stage: "attention"}
	defer c.done()
	if window < 0 {
		c.fail("a window of %d positions, want 0 (none) or more", window, backend.ErrParameter)
	}
	query := c.operand("q (T,Heads·D)", q, 2)
	t, width := query.shape[0], query.shape[1]
	keys, values := c.cache(cache)
	if c.err != nil {
		return c.err
	}
	d := cache.HeadDim
	if width%(cache.KVHeads*d) != 0 {
		c.fail("q has shape %v, want a multiple of the cache's %d heads of width %d in a row", query.shape, cache.KVHeads, d, backend.ErrShape)
	}
	position := c.tensor("positions (T)", positions, tensor.Int32, t)
	dst := c.tensor("out (T,Heads·D)", out, query.dtype, t, width)
	dt, cacheCode := c.float(query), c.float(keys)
	if d > attentionMaxDim {
		c.fail("heads of width %d, want at most %d", d, attentionMaxDim, backend.ErrUnsupported)
	}
	if c.err != nil || t*width == 0 {
		return c.err
	}
	a := attention{
		tokens: t, heads: width / d, d: d, cache: cache, window: window, cacheCode: cacheCode,
		operands: [...]operand{dst, query, keys, values, position},
	}
	if k, ok := attentionTileKernels[query.dtype]; ok && keys.dtype == query.dtype && d%8 == 0 && d <= attentionTileDim {
		tiles := blocks(t*a.heads/cache.KVHeads, attentionTile)
		a.splits = min(max(2*c.dev.sms/(tiles*cache.KVHeads), 1), max(blocks(cache.Capacity, 64), 1))
		s := shape{grid: [3]int{tiles, cache.KVHeads, a.splits}, block: 128, shared: attentionShared}
		if d <= attentionTileDim/2 {
			s.shared /= 2
			return a.launch(&c, k[0], attentionJoinKernels[dt], s)
		}
		return a.launch(&c, k[1], attentionJoinKernels[dt], s)
	}
	a.splits = min(max(4*c.dev.sms/(t*a.heads), 1), max(blocks(cache.Capacity, 256), 1))
	return a.launch(&c, attentionKernels[dt], attentionJoinKernels[dt],
		shape{grid: [3]int{t * a.heads, a.splits}, block: 128, shared: 8 * (2*d + 128)})
}

// attention is a call of Attention. Where there are few tokens their positions are shared out among splits blocks, whose
// results are joined.
type attention struct {
	tokens, heads, d  int
	cache             *backend.KVCache
	window, cacheCode int
	splits            int
	operands          [5]operand
}

func (a *attention) launch(c *call, k, join *kernel, s shape) error {
	var partial operand
	if a.splits > 1 {
		size := max(a.operands[0].elementSize(), 4)
		partial = c.scratch(a.tokens * a.heads * a.splits * (a.d + 2) * size)
	}
	c.begin().pointers(a.operands[:]...).
		ints(a.tokens, a.heads, a.cache.KVHeads, a.d, a.cache.Capacity, a.window, a.cacheCode, a.splits).pointers(partial).faults()
	if err := c.launch(k, s); err != nil || a.splits == 1 {
		return err
	}
	return c.launch(join, shape{grid: [3]int{a.tokens * a.heads}, block: 128, shared: 8 * a.splits})
}
