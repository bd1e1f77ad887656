//go:build cu && linux && cgo

package cuda

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops/backend"
)

// newLayer makes a small layer on the host and tokens for it.
func newLayer(t testing.TB, fusion layers.Fusion) (*layers.MoE, *tensor.Dense) {
	t.Helper()
	const tokens, hidden, width, count = 16, 64, 48, 8
	rng := rand.New(rand.NewPCG(20, 21))
	experts := make([]layers.Expert, count)
	for e := range experts {
		experts[e] = layers.Expert{W1: normals(rng, width, hidden), W3: normals(rng, width, hidden), W2: normals(rng, hidden, width)}
	}
	config := layers.MoEConfig{Name: "moe", TopK: 2, Align: 8, Fusion: fusion}
	return must(layers.NewMoE(config, normals(rng, count, hidden), experts))(t), normals(rng, tokens, hidden)
}

// taped is a layer in a graph of its own.
type taped struct {
	gorgonia.VM
	y *gorgonia.Node
}

func newTaped(l *layers.MoE, x backend.Value) (m taped, err error) {
	g := gorgonia.NewGraph()
	in, err := layers.Input(g, "x", x)
	if err != nil {
		return m, err
	}
	if m.y, err = l.Fwd(in); err != nil {
		return m, err
	}
	m.VM = gorgonia.NewTapeMachine(g)
	return m, nil
}

func (m taped) run() error {
	m.Reset()
	return m.RunAll()
}

// footprint is what the process holds when nothing is under way.
type footprint struct {
	inUse, taken   int64 // of the device's memory
	heap, resident int64 // of the host's
	goroutines     int
}

func takeFootprint(t testing.TB, d *Device) (f footprint) {
	t.Helper()
	for range 3 { // what an unreachable value kept is found at the next collection
		if err := errors.Join(d.Sync(), d.Trim()); err != nil {
			t.Fatal(err)
		}
	}
	m := must(d.Memory())(t)
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	statm := strings.Fields(string(must(os.ReadFile("/proc/self/statm"))(t)))
	pages := must(strconv.ParseInt(statm[1], 10, 64))(t)
	return footprint{m.InUse, m.Total - m.Free, int64(heap.HeapAlloc), pages * int64(os.Getpagesize()), runtime.NumGoroutine()}
}

// wantNoMore fails if f is more than before, a leak of a hundred bytes a run of thousands being more.
func (f footprint) wantNoMore(t testing.TB, before footprint) {
	t.Helper()
	const little, some = 512 << 10, 32 << 20 // the latter for what the driver and the runtime keep
	if f.inUse > before.inUse+little || f.taken > before.taken+some || f.heap > before.heap+little || f.resident > before.resident+some {
		t.Errorf("footprint %+v, before %+v", f, before)
	}
}

// TestLayerRunsKeepMemoryFlat runs a layer ten thousand times.
func TestLayerRunsKeepMemoryFlat(t *testing.T) {
	d := testDevice(t)
	for name, fusion := range map[string]layers.Fusion{"stages": layers.FusionNone, "whole": layers.FusionWhole} {
		t.Run(name, func(t *testing.T) {
			l, x := newLayer(t, fusion)
			m := must(newTaped(must(l.To(d))(t), must(d.Upload(x))(t)))(t)
			defer m.Close()
			run := func(n int) footprint {
				for range n {
					if err := m.run(); err != nil {
						t.Fatal(err)
					}
				}
				return takeFootprint(t, d)
			}
			before := run(1000)
			run(10000).wantNoMore(t, before)
		})
	}
}

// TestLayerMakesItsTablesOnce wants no run after the first to make a table of a stack of weights, so that it can be captured.
func TestLayerMakesItsTablesOnce(t *testing.T) {
	d := testDevice(t)
	d.collectGarbage()
	before := tables(d)
	l, x := newLayer(t, layers.FusionNone)
	m := must(newTaped(must(l.To(d))(t), must(d.Upload(x))(t)))(t)
	defer m.Close()
	if err := errors.Join(m.run(), m.run()); err != nil {
		t.Fatal(err)
	}
	if n := tables(d) - before; n != 2 {
		t.Errorf("%d tables for the two weights", n)
	}
	g := must(Capture(d, m.run))(t)
	defer g.Close()
	if err := errors.Join(g.Replay(), d.Sync()); err != nil {
		t.Error(err)
	}
	runtime.KeepAlive(l)
}

// TestManyGoroutinesShareALayer has 64 goroutines run one layer, each in a graph of its own.
func TestManyGoroutinesShareALayer(t *testing.T) {
	d := computingDevice(t)
	host, tokens := newLayer(t, layers.FusionAuto)
	l, x := must(host.To(d))(t), must(d.Upload(tokens))(t)
	alone := must(newTaped(l, x))(t)
	cpu := must(newTaped(host, tokens))(t)
	if err := errors.Join(alone.run(), cpu.run()); err != nil {
		t.Fatal(err)
	}
	want := must(d.Download(alone.y.Value()))(t)
	for i, y := range cpu.y.Value().Data().([]float32) {
		if got := want.Data().([]float32)[i]; !(math.Abs(float64(got-y)) <= 0.02*(1+math.Abs(float64(y)))) {
			t.Fatalf("y[%d] = %v, on the CPU %v", i, got, y)
		}
	}
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			m, err := newTaped(l, x)
			for range 20 {
				if err == nil {
					err = m.run()
				}
				if err != nil {
					t.Error(err)
					return
				}
				got, err := d.Download(m.y.Value())
				if err != nil {
					t.Error(err)
					return
				}
				if !sameBytes(got, want) {
					t.Error("a goroutine's result differs from that of one alone")
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestRunsEndedByAContextLeaveNothing cancels a context in the middle of many runs of many goroutines.
func TestRunsEndedByAContextLeaveNothing(t *testing.T) {
	d := testDevice(t)
	rounds := func() {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		host, tokens := newLayer(t, layers.FusionAuto)
		l, x := must(host.To(d))(t), must(d.Upload(tokens))(t)
		var wg sync.WaitGroup
		var runs atomic.Int64
		for range 8 {
			wg.Go(func() {
				m, err := newTaped(l, x)
				for err == nil && ctx.Err() == nil {
					err = m.run()
					if runs.Add(1) == 500 {
						cancel()
					}
				}
				if err := errors.Join(err, m.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := d.SyncContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("waiting for runs that were left: %v", err)
		}
	}
	rounds()
	before := takeFootprint(t, d)
	for range 4 {
		rounds()
	}
	after := takeFootprint(t, d)
	after.wantNoMore(t, before)
	for end := time.Now().Add(5 * time.Second); after.goroutines > before.goroutines && time.Now().Before(end); time.Sleep(time.Millisecond) {
		after.goroutines = runtime.NumGoroutine()
	}
	if after.goroutines > before.goroutines {
		t.Errorf("%d goroutines, before %d", after.goroutines, before.goroutines)
	}
}
