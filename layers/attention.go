package layers

import (
	"fmt"

	"gorgonia.org/gorgonia"

	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// AttentionConfig are the hyper-parameters of an attention layer.
type AttentionConfig struct {
	Name       string  // prefix of its nodes' names; distinct within a graph
	HeadDim    int     // D, the width of a head
	RotaryBase float64 // base of the rotary embedding's angles
	Window     int     // positions a query sees, its own included; 0: all
}

// Attention is grouped-query attention with rotary positions and a key/value cache, without biases.
type Attention struct {
	AttentionConfig
	Q backend.Value // (Heads·D,H)
	K backend.Value // (KVHeads·D,H)
	V backend.Value // (KVHeads·D,H)
	O backend.Value // (H,Heads·D)
}

// To is the layer with its weights on d.
func (l *Attention) To(d backend.Device) (*Attention, error) {
	m := *l
	if err := move("attention", l.Name, d, &m.Q, &m.K, &m.V, &m.O); err != nil {
		return nil, err
	}
	return &m, nil
}

// NewCache is an empty cache of float32 for the layer, on the device of its weights, with room for a number of positions. One of
// another dtype comes from backend.NewKVCache. Weights that tell no number of heads are a backend.ErrParameter.
func (l *Attention) NewCache(capacity int) (*backend.KVCache, error) {
	if rank(l.K) != 2 || l.HeadDim < 1 {
		return nil, fmt.Errorf("attention %q: heads of width %d, want ≥ 1 and a weight K (KVHeads·D,H): %w", l.Name, l.HeadDim, backend.ErrParameter)
	}
	return backend.NewKVCache(backend.DeviceOf(l.K), gorgonia.Float32, capacity, l.K.Shape()[0]/l.HeadDim, l.HeadDim)
}

// Fwd attends from the tokens x (T,H) at positions (T) to themselves and to all earlier positions of the cache, which it
// extends by them: y (T,H).
func (l *Attention) Fwd(x, positions, cache *gorgonia.Node) (*gorgonia.Node, error) {
	q, err := l.project(x, "q_proj", l.Q)
	if err != nil {
		return nil, err
	}
	k, err := l.project(x, "k_proj", l.K)
	if err != nil {
		return nil, err
	}
	v, err := l.project(x, "v_proj", l.V)
	if err != nil {
		return nil, err
	}
	if q, err = ops.Rotary(q, positions, l.HeadDim, l.RotaryBase); err != nil {
		return nil, err
	}
	if k, err = ops.Rotary(k, positions, l.HeadDim, l.RotaryBase); err != nil {
		return nil, err
	}
	if cache, err = ops.CacheAppend(cache, k, v, positions); err != nil {
		return nil, err
	}
	y, err := ops.Attention(q, cache, positions, ops.AttentionConfig{HeadDim: l.HeadDim, Window: l.Window})
	if err != nil {
		return nil, err
	}
	return l.project(y, "o_proj", l.O)
}

func (l *Attention) project(x *gorgonia.Node, name string, w backend.Value) (*gorgonia.Node, error) {
	y, err := Linear{Name: l.Name + "." + name, Weight: w}.Fwd(x)
	if err != nil {
		return nil, fmt.Errorf("attention %q: %w", l.Name, err)
	}
	return y, nil
}
