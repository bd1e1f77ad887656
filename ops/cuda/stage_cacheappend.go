//go:build cu && linux && cgo

package cuda

import (
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

var cacheAppendKernels = newSquare("cacheappend")

// CacheAppend implements backend.CacheAppend, for keys and values of one dtype. A token whose position is out of range is left out.
func (Portable) CacheAppend(cache *backend.KVCache, keys, values, positions backend.Value) error {
	c := call{stage: "cacheappend"}
	defer c.done()
	k := c.operand("keys (T,KVHeads·D)", keys, 2)
	t, width := k.shape[0], k.shape[1]
	cachedKeys, cachedValues := c.cache(cache)
	if c.err != nil {
		return c.err
	}
	c.wantShape(k, t, cache.KVHeads*cache.HeadDim)
	v := c.tensor("values (T,KVHeads·D)", values, k.dtype, t, width)
	position := c.tensor("positions (T)", positions, tensor.Int32, t)
	kernel := cacheAppendKernels[c.float(k)][c.float(cachedKeys)]
	if c.err != nil || t == 0 {
		return c.err
	}
	return c.begin().pointers(cachedKeys, cachedValues, k, v, position).ints(t, width, cache.Capacity).faults().
		launch(kernel, shape{grid: [3]int{t}, block: 128})
}

// cache looks up the two parts of a cache, of one dtype.
func (c *call) cache(cache *backend.KVCache) (keys, values operand) {
	switch {
	case cache == nil:
		c.fail("the cache is nil", backend.ErrValue)
	case cache.KVHeads < 1 || cache.HeadDim < 1 || cache.Capacity < 0:
		c.fail("a cache of %d positions and %d heads of width %d, want 0 or more and 1 or more of each",
			cache.Capacity, cache.KVHeads, cache.HeadDim, backend.ErrParameter)
	}
	if c.err != nil {
		return keys, values
	}
	keys = c.operand("the cache's keys", cache.Keys, 2)
	c.wantShape(keys, cache.Capacity, cache.KVHeads*cache.HeadDim)
	values = c.tensor("the cache's values", cache.Values, keys.dtype, cache.Capacity, cache.KVHeads*cache.HeadDim)
	return keys, values
}
