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
// counted.
type ceilings struct {
	fmaOne, fma, read, copied *record
	memory                    []byte // that was read and copied
}

// records are all of them, in the order of a report.
func (c *ceilings) records() []*record { return []*record{c.fmaOne, c.fma, c.read, c.copied} }

func (o *options) measureCeilings(size int) (*ceilings, error) {
	var c ceilings
	var err error
	if c.fmaOne, err = o.ceilingFMA("ceiling-fma-one", 1); err != nil {
		return nil, err
	}
	if c.fma, err = o.ceilingFMA("ceiling-fma", runtime.GOMAXPROCS(0)); err != nil {
		return nil, err
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

// ceilingFMA times multiply-adds on the vectors of the variant that comes first.
func (o *options) ceilingFMA(name string, cpus int) (*record, error) {
	run, flops := multiplyAdds(cpus)
	r, err := o.ceiling(name, run)
	if err != nil {
		return nil, err
	}
	r.Shape, r.CPUs, r.Variant = "registers", cpus, first()
	r.GFLOPS = flops / r.NS
	return r, nil
}

// first is the name of the CPU's variant that comes first.
func first() string { return backend.Backends("cpu")[0].Name() }

// multiplyAdds is a run of that variant's loop of multiply-adds on some CPUs at once, and the operations that it does.
func multiplyAdds(cpus int) (run func() error, flops float64) {
	const rounds = 1 << 22 // some milliseconds, of which starting on all CPUs is little
	loop := peak.For(first())
	return func() error { return onCPUs(cpus, func(int) { loop.Run(rounds) }) }, float64(cpus) * rounds * float64(loop.Flops)
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
