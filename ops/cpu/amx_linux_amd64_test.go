package cpu

import (
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/ops/backend"
)

// amxVariant is the variant on tiles of AMX. Without one the test is skipped.
func amxVariant(t *testing.T) simd {
	t.Helper()
	return someVariants(t, func(k *kernels) bool { return k.pairs != nil })[0]
}

// TestTilesOfAMXRoundAsTheySay holds tiles of all sizes, on numbers whose sums are not exact, to the order of sums that their
// declaration names.
func TestTilesOfAMXRoundAsTheySay(t *testing.T) {
	k := amxVariant(t).k.pairs
	r := rand.New(rand.NewPCG(19, 20))
	pair := func() uint32 {
		return uint32(backend.ToBF16(float32(r.NormFloat64()))) | uint32(backend.ToBF16(float32(r.NormFloat64())))<<16
	}
	const rows, cols = 70, panelCols
	for _, steps := range []int{1, 15, 16, 17, 40, 64} {
		a, b := fill(make([]uint32, rows*steps), pair), fill(make([]uint32, steps*panelCols), pair)
		c := fill(make([]float32, rows*cols), func() float32 { return float32(r.NormFloat64()) })
		want := slices.Clone(c)
		for i := range want {
			for from := 0; from < steps; from += 16 {
				var first, second float32
				for s := from; s < min(from+16, steps); s++ {
					x, w := a[i/cols*steps+s], b[s*panelCols+i%cols]
					first += lower(x) * lower(w) // the products are exact
					second += upper(x) * upper(w)
				}
				want[i] += first + second
			}
		}
		for n := 1; n <= rows; n++ {
			for _, m := range []int{1, 16, 17, 32} {
				got := slices.Clone(c)
				k.tileDot(&a[0], 4*steps, &b[0], &got[0], 4*cols, steps, n, m, 1, &b[0], 0, 0)
				for i := range got {
					sum := c[i]
					if i/cols < n && i%cols < m {
						sum = want[i]
					}
					if got[i] != sum {
						t.Fatalf("%d steps, %d rows, %d columns: element %d is %v, want %v", steps, n, m, i, got[i], sum)
					}
				}
			}
		}
	}
}

// TestTilesSurviveInterruptions multiplies in many goroutines while others collect garbage and interrupt threads by signals, each of
// which has the kernel put a thread's tiles away and bring them back.
func TestTilesSurviveInterruptions(t *testing.T) {
	v := amxVariant(t)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2 * runtime.NumCPU()))
	const workers, rounds, rows, d, n = 8, 200, 45, 805, 300
	r := rand.New(rand.NewPCG(21, 22))
	x, _ := normals(t, r, backend.BFloat16, rows, d)
	w, _ := normals(t, r, backend.BFloat16, n, d)
	packed, err := v.PackWeight(w)
	if err != nil {
		t.Fatal(err)
	}
	want := filled(tensor.Float32, rows, n)
	if err := v.Linear(want, x, packed); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var disturbers, all sync.WaitGroup
	process, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	disturbers.Go(func() {
		for !done.Load() {
			runtime.GC()
		}
	})
	disturbers.Go(func() {
		for !done.Load() {
			if err := process.Signal(unix.SIGURG); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range workers {
		all.Go(func() {
			got := filled(tensor.Float32, rows, n)
			for range rounds {
				if err := v.Linear(got, x, packed); err != nil {
					t.Error(err)
					return
				}
				if !slices.Equal(got.Data().([]float32), want.Data().([]float32)) {
					t.Error("a product differs from itself")
					return
				}
			}
		})
	}
	all.Wait()
	done.Store(true)
	disturbers.Wait()
}
