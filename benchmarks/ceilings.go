package main

import (
	"bytes"
	"errors"
	"runtime"
	"sync"

	"github.com/gorgonia/moe/internal/peak"
	"github.com/gorgonia/moe/ops/backend"
)

// ceilingBytes is the memory that ceilings are measured over, far more than any cache.
const ceilingBytes = 2 << 30

// ceilings are what one CPU and all CPUs can do: multiply-adds on registers, and reading and copying memory, read and written bytes
// counted.
type ceilings struct{ fmaOne, fma, read, copied *record }

func (o *options) measureCeilings(size int) (c ceilings, err error) {
	if c.fmaOne, err = o.ceilingFMA("ceiling-fma-one", 1); err != nil {
		return c, err
	}
	if c.fma, err = o.ceilingFMA("ceiling-fma", runtime.GOMAXPROCS(0)); err != nil {
		return c, err
	}
	memory := make([]byte, size)
	for i := range memory { // so that every page exists
		memory[i] = 1
	}
	c.read, err = o.ceilingMemory("ceiling-read", memory, func(part []byte) error {
		if bytes.IndexByte(part, 0) >= 0 {
			return errors.New("the memory has changed")
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.copied, err = o.ceilingMemory("ceiling-copy", memory, func(part []byte) error {
		copy(part[:len(part)/2], part[len(part)/2:])
		return nil
	})
	return c, err
}

// ceilingFMA times multiply-adds on the vectors of the variant that comes first.
func (o *options) ceilingFMA(name string, cpus int) (*record, error) {
	const rounds = 1 << 18
	variant := backend.Backends("cpu")[0].Name()
	loop := peak.For(variant)
	r, err := o.ceiling(name, cpus, func(int) error {
		loop.Run(rounds)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Shape, r.CPUs, r.Variant = "registers", cpus, variant
	r.GFLOPS = float64(cpus) * rounds * float64(loop.Flops) / r.NS
	return r, nil
}

// ceilingMemory times work over the memory, a part for each CPU.
func (o *options) ceilingMemory(name string, memory []byte, work func(part []byte) error) (*record, error) {
	cpus := runtime.GOMAXPROCS(0)
	r, err := o.ceiling(name, cpus, func(i int) error { return work(memory[i*len(memory)/cpus : (i+1)*len(memory)/cpus]) })
	if err != nil {
		return nil, err
	}
	r.Shape, r.Variant = "memory", "go"
	r.GBS = float64(len(memory)) / r.NS
	return r, nil
}

// ceiling times work on some CPUs at once.
func (o *options) ceiling(name string, cpus int, work func(i int) error) (*record, error) {
	errs := make([]error, cpus)
	run := func() error {
		var parts sync.WaitGroup
		for i := range cpus {
			parts.Go(func() { errs[i] = work(i) })
		}
		parts.Wait()
		return errors.Join(errs...)
	}
	t, err := measure(run, func() error { return nil }, o.budget)
	if err != nil {
		return nil, err
	}
	r := newRecord(t)
	r.Work, r.Dtype, r.Backend = name, "-", "cpu"
	return r, nil
}
