package cpu

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func TestCacheAppendWritesItsRowsOnly(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 32))
	for _, c := range []struct {
		capacity, kvHeads, d int
		positions            []int32
	}{
		{0, 1, 1, nil},
		{3, 2, 5, nil},
		{1, 1, 1, []int32{0}},
		{7, 3, 43, []int32{6, 0, 4, 1}},
		{40, 5, 2*tile/5 + 1, []int32{39, 2}},
	} {
		for _, dt := range floatDtypes {
			for _, cached := range floatDtypes {
				t.Run(fmt.Sprintf("%v into %v/capacity=%d,heads=%d,D=%d", dt, cached, c.capacity, c.kvHeads, c.d), func(t *testing.T) {
					tokens, width := len(c.positions), c.kvHeads*c.d
					cache, err := backend.NewKVCache(backend.Host, cached, c.capacity, c.kvHeads, c.d)
					if err != nil {
						t.Fatal(err)
					}
					var want [2][]float64
					cache.Keys, want[0] = normals(t, rng, cached, c.capacity, width)
					cache.Values, want[1] = normals(t, rng, cached, c.capacity, width)
					keys, ks := normals(t, rng, dt, tokens, width)
					values, vs := normals(t, rng, dt, tokens, width)
					if err := (Go{}).CacheAppend(cache, keys, values, hostTensor(t, []int{tokens}, c.positions...)); err != nil {
						t.Fatal(err)
					}
					for token, p := range c.positions {
						for i, fresh := range [][]float64{ks, vs} {
							rounded := floatTensor(t, cached, []int{width}, fresh[token*width:(token+1)*width]...)
							copy(want[i][int(p)*width:], floatsIn(t, rounded))
						}
					}
					for i, v := range cache.Parts() {
						if !sameFloats(floatsIn(t, v), want[i]) {
							t.Errorf("part %d of the cache is %v, want %v", i, floatsIn(t, v), want[i])
						}
					}
				})
			}
		}
	}
}

func TestCacheAppendKeepsTheLaterOfTwo(t *testing.T) {
	cache, err := backend.NewKVCache(backend.Host, tensor.Float32, 2, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	fresh := hostTensor[float32](t, []int{3, 1}, 5, 6, 7)
	if err := (Go{}).CacheAppend(cache, fresh, fresh, hostTensor[int32](t, []int{3}, 1, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if got := floatsIn(t, cache.Keys); !sameFloats(got, []float64{6, 7}) {
		t.Errorf("the keys are %v, want 6 and 7", got)
	}
}

func TestCacheAppendErrors(t *testing.T) {
	cache, err := backend.NewKVCache(backend.Host, tensor.Float32, 10, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*backend.KVCache)) *backend.KVCache {
		c := *cache
		change(&c)
		return &c
	}
	f32 := func(shape ...int) backend.Value {
		x := hostTensor[float32](t, shape)
		for i := range elementsIn[float32](t, x) {
			elementsIn[float32](t, x)[i] = 1
		}
		return x
	}
	at := func(p ...int32) backend.Value { return hostTensor(t, []int{len(p)}, p...) }
	before := bytesIn(t, cache)
	for name, c := range map[string]struct {
		cache                   *backend.KVCache
		keys, values, positions backend.Value
		want                    error
	}{
		"no cache":      {nil, f32(2, 6), f32(2, 6), at(0, 1), backend.ErrValue},
		"no values":     {edit(func(c *backend.KVCache) { c.Values = nil }), f32(2, 6), f32(2, 6), at(0, 1), backend.ErrValue},
		"no fresh keys": {cache, nil, f32(2, 6), at(0, 1), backend.ErrValue},
		"width":         {edit(func(c *backend.KVCache) { c.HeadDim = 0 }), f32(2, 6), f32(2, 6), at(0, 1), backend.ErrParameter},
		"capacity":      {edit(func(c *backend.KVCache) { c.Capacity = 11 }), f32(2, 6), f32(2, 6), at(0, 10), backend.ErrShape},
		"keys":          {cache, f32(2, 7), f32(2, 6), at(0, 1), backend.ErrShape},
		"rank of keys":  {cache, f32(12), f32(2, 6), at(0, 1), backend.ErrShape},
		"values":        {cache, f32(2, 6), f32(3, 6), at(0, 1), backend.ErrShape},
		"positions":     {cache, f32(2, 6), f32(2, 6), at(0, 1, 2), backend.ErrShape},
		"dtype of keys": {cache, hostTensor[int32](t, []int{2, 6}), f32(2, 6), at(0, 1), backend.ErrDtype},
		"two dtypes":    {cache, f32(2, 6), hostTensor[backend.BF16](t, []int{2, 6}), at(0, 1), backend.ErrDtype},
		"mixed cache": {edit(func(c *backend.KVCache) { c.Values = hostTensor[float64](t, []int{10, 6}) }), f32(2, 6), f32(2, 6), at(0, 1),
			backend.ErrDtype},
		"int64":          {cache, f32(2, 6), f32(2, 6), hostTensor[int64](t, []int{2}), backend.ErrDtype},
		"before":         {cache, f32(2, 6), f32(2, 6), at(0, -1), backend.ErrIndex},
		"behind":         {cache, f32(2, 6), f32(2, 6), at(0, 10), backend.ErrIndex},
		"behind, second": {cache, f32(2, 6), f32(2, 6), at(10, 0), backend.ErrIndex},
	} {
		if err := (Go{}).CacheAppend(c.cache, c.keys, c.values, c.positions); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", name, err, c.want)
		}
		if !bytes.Equal(bytesIn(t, cache), before) {
			t.Fatalf("%s: the cache has been written to", name)
		}
	}
}
