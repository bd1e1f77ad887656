package cpu

import (
	"fmt"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// CacheAppend implements backend.CacheAppend for keys and values (T, KVHeads·D) of any one dtype F, converted to the cache's.
// Of two tokens at one position the later one stays. The first position outside [0,Capacity) is an ErrIndex, before anything is
// written.
func (Go) CacheAppend(c *backend.KVCache, keys, values, positions backend.Value) error {
	if err := checkOperands("cache append", keys, values, positions); err != nil {
		return err
	}
	if err := checkCache("cache append", c); err != nil {
		return err
	}
	if err := checkDtype("cache append", "values", values, keys.Dtype()); err != nil {
		return err
	}
	if c.Keys.Dtype() == tensor.Float64 {
		return cacheAppend[float64](c, keys, values, positions)
	}
	return cacheAppend[float32](c, keys, values, positions)
}

// checkCache is an error if a cache cannot be one.
func checkCache(stage string, c *backend.KVCache) error {
	if c == nil || c.Keys == nil || c.Values == nil {
		return fmt.Errorf("%s: the cache is nil: %w", stage, backend.ErrValue)
	}
	if c.KVHeads < 1 || c.HeadDim < 1 {
		return fmt.Errorf("%s: a cache of %d heads of width %d, want 1 or more of each: %w", stage, c.KVHeads, c.HeadDim, backend.ErrParameter)
	}
	return checkDtype(stage, "the cache's values", c.Values, c.Keys.Dtype())
}

func cacheAppend[A accumulator](c *backend.KVCache, keys, values, positions backend.Value) error {
	tokens, width, err := matrixDims("cache append", "keys", keys)
	if err != nil {
		return err
	}
	l := getLoop[appending[A]]()
	defer l.free()
	l.s.width = width
	for i, p := range [...]struct {
		fresh, cached         backend.Value
		freshName, cachedName string
	}{{keys, c.Keys, "keys", "the cache's keys"}, {values, c.Values, "values", "the cache's values"}} {
		if l.s.fresh[i], err = floatsOf[A]("cache append", p.freshName, p.fresh, tokens, c.KVHeads*c.HeadDim); err != nil {
			return err
		}
		if l.s.cached[i], err = floatsOf[A]("cache append", p.cachedName, p.cached, c.Capacity, c.KVHeads*c.HeadDim); err != nil {
			return err
		}
	}
	if l.s.positions, err = indicesOf("cache append", "positions", positions, tokens, c.Capacity); err != nil {
		return err
	}
	l.run(width, 1<<14/max(tokens, 1)) // by columns, so that the tokens stay in order
	return nil
}

type appending[A accumulator] struct {
	fresh, cached [2]floats[A] // keys, values
	positions     []int32
	width         int
}

func (a *appending[A]) span(from, to int) {
	var buf [tile]A
	for t, p := range a.positions {
		for lo := from; lo < to; lo += tile {
			hi := min(lo+tile, to)
			for i := range a.fresh {
				a.cached[i].write(int(p)*a.width+lo, a.fresh[i].read(t*a.width+lo, t*a.width+hi, buf[:]))
			}
		}
	}
}
