package ops

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops/backend"
)

// CacheAppend writes the keys and values of tokens into the cache and yields the cache:
//
//	K[positions[t]] = keys[t],  V[positions[t]] = values[t]
//
// keys and values are (T, KVHeads·D), both of one dtype: float32, float64, BFloat16 or Float16, rounded to the cache's dtype;
// positions is (T) int32. Of two tokens at one position the later one stays. The output is the cache itself: it is written in
// place, and writing the same again changes nothing, so a graph that is run twice gives the same. A position outside the cache is
// an error (backend.ErrIndex), and so is an input that shares memory with the cache (backend.ErrValue); then nothing is written.
func CacheAppend(cache, keys, values, positions *gorgonia.Node) (*gorgonia.Node, error) {
	return apply(cacheAppend{}, cache, keys, values, positions)
}

// EvalCacheAppend is CacheAppend on values, without a graph.
func EvalCacheAppend(cache *backend.KVCache, keys, values, positions backend.Value) error {
	_, err := eval(cacheAppend{}, cache, keys, values, positions)
	return err
}

type cacheAppend struct{}

func (cacheAppend) name() string { return "CacheAppend" }
func (cacheAppend) spec() string { return "" }

func (cacheAppend) infer(in []operand) (operand, error) {
	cache, keys, values, pos := in[0], in[1], in[2], in[3]
	c, err := cacheOf("cacheappend", cache)
	if err != nil {
		return operand{}, err
	}
	if c != nil && backend.DeviceOf(c) == backend.Host {
		for _, x := range in[1:] {
			// Moving the cache would write into a copy of it.
			if d := backend.DeviceOf(x.value); d != backend.Host {
				return operand{}, fmt.Errorf("cacheappend: the cache is on the host, an input on %v: %w", d, backend.ErrDevice)
			}
		}
	}
	for _, x := range in[1:] {
		if c != nil && backend.Overlap(c, x.value) {
			return operand{}, fmt.Errorf("cacheappend: an input shares memory with the cache: %w", backend.ErrValue)
		}
	}
	for _, x := range []operand{keys, values} {
		if err := wantRank("cacheappend", "keys and values (T,KVHeads·D)", x, 2); err != nil {
			return operand{}, err
		}
		if err := wantShape("cacheappend", "keys and values", x, keys.shape[0], cache.shape[1]); err != nil {
			return operand{}, err
		}
	}
	if err := wantDtype("cacheappend", "keys", keys, floats...); err != nil {
		return operand{}, err
	}
	if err := wantDtype("cacheappend", "values", values, keys.dtype); err != nil {
		return operand{}, err
	}
	if err := checkPositions("cacheappend", pos, keys.shape[0]); err != nil {
		return operand{}, err
	}
	return operand{dtype: cache.dtype, shape: cache.shape}, nil
}

func cacheOf(name string, x operand) (*backend.KVCache, error) {
	if err := wantRank(name, "cache (capacity,KVHeads·D)", x, 2); err != nil {
		return nil, err
	}
	if x.value == nil {
		return nil, nil
	}
	c, ok := x.value.(*backend.KVCache)
	if !ok {
		return nil, fmt.Errorf("%s: cache is a %T: %w", name, x.value, backend.ErrValue)
	}
	return c, nil
}

func (cacheAppend) make(_ backend.Device, _ operand, in []backend.Value, _ backend.Value) (backend.Value, error) {
	return in[0], nil
}

func (cacheAppend) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "cacheappend", func(b backend.CacheAppend) error {
		return b.CacheAppend(out.(*backend.KVCache), in[1], in[2], in[3])
	})
}

// AttentionConfig are the hyper-parameters of Attention.
type AttentionConfig struct {
	HeadDim int // D, the width of a head
	Window  int // how many positions a query sees, its own included; 0: all
}

// Attention is grouped-query attention over the cache. With h a query head, g = ⌊h·KVHeads/Heads⌋ and p = positions[t]:
//
//	out[t,h] = Σ_j softmax_j(q[t,h]·K[j,g]/√D) · V[j,g],  max(0, p−Window+1) ≤ j ≤ p
//
// q and out are (T, Heads·D) of float32, float64, BFloat16 or Float16, Heads a multiple of the cache's KVHeads, positions (T) int32.
// cache should be the node that CacheAppend gave, so that the tokens' own keys are in it; what it holds at positions that no query
// sees is not read. The softmax and the sums run in float32 (float64 for float64). A position outside the cache is an error
// (backend.ErrIndex).
func Attention(q, cache, positions *gorgonia.Node, c AttentionConfig) (*gorgonia.Node, error) {
	return apply(attention{c}, q, cache, positions)
}

// EvalAttention is Attention on values, without a graph.
func EvalAttention(q backend.Value, cache *backend.KVCache, positions backend.Value, c AttentionConfig) (backend.Value, error) {
	return eval(attention{c}, q, cache, positions)
}

type attention struct{ AttentionConfig }

func (attention) name() string { return "Attention" }
func (s attention) spec() string {
	if s.Window == 0 {
		return fmt.Sprintf("D=%d", s.HeadDim)
	}
	return fmt.Sprintf("D=%d window=%d", s.HeadDim, s.Window)
}

func (s attention) infer(in []operand) (operand, error) {
	q, cache, pos := in[0], in[1], in[2]
	if s.HeadDim < 1 || s.Window < 0 {
		return operand{}, fmt.Errorf("attention: head width %d, window %d, want ≥ 1 and ≥ 0: %w", s.HeadDim, s.Window, backend.ErrParameter)
	}
	if err := wantRank("attention", "q (T,Heads·D)", q, 2); err != nil {
		return operand{}, err
	}
	if err := wantDtype("attention", "q", q, floats...); err != nil {
		return operand{}, err
	}
	c, err := cacheOf("attention", cache)
	if err != nil {
		return operand{}, err
	}
	if c != nil && c.HeadDim != s.HeadDim {
		return operand{}, fmt.Errorf("attention: head width %d, the cache has %d: %w", s.HeadDim, c.HeadDim, backend.ErrShape)
	}
	kv := cache.shape[1]
	if q.shape[1]%s.HeadDim != 0 || kv%s.HeadDim != 0 || kv == 0 || q.shape[1]%kv != 0 {
		return operand{}, fmt.Errorf("attention: q has width %d, the cache %d, want multiples of D = %d and q's one of the cache's: %w",
			q.shape[1], kv, s.HeadDim, backend.ErrShape)
	}
	if err := checkPositions("attention", pos, q.shape[0]); err != nil {
		return operand{}, err
	}
	return operand{dtype: q.dtype, shape: q.shape}, nil
}

func (s attention) run(dev backend.Device, out backend.Value, in []backend.Value) error {
	return backend.Dispatch(dev, "attention", func(b backend.Attention) error {
		return b.Attention(out, in[0], in[1].(*backend.KVCache), in[2], s.Window)
	})
}
