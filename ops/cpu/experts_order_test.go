package cpu

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// orderCases are routings in which the second product's tasks wait for each other's experts in every way.
var orderCases = map[string]expertsCase{
	"one token":       {1, 8, 16, 1, 131, 67, func(_, k int) int { return (5 * k) % 16 }},
	"one expert":      {90, 1, 1, 1, 64, 160, func(int, int) int { return 0 }},
	"a hot expert":    {60, 2, 9, 1, 64, 96, func(t, k int) int { return k * (1 + t%8) }},
	"empty experts":   {40, 2, 64, 8, 48, 64, func(t, k int) int { return 7 + 20*((t+k)%3) }},
	"128 of a few":    {64, 4, 128, 1, 33, 40, func(t, k int) int { return (7*t + 31*k) % 128 }},
	"nothing is here": {5, 2, 4, 1, 33, 40, func(int, int) int { return -1 }},
}

// TestFusedExpertsWaitForTheirExpert computes two inputs in turns, so that rows of the product before, were they read too early, are
// those of the other one, and compares the bits with those of one worker.
func TestFusedExpertsWaitForTheirExpert(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for name, c := range orderCases {
		for _, kind := range weightKinds {
			if testing.Short() && kind != weightKinds[0] && kind != weightKinds[3] {
				continue
			}
			in := c.operands(t, rand.New(rand.NewPCG(23, 24)), tensor.Float32, kind)
			xs := [2]backend.Value{in[0], c.operands(t, rand.New(rand.NewPCG(25, 26)), tensor.Float32, weightKinds[0])[0]}
			for _, b := range expertsBackends(kind) {
				if testing.Short() && inGo(b) {
					continue
				}
				experts := func(x backend.Value) []byte {
					y := poisoned(t, tensor.Float32, c.tokens, c.h)
					if err := b.(backend.Experts).Experts(y, x, in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
						t.Fatal(err)
					}
					return bytesIn(t, y)
				}
				runtime.GOMAXPROCS(1)
				want := [2][]byte{experts(xs[0]), experts(xs[1])}
				for _, procs := range []int{2, 8} {
					runtime.GOMAXPROCS(procs)
					for i := range 6 {
						if !bytes.Equal(experts(xs[i%2]), want[i%2]) {
							t.Fatalf("%s, %v, %s, GOMAXPROCS = %d: other bits in run %d", name, kind, b.Name(), procs, i)
						}
					}
				}
			}
		}
	}
}

// TestFusedExpertsPanic has a kernel that panics, be it in the first product or in the second: the panic is the caller's, whatever waits
// for the iteration does not hang, and the next call computes what it should.
func TestFusedExpertsPanic(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var calls, panicAt atomic.Int64
	k := goKernels
	k.tileF32 = func(a *uint32, lda int, b *uint32, c *float32, ldc, steps, rows, cols, add int, next *uint32, apart, ahead int) {
		if calls.Add(1) == panicAt.Load() {
			panic("broken")
		}
		goTileF32(a, lda, b, c, ldc, steps, rows, cols, add, next, apart, ahead)
	}
	s := simd{"cpu/kernels in go that panic", &k, 0}
	c := expertsCase{80, 1, 4, 1, 9, 150, func(t, _ int) int { return t % 4 }}
	in := c.operands(t, rand.New(rand.NewPCG(27, 28)), tensor.Float32, weightKinds[0])
	experts := func(at int64) (y []byte, r any) {
		calls.Store(0)
		panicAt.Store(at)
		defer func() { r = recover() }()
		out := poisoned(t, tensor.Float32, c.tokens, c.h)
		if err := s.Experts(out, in[0], in[1], in[2].(*backend.Plan), in[3], in[4]); err != nil {
			t.Error(err)
		}
		return bytesIn(t, out), nil
	}
	want, _ := experts(0)
	all := calls.Load()
	if all < 20 {
		t.Fatalf("%d calls of the kernel", all)
	}
	for _, procs := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(procs)
		for at := int64(1); at <= all; at += max(1, all/23) {
			within(t, fmt.Sprintf("GOMAXPROCS = %d, a panic in call %d of %d", procs, at, all), func() {
				if _, r := experts(at); r != "broken" {
					t.Errorf("GOMAXPROCS = %d, call %d of %d: the caller's panic is %v", procs, at, all, r)
				}
				if y, r := experts(0); r != nil || !bytes.Equal(y, want) {
					t.Errorf("GOMAXPROCS = %d: after a panic in call %d another result, or panic %v", procs, at, r)
				}
			})
		}
	}
}

// within calls f and gives it ten seconds.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: no end", what)
	}
}

// TestCountdown lets iterations wait that come while the others take less and more time than a wait stays awake.
func TestCountdown(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, takes := range []time.Duration{0, wakeTime / 2, 20 * wakeTime} {
		for range 20 {
			var c countdown
			var made, finished atomic.Int64
			for range 3 {
				c.expect()
			}
			parallel(12, func(i int) {
				if i < 3 {
					defer c.done(func() {
						if made.Load() != 3 {
							t.Errorf("finished after %d of 3", made.Load())
						}
						time.Sleep(takes)
						finished.Add(1)
					})
					time.Sleep(takes)
					made.Add(1)
					return
				}
				c.wait()
				if finished.Load() != 1 {
					t.Error("a wait ended before what it waits for")
				}
			})
		}
	}
}
