package conformance

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

func cacheAppendChecks(s backend.CacheAppend) []check {
	call := func(out backend.Value, in []backend.Value) error {
		return s.CacheAppend(out.(*backend.KVCache), in[0], in[1], in[2])
	}
	var checks []check
	for _, dt := range floats {
		for _, cached := range []tensor.Dtype{dt, backend.BFloat16, tensor.Float32} {
			if cached != dt && dt == tensor.Float64 {
				continue // a float64 model keeps a float64 cache
			}
			for _, size := range []struct{ t, capacity, kvHeads, d int }{{0, 5, 2, 8}, {0, 0, 1, 1}, {1, 1, 1, 1}, {1, 70, 8, 16}, {33, 33, 3, 7}, {9, 65, 1, 130}} {
				checks = append(checks, check{fmt.Sprintf("%v into %v/T=%d,capacity=%d,heads=%d,D=%d", dt, cached, size.t, size.capacity, size.kvHeads, size.d), func(e *env) error {
					width := size.kvHeads * size.d
					keys, values := e.floats(dt, normal, size.t, width), e.floats(dt, normal, size.t, width)
					return e.cacheAppend(call, e.cache(cached, size.capacity, size.kvHeads, size.d), keys, values)
				}})
			}
		}
		checks = append(checks, check{fmt.Sprintf("%v/misfits", dt), func(e *env) error {
			keys, values, positions := e.alloc(dt, 0, 3, 8), e.alloc(dt, 0, 3, 8), e.ints([]int32{0, 1, 2}, 3)
			return e.refuses(call, nil, e.misfits(e.cache(dt, 10, 2, 4), keys, values, positions)...)
		}})
		other := backend.BFloat16
		if dt == other {
			other = tensor.Float32
		}
		checks = append(checks, check{fmt.Sprintf("%v beside %v", dt, other), func(e *env) error {
			keys, values, positions := e.alloc(dt, 0, 3, 8), e.alloc(other, 0, 3, 8), e.ints([]int32{0, 1, 2}, 3)
			mixed := e.cache(dt, 10, 2, 4)
			mixed.Values = e.cache(other, 10, 2, 4).Values
			return e.refuses(call, backend.ErrDtype,
				refusal{"keys and values of two dtypes", e.cache(dt, 10, 2, 4), []backend.Value{keys, values, positions}},
				refusal{"a cache of two dtypes", mixed, []backend.Value{keys, keys, positions}})
		}})
	}
	for _, position := range []int32{-1, 10, math.MinInt32, math.MaxInt32} {
		checks = append(checks, check{fmt.Sprintf("position %d of 10", position), func(e *env) error {
			keys, values := e.floats(tensor.Float32, normal, 3, 8), e.floats(tensor.Float32, normal, 3, 8)
			return e.refuses(call, backend.ErrIndex,
				refusal{"position", e.cache(tensor.Float32, 10, 2, 4), []backend.Value{keys.value, values.value, e.ints([]int32{0, position, 2}, 3)}})
		}})
	}
	return checks
}

// cacheAppend writes keys and values at distinct positions, twice, and compares: the rows written are the converted keys and
// values, all others are what they were.
func (e *env) cacheAppend(call kernel, cache *backend.KVCache, keys, values operand) error {
	positions := make([]int32, keys.value.Shape()[0])
	for i, p := range e.rng.Perm(cache.Capacity)[:len(positions)] {
		positions[i] = int32(p)
	}
	in := []backend.Value{keys.value, values.value, e.ints(positions, len(positions))}
	before := e.poisoned(cache, garbageFinite)
	was := leaves(e.poisoned(cache, garbageFinite))
	once, err := e.once(call, before, in...)
	if err != nil {
		return declined(err)
	}
	afterOnce := snapshot(once)
	twice, err := e.once(call, once, in...)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(snapshot(twice), afterOnce, slices.Equal) {
		return fmt.Errorf("writing the same again changed the cache")
	}
	for i, source := range []operand{keys, values} {
		want := make([]approx, 0, cache.Size())
		for _, x := range must(load(was[i])) {
			want = append(want, exactly(x))
		}
		for t, p := range positions {
			for j, x := range source.row(t) {
				want[int(p)*cache.KVHeads*cache.HeadDim+j] = exactly(x)
			}
		}
		if err := compare(leaves(twice)[i], want); err != nil {
			return fmt.Errorf("%s: %w", []string{"keys", "values"}[i], err)
		}
	}
	return nil
}
