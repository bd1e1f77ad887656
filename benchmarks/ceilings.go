package main

import (
	"runtime"
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
type ceilings struct{ fmaOne, fma, tiles, read, copied *record }

func (o *options) measureCeilings(size int) (c ceilings, err error) {
	variant := backend.Backends("cpu")[0].Name()
	loop, cpus := peak.For(variant), runtime.GOMAXPROCS(0)
	if c.fmaOne, err = o.ceilingLoop("ceiling-fma-one", variant, loop, 1); err != nil {
		return c, err
	}
	if c.fma, err = o.ceilingLoop("ceiling-fma", variant, loop, cpus); err != nil {
		return c, err
	}
	if loop, ok := peak.Tiles(variant); ok {
		if c.tiles, err = o.ceilingLoop("ceiling-tiles", variant, loop, cpus); err != nil {
			return c, err
		}
	}
	memory := make([]byte, size)
	hugepages.Want(memory)
	for i := range memory { // so that every page exists
		memory[i] = 1
	}
	c.read, err = o.ceilingMemory("ceiling-read", variant, memory, func(part []byte) { peak.Read(variant, part) })
	if err != nil {
		return c, err
	}
	c.copied, err = o.ceilingMemory("ceiling-copy", "go", memory, func(part []byte) { copy(part[:len(part)/2], part[len(part)/2:]) })
	return c, err
}

// ceilingLoop times a loop of a variant.
func (o *options) ceilingLoop(name, variant string, loop peak.Loop, cpus int) (*record, error) {
	const rounds = 1 << 18
	r, err := o.ceiling(name, cpus, func(int) { loop.Run(rounds) })
	if err != nil {
		return nil, err
	}
	r.Shape, r.CPUs, r.Variant = "registers", cpus, variant
	r.GFLOPS = float64(cpus) * rounds * float64(loop.Flops) / r.NS
	return r, nil
}

// ceilingMemory times work over the memory, a part for each CPU.
func (o *options) ceilingMemory(name, variant string, memory []byte, work func(part []byte)) (*record, error) {
	cpus := runtime.GOMAXPROCS(0)
	r, err := o.ceiling(name, cpus, func(i int) { work(memory[i*len(memory)/cpus : (i+1)*len(memory)/cpus]) })
	if err != nil {
		return nil, err
	}
	r.Shape, r.Variant = "memory", variant
	r.GBS = float64(len(memory)) / r.NS
	return r, nil
}

// ceiling times work on some CPUs at once.
func (o *options) ceiling(name string, cpus int, work func(i int)) (*record, error) {
	time.Sleep(o.pause)
	t, err := measure(func() error { return onCPUs(cpus, work) }, func() error { return nil }, o.budget)
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
