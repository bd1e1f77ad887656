package backend

import (
	"fmt"
	"math"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// KVCache holds the keys and values of one sequence for one attention layer, position by position. It is a value of the
// graph: CacheAppend writes into it in place and yields it again, so an Attention that reads the result runs afterwards.
// Nothing else in it changes; which positions are filled is the caller's to know, and Attention reads only those up to
// the query's own.
type KVCache struct {
	Capacity int // positions it can hold
	KVHeads  int // heads of keys and values, each shared by Heads/KVHeads query heads
	HeadDim  int // D

	Keys   Value // (Capacity, KVHeads·D) F
	Values Value // the same, of the keys' dtype
}

// NewKVCache allocates a cache on d with keys and values of dtype dt. Its contents are undefined.
func NewKVCache(d Device, dt tensor.Dtype, capacity, kvHeads, headDim int) (*KVCache, error) {
	if capacity < 0 || kvHeads < 1 || headDim < 1 || headDim > math.MaxInt/kvHeads {
		return nil, fmt.Errorf("kv cache: capacity %d, %d heads of width %d, want ≥ 0, ≥ 1, ≥ 1 and a product of the latter two that is an int: %w",
			capacity, kvHeads, headDim, ErrParameter)
	}
	err := checkDevice(d)
	if err != nil {
		return nil, fmt.Errorf("kv cache: %w", err)
	}
	c := &KVCache{Capacity: capacity, KVHeads: kvHeads, HeadDim: headDim}
	if c.Keys, err = d.New(dt, c.Shape()); err != nil {
		return nil, err
	}
	if c.Values, err = d.New(dt, c.Shape()); err != nil {
		return nil, err
	}
	return c, nil
}

// Parts implements Composite: keys, values.
func (c *KVCache) Parts() []Value { return []Value{c.Keys, c.Values} }

// With implements Composite.
func (c *KVCache) With(parts []Value) (Value, error) {
	if len(parts) != 2 {
		return nil, fmt.Errorf("kv cache: %d parts, want 2: %w", len(parts), ErrValue)
	}
	d := *c
	d.Keys, d.Values = parts[0], parts[1]
	return &d, nil
}

// Shape is (Capacity, KVHeads·D), that of the keys and of the values.
func (c *KVCache) Shape() tensor.Shape { return tensor.Shape{c.Capacity, c.KVHeads * c.HeadDim} }

// Size is the number of elements of the keys.
func (c *KVCache) Size() int { return Elements(c.Shape()) }

// Dtype is that of keys and values.
func (c *KVCache) Dtype() tensor.Dtype { return c.Keys.Dtype() }

// Type is the type of its node.
func (c *KVCache) Type() hm.Type { return gorgonia.TensorType{Dims: 2, Of: c.Dtype()} }

// Data is the cache itself.
func (c *KVCache) Data() interface{} { return c }

// Uintptr is the address of the keys, 0 if there are none.
func (c *KVCache) Uintptr() uintptr { return addressOf(c.Keys) }

// MemSize is the size of keys and values in bytes.
func (c *KVCache) MemSize() uintptr { return partsSize(c) }

// Clone copies keys and values. It implements gorgonia.CloneErrorer.
func (c *KVCache) Clone() (interface{}, error) { return cloneParts(c) }

// ZeroValue implements gorgonia.ZeroValuer: it sets keys and values to zero.
func (c *KVCache) ZeroValue() Value { return zeroParts(c) }

// Format implements fmt.Formatter: a line with the sizes.
func (c *KVCache) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "KVCache{%d positions, %d heads of %d, %v on %v}", c.Capacity, c.KVHeads, c.HeadDim, c.Dtype(), DeviceOf(c))
}
