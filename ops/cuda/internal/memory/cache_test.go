package memory

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
)

// arena is a source of a bounded size that checks what it gets back.
type arena struct {
	mu        sync.Mutex
	capacity  int64
	used      int64
	next      uintptr
	live      map[uintptr]int64
	allocated int
	t         *testing.T
}

func newArena(t *testing.T, capacity int64) *arena {
	return &arena{capacity: capacity, next: 1 << 20, live: make(map[uintptr]int64), t: t}
}

func (a *arena) Allocate(n int64) (uintptr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.used+n > a.capacity {
		return 0, ErrFull
	}
	a.used += n
	a.allocated++
	address := a.next
	a.next += uintptr(n)
	a.live[address] = n
	return address, nil
}

func (a *arena) Free(blocks []Block) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range blocks {
		if a.live[b.Address] != b.Size {
			a.t.Errorf("block %v given back, %d bytes are allocated there", b, a.live[b.Address])
		}
		delete(a.live, b.Address)
		a.used -= b.Size
	}
	return nil
}

func TestRound(t *testing.T) {
	for _, n := range []int64{1, 511, 512, 513, 576, 577, 1023, 1024, 1025, 4097, 1 << 20, 1<<20 + 1, largeFrom - 1, largeFrom, largeFrom + 1, 3 << 30} {
		size := round(n)
		if size < n || size > max(smallest, n+n/stepsPerDoubling+1) && size-n >= granule {
			t.Errorf("round(%d) = %d, want up to an eighth or a granule more", n, size)
		}
		if round(size) != size {
			t.Errorf("round(%d) = %d, and again %d", n, size, round(size))
		}
	}
}

func TestClassesAreOfOneSize(t *testing.T) {
	sizes := make(map[int]int64)
	for n := int64(1); n < largeFrom; n += 1 + n/64 {
		size := round(n)
		if size >= largeFrom {
			continue
		}
		class := classOf(size)
		if class < 0 || class >= classes {
			t.Fatalf("size %d is of class %d, want one in [0,%d)", size, class, classes)
		}
		if known, ok := sizes[class]; ok && known != size {
			t.Fatalf("sizes %d and %d are of class %d", known, size, class)
		}
		sizes[class] = size
	}
}

func TestBlocksAreReused(t *testing.T) {
	source := newArena(t, 1<<40)
	c := New(source, func() { t.Error("a collection without need") })
	for _, n := range []int64{1, 700, 1 << 20, 17 << 20} {
		first, err := c.Get(n)
		if err != nil {
			t.Fatal(err)
		}
		c.Put(first)
		second, err := c.Get(n)
		if err != nil {
			t.Fatal(err)
		}
		if first != second {
			t.Errorf("%d bytes: block %v after %v was free", n, second, first)
		}
	}
	if source.allocated != 4 {
		t.Errorf("%d allocations, want 4", source.allocated)
	}
}

func TestLargeBlocksFitClosely(t *testing.T) {
	c := New(newArena(t, 1<<40), func() {})
	for _, n := range []int64{32 << 20, 34 << 20, 64 << 20} {
		b, err := c.Get(n)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Put(b)
	}
	var blocks []Block
	for _, n := range []int64{64 << 20, 34 << 20, 32 << 20} {
		b, err := c.Get(n)
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		c.Put(b)
	}
	for _, want := range []struct{ ask, get int64 }{{33 << 20, 34 << 20}, {31 << 20, 32 << 20}, {48 << 20, 48 << 20}, {63 << 20, 64 << 20}} {
		b, err := c.Get(want.ask)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size != want.get {
			t.Errorf("a block of %d bytes for %d, want %d", b.Size, want.ask, want.get)
		}
	}
}

func TestFullSourceIsCollectedThenTrimmed(t *testing.T) {
	source := newArena(t, 50<<20)
	var unreachable []Block
	var c *Cache
	collections := 0
	c = New(source, func() {
		collections++
		for _, b := range unreachable {
			c.Put(b)
		}
		unreachable = nil
	})
	for range 3 {
		b, err := c.Get(16 << 20)
		if err != nil {
			t.Fatal(err)
		}
		unreachable = append(unreachable, b)
	}
	if _, err := c.Get(16 << 20); err != nil {
		t.Fatalf("after a collection there are free blocks of the size: %v", err)
	}
	if source.allocated != 3 || collections == 0 {
		t.Errorf("%d allocations and %d collections, want 3 and some", source.allocated, collections)
	}
	b, err := c.Get(32 << 20) // only if the two free blocks of 16 MiB go back
	if err != nil {
		t.Fatalf("after a trim there is room: %v", err)
	}
	if inUse, free := c.Usage(); inUse != 48<<20 || free != 0 || source.used != inUse {
		t.Errorf("%d bytes in use, %d free, %d taken, want %d, 0 and the same", inUse, free, source.used, 48<<20)
	}
	if _, err := c.Get(32 << 20); !errors.Is(err, ErrFull) {
		t.Errorf("error %v, want %v", err, ErrFull)
	}
	c.Put(b)
	if _, err := c.Get(32 << 20); err != nil {
		t.Errorf("an error leaves the cache unusable: %v", err)
	}
}

// TestGarbageIsBounded makes blocks that only a collection frees, as those of unreachable owners are.
func TestGarbageIsBounded(t *testing.T) {
	source := newArena(t, 1<<40)
	var unreachable []Block
	var c *Cache
	c = New(source, func() {
		for _, b := range unreachable {
			c.Put(b)
		}
		unreachable = nil
	})
	for range 10000 {
		b, err := c.Get(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		unreachable = append(unreachable, b)
	}
	if source.used > 4*leastGrowth {
		t.Errorf("%d bytes taken for garbage alone, want %d at most", source.used, 4*leastGrowth)
	}
}

func TestManyGoroutines(t *testing.T) {
	source := newArena(t, 1<<30)
	c := New(source, func() {})
	var mu sync.Mutex
	owned := make(map[uintptr]bool)
	var wg sync.WaitGroup
	for seed := range uint64(16) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			for range 500 {
				b, err := c.Get(1 + rng.Int64N(1<<rng.IntN(25)))
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if owned[b.Address] {
					t.Errorf("block %v was given to two", b)
				}
				owned[b.Address] = true
				mu.Unlock()
				if rng.IntN(50) == 0 {
					if err := c.Trim(); err != nil {
						t.Error(err)
					}
				}
				mu.Lock()
				delete(owned, b.Address)
				mu.Unlock()
				c.Put(b)
			}
		})
	}
	wg.Wait()
	if err := c.Trim(); err != nil {
		t.Fatal(err)
	}
	if inUse, free := c.Usage(); inUse != 0 || free != 0 || source.used != 0 {
		t.Errorf("%d bytes in use, %d free, %d taken at the end, want none", inUse, free, source.used)
	}
}
