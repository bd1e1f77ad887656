package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestParallelVisitsEachIndexOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000} {
		seen := make([]atomic.Int32, n)
		parallel(n, func(i int) { seen[i].Add(1) })
		for i := range seen {
			if c := seen[i].Load(); c != 1 {
				t.Fatalf("n=%d: index %d was visited %d times", n, i, c)
			}
		}
	}
}

func TestParallelNestedAndConcurrent(t *testing.T) {
	var sum atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			parallel(8, func(i int) {
				parallel(8, func(j int) { sum.Add(int64(i*8 + j)) })
			})
		})
	}
	wg.Wait()
	if got, want := sum.Load(), int64(16*64*63/2); got != want {
		t.Fatalf("sum over all loops = %d, want %d", got, want)
	}
}

func TestSplitCoversRange(t *testing.T) {
	for _, n := range []int{0, 1, 7, 100, 12345} {
		for _, grain := range []int{0, 1, 10, 1 << 20} {
			seen := make([]atomic.Int32, n)
			split(n, grain, func(lo, hi int) {
				for i := lo; i < hi; i++ {
					seen[i].Add(1)
				}
			})
			for i := range seen {
				if seen[i].Load() != 1 {
					t.Fatalf("n=%d grain=%d: index %d was visited %d times", n, grain, i, seen[i].Load())
				}
			}
		}
	}
}

func TestPanicOfAWorkerIsTheCallers(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for range 100 {
		got := func() (r any) {
			defer func() { r = recover() }()
			parallel(8, func(int) {
				runtime.Gosched() // lets workers take part
				panic("broken")
			})
			return nil
		}()
		if got != "broken" {
			t.Fatalf("the caller's panic is %v", got)
		}
		var sum atomic.Int64 // the pool goes on
		parallel(100, func(i int) { sum.Add(int64(i)) })
		if sum.Load() != 4950 {
			t.Fatalf("the loop after it: sum %d, want 4950", sum.Load())
		}
	}
}
