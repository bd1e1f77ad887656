package cpu

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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

// TestParallelWithinAndOutsideOfWakeTime has loops that find workers awake, about to sleep and asleep, from one and from several
// goroutines, with more and with fewer processors.
func TestParallelWithinAndOutsideOfWakeTime(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, procs := range []int{2, 3, 16} {
		runtime.GOMAXPROCS(procs)
		for _, callers := range []int{1, 5} {
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for i := range 200 {
						if wait := time.Duration(i%8) * wakeTime / 4; wait > 0 {
							time.Sleep(wait)
						}
						n := 1 + i%9
						var sum atomic.Int64
						parallel(n, func(i int) {
							runtime.Gosched() // lets others come in late
							sum.Add(int64(i) + 1)
						})
						if got, want := sum.Load(), int64(n*(n+1)/2); got != want {
							t.Errorf("%d processors: a loop of %d sums to %d, want %d", procs, n, got, want)
						}
					}
				})
			}
			wg.Wait()
		}
	}
}

// TestWorkersHelpAndSleep: of two iterations that wait for each other one is a worker's, and without loops all workers sleep.
func TestWorkersHelpAndSleep(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for range 50 {
		var there atomic.Int64
		deadline := time.Now().Add(10 * time.Second)
		for there.Load() < 2 && time.Now().Before(deadline) { // a worker may come when the loop is over
			there.Store(0)
			parallel(2, func(int) {
				there.Add(1)
				for start := time.Now(); there.Load() < 2 && time.Since(start) < time.Millisecond; {
					runtime.Gosched()
				}
			})
		}
		if there.Load() < 2 {
			t.Fatal("no worker helped")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); pool.awake.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d workers stay awake without a loop", pool.awake.Load())
		}
	}
}

// TestLateWorkersHelp begins a loop while all workers are in another: once that is over, they come.
func TestLateWorkersHelp(t *testing.T) {
	procs := int(pool.started.Load()) + 2
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
	within := func(c <-chan struct{}, what string) {
		select {
		case <-c:
		case <-time.After(10 * time.Second):
			t.Error(what)
		}
	}
	for range 20 {
		entered, release, both := make(chan struct{}, procs), make(chan struct{}), make(chan struct{})
		var loops sync.WaitGroup
		loops.Go(func() {
			parallel(procs, func(int) {
				entered <- struct{}{}
				<-release
			})
		})
		for range procs {
			within(entered, "not all workers help with a loop that needs all")
		}
		var there atomic.Int64
		loops.Go(func() {
			parallel(2, func(int) {
				if there.Add(1) == 2 {
					close(both)
				}
				within(both, "nobody helps with a loop that began while all were busy")
			})
		})
		for there.Load() == 0 {
			runtime.Gosched()
		}
		close(release)
		loops.Wait()
		if t.Failed() {
			return
		}
	}
}

// TestLoopsDoNotPileUpGoroutines has loops that ask for workers for which there is no processor: the goroutines that make way for these
// are as few.
func TestLoopsDoNotPileUpGoroutines(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	parallel(2, func(int) {})
	before := runtime.NumGoroutine()
	var stop atomic.Bool
	defer stop.Store(true)
	go func() {
		for !stop.Load() {
			pause()
		}
	}()
	most := 0
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		parallel(2, func(int) {})
		most = max(most, runtime.NumGoroutine()-before)
	}
	// One for each time that the worker is woken would be some hundred where the machine is busy, one for each loop many thousand.
	if t.Logf("%d more goroutines at most", most); most > 1000 {
		t.Errorf("%d more goroutines during loops, want few", most)
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

// BenchmarkParallel times loops whose iterations would take 100 µs on workers that are all there from the beginning, after pauses in
// which these stay awake and in which they fall asleep. late-ns/op is what a loop takes beyond that.
func BenchmarkParallel(b *testing.B) {
	const each, iteration = 20, 5 * time.Microsecond
	busy := func(d time.Duration) {
		for start := time.Now(); time.Since(start) < d; {
			pause()
		}
	}
	n := each * runtime.GOMAXPROCS(0)
	for _, between := range []time.Duration{0, 5 * wakeTime} {
		b.Run(fmt.Sprintf("after %v", between), func(b *testing.B) {
			var late time.Duration
			for b.Loop() {
				busy(between)
				start := time.Now()
				parallel(n, func(int) { busy(iteration) })
				late += time.Since(start) - each*iteration
			}
			b.ReportMetric(float64(late.Nanoseconds())/float64(b.N), "late-ns/op")
		})
	}
}
