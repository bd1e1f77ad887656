//go:build cu && linux && cgo

package cuda

import (
	"fmt"
	"testing"
	"time"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/layers"
	"github.com/gorgonia/moe/ops"
	"github.com/gorgonia/moe/ops/backend"
)

// queueDepth is how many launches a benchmark queues before it waits, fewer than make the driver wait.
const queueDepth = 512

func benchOperands(b *testing.B) (d *Device, out, x backend.Value) {
	d = testDevice(b)
	out, x = must(d.New(tensor.Float32, tensor.Shape{8}))(b), must(d.New(tensor.Float32, tensor.Shape{8}))(b)
	return d, out, x
}

func benchQueue(b *testing.B, d *Device, f func() error) {
	for range 128 * queueDepth { // until results come from the cache, which garbage fills
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Sync(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := f(); err != nil {
			b.Fatal(err)
		}
		if i%queueDepth == queueDepth-1 {
			b.StopTimer()
			if err := d.Sync(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	}
}

// BenchmarkStage is the host's cost of one stage, its launch included.
func BenchmarkStage(b *testing.B) {
	d, out, x := benchOperands(b)
	benchQueue(b, d, func() error { return Portable{}.Add(out, x, x) })
}

// BenchmarkOp is the same through an op, which allocates its result.
func BenchmarkOp(b *testing.B) {
	d, _, x := benchOperands(b)
	benchQueue(b, d, func() error { _, err := ops.EvalAdd(x, x); return err })
}

// BenchmarkTapeMachine is the host's cost of an op in a graph that Gorgonia runs. A run has a cost of its own, that of handing
// it to another thread and back.
func BenchmarkTapeMachine(b *testing.B) {
	for _, count := range []int{100, 1000} {
		b.Run(fmt.Sprint(count, " ops"), func(b *testing.B) {
			d, _, x := benchOperands(b)
			g := gorgonia.NewGraph()
			y := gorgonia.NewVector(g, tensor.Float32, gorgonia.WithName("x"), gorgonia.WithShape(8), gorgonia.WithValue(x))
			first := y
			for range count {
				y = must(ops.Add(y, first))(b)
			}
			machine := gorgonia.NewTapeMachine(g)
			defer machine.Close()
			took := hostTime(b, d, machine)
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*count), "ns/op-of-graph")
		})
	}
}

// hostTime runs a machine again and again, waits for the device after each run and gives the time that the runs took without
// that. (Stopping the benchmark's clock would stop the world and with it the runs' caches.)
func hostTime(b *testing.B, d *Device, machine gorgonia.VM) (took time.Duration) {
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if err := machine.RunAll(); err != nil {
			b.Fatal(err)
		}
		took += time.Since(start)
		machine.Reset()
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return took
}

// BenchmarkLayer is the host's cost of a layer of small weights, from router to sum, with a node for each stage.
func BenchmarkLayer(b *testing.B) {
	d := testDevice(b)
	l, x := newLayer(b, layers.FusionNone)
	m := must(newTaped(must(l.To(d))(b), must(d.Upload(x))(b)))(b)
	defer m.Close()
	took := hostTime(b, d, m)
	b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "host-ns/run")
}

// BenchmarkReplay is the cost of one kernel of a replayed graph of 1000, on the GPU's clock as on the host's.
func BenchmarkReplay(b *testing.B) {
	d, out, x := benchOperands(b)
	const kernels = 1000
	g := must(Capture(d, func() error {
		for range kernels {
			if err := (Portable{}).Add(out, x, x); err != nil {
				return err
			}
		}
		return nil
	}))(b)
	defer g.Close()
	for b.Loop() {
		if err := g.Replay(); err != nil {
			b.Fatal(err)
		}
		if err := d.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*kernels), "ns/kernel")
}

// BenchmarkLoad is what Open does for the kernels: find the code, load it, look the kernels up.
func BenchmarkLoad(b *testing.B) {
	d := testDevice(b)
	for b.Loop() {
		fresh := &Device{major: d.major, minor: d.minor}
		if err := d.do("load", func() error { return fresh.loadKernels(binaries) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransfer(b *testing.B) {
	d := testDevice(b)
	const size = 256 << 20
	host := must(backend.Host.New(tensor.Byte, tensor.Shape{size}))(b).(*tensor.Dense)
	a := must(d.Upload(host))(b).(*Array)
	b.Run("Upload", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := a.CopyFrom(host); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Download", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := a.CopyTo(host); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Sync", func(b *testing.B) {
		for b.Loop() {
			if err := d.Sync(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
