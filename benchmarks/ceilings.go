package main

import (
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/gorgonia/moe/internal/hugepages"
	"github.com/gorgonia/moe/internal/peak"
	"github.com/gorgonia/moe/ops/backend"
)

// ceilingBytes is the memory that ceilings are measured over, far more than any cache.
const ceilingBytes = 2 << 30

// ceilings are what one CPU and all CPUs can do: multiply-adds on registers, and reading and copying memory, read and written bytes
// counted. tiles is nil where there are none.
type ceilings struct {
	fmaOne, fma, tiles, read, copied *record
	memory                           []byte // that was read and copied
}

// records are all of them, in the order of a report.
func (c *ceilings) records() []*record {
	list := []*record{c.fmaOne, c.fma, c.tiles, c.read, c.copied}
	return slices.DeleteFunc(list, func(r *record) bool { return r == nil })
}

func (o *options) measureCeilings(size int) (*ceilings, error) {
	var c ceilings
	var err error
	cpus := runtime.GOMAXPROCS(0)
	if c.fmaOne, err = o.ceilingLoop("ceiling-fma-one", multiplyAdds(1)); err != nil {
		return nil, err
	}
	if c.fma, err = o.ceilingLoop("ceiling-fma", multiplyAdds(cpus)); err != nil {
		return nil, err
	}
	if loop, ok := tileProducts(cpus); ok {
		if c.tiles, err = o.ceilingLoop("ceiling-tiles", loop); err != nil {
			return nil, err
		}
	}
	c.memory = make([]byte, size)
	hugepages.Want(c.memory)
	for i := range c.memory { // so that every page exists
		c.memory[i] = 1
	}
	if c.read, err = o.ceilingMemory("ceiling-read", first(), c.memory, func(part []byte) { peak.Read(first(), part) }); err != nil {
		return nil, err
	}
	c.copied, err = o.ceilingMemory("ceiling-copy", "go", c.memory, func(part []byte) { copy(part[:len(part)/2], part[len(part)/2:]) })
	return &c, err
}

// arithmetic is the ceiling of a case's operations, and its loop.
func (c *ceilings) arithmetic(r *record) (*record, loop) {
	if c.tiles != nil && r.Activations == "bf16" && r.Dtype == "bf16" {
		l, _ := tileProducts(r.CPUs)
		return c.tiles, l
	}
	return c.fma, multiplyAdds(r.CPUs)
}

// loop is a loop on registers that runs on some CPUs at once, for some milliseconds, of which starting on all of them is little.
type loop struct {
	peak.Loop
	rounds, cpus int
}

// multiplyAdds is that of the CPU's variant that comes first, on its vectors.
func multiplyAdds(cpus int) loop { return loop{peak.For(first()), 1 << 22, cpus} }

// tileProducts is that variant's loop on tiles, if it has one.
func tileProducts(cpus int) (loop, bool) {
	l, ok := peak.Tiles(first())
	return loop{l, 1 << 18, cpus}, ok
}

// first is the name of the CPU's variant that comes first.
func first() string { return backend.Backends("cpu")[0].Name() }

func (l loop) run() error { return onCPUs(l.cpus, func(int) { l.Run(l.rounds) }) }

// flops are the operations of a run.
func (l loop) flops() float64 { return float64(l.cpus) * float64(l.rounds) * float64(l.Flops) }

// ceilingLoop times a loop.
func (o *options) ceilingLoop(name string, l loop) (*record, error) {
	r, err := o.ceiling(name, l.run)
	if err != nil {
		return nil, err
	}
	r.Shape, r.CPUs, r.Variant = "registers", l.cpus, first()
	r.GFLOPS = l.flops() / r.NS
	return r, nil
}

// ceilingMemory times work over the memory, a part for each CPU.
func (o *options) ceilingMemory(name, variant string, memory []byte, work func(part []byte)) (*record, error) {
	cpus := runtime.GOMAXPROCS(0)
	part := func(i int) { work(memory[i*len(memory)/cpus : (i+1)*len(memory)/cpus]) }
	r, err := o.ceiling(name, func() error { return onCPUs(cpus, part) })
	if err != nil {
		return nil, err
	}
	r.Shape, r.Variant = "memory", variant
	r.GBS = float64(len(memory)) / r.NS
	return r, nil
}

// ceiling times a run.
func (o *options) ceiling(name string, run func() error) (*record, error) {
	time.Sleep(o.pause)
	t, err := measure(run, func() error { return nil }, o.budget)
	if err != nil {
		return nil, err
	}
	r := newRecord(t)
	r.Work, r.Dtype, r.Backend = name, "-", "cpu"
	return r, nil
}

// onCPUs does work for 0 … cpus−1 at once. Its error is always nil.
func onCPUs(cpus int, work func(i int)) error {
	var parts sync.WaitGroup
	for i := range cpus {
		parts.Go(func() { work(i) })
	}
	parts.Wait()
	return nil
}
