// Package memory keeps the blocks of a device's memory that are not in use and hands them out again.
//
// Asking a device's driver for memory is slow and giving it back waits for the device. All work of a device runs in the order
// of one queue, so a block may be handed out again at once: what still works on it was queued before.
//
// Most blocks become free when Go's garbage collector finds their owners unreachable, and the collector does not know how much
// memory hangs on them. So the cache asks for a collection before the memory in use grows by more than a bounded amount.
package memory

import (
	"errors"
	"sync"
)

// Block is a piece of a device's memory.
type Block struct {
	Address uintptr
	Size    int64 // in bytes
}

// ErrFull is what a Source returns, wrapped or not, when it has no memory left of the size wanted.
var ErrFull = errors.New("out of memory")

// Source is where a cache gets memory from.
type Source interface {
	Allocate(bytes int64) (uintptr, error)
	// Free gives blocks back. Work on them may still be queued.
	Free(blocks []Block) error
}

// Growth of the memory in use, in bytes, after which unreachable blocks are collected: as much as was in use after the last
// collection, but within these limits.
const (
	leastGrowth = 64 << 20
	mostGrowth  = 4 << 30
)

// Cache hands out blocks of a source. It is safe for concurrent use.
type Cache struct {
	source  Source
	collect func()

	mu     sync.Mutex
	free   shelf
	inUse  int64
	paceAt int64 // the inUse at which the next collection is due
}

// New makes a cache over a source. collect runs the garbage collector and returns when the blocks of unreachable owners have
// been put back.
func New(source Source, collect func()) *Cache {
	return &Cache{source: source, collect: collect, paceAt: leastGrowth}
}

// Get gives a block of at least n bytes, n > 0. When the source is full it collects garbage, then gives all free blocks back
// to the source, before it reports the source's error.
func (c *Cache) Get(n int64) (Block, error) {
	size := round(n)
	b, due, ok := c.take(size)
	if ok {
		return b, nil
	}
	if due {
		if b, ok = c.takeAfterCollection(size); ok {
			return b, nil
		}
	}
	b, err := c.allocate(size)
	if !errors.Is(err, ErrFull) {
		return b, err
	}
	if b, ok = c.takeAfterCollection(size); ok {
		return b, nil
	}
	if err := c.Trim(); err != nil {
		return Block{}, err
	}
	return c.allocate(size)
}

// Put takes back a block that Get has given.
func (c *Cache) Put(b Block) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse -= b.Size
	c.free.put(b)
}

// Trim gives all free blocks back to the source.
func (c *Cache) Trim() error {
	c.mu.Lock()
	blocks := c.free.all()
	c.mu.Unlock()
	if len(blocks) == 0 {
		return nil
	}
	return c.source.Free(blocks)
}

// Usage tells the bytes that are handed out and the bytes that are kept to be handed out again.
func (c *Cache) Usage() (inUse, free int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inUse, c.free.bytes
}

// take gives a free block. If there is none it tells whether a collection is due before memory is asked for.
func (c *Cache) take(size int64) (b Block, due, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok = c.free.take(size); ok {
		c.inUse += b.Size
		return b, false, true
	}
	return Block{}, c.inUse+size > c.paceAt, false
}

func (c *Cache) takeAfterCollection(size int64) (Block, bool) {
	c.collect()
	c.mu.Lock()
	c.paceAt = c.inUse + size + min(max(c.inUse, leastGrowth), mostGrowth)
	c.mu.Unlock()
	b, _, ok := c.take(size)
	return b, ok
}

func (c *Cache) allocate(size int64) (Block, error) {
	address, err := c.source.Allocate(size)
	if err != nil {
		return Block{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse += size
	return Block{address, size}, nil
}
