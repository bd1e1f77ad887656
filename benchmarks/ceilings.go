package main

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
)

// ceilingBytes is the memory that ceilings are measured over, far more than any cache.
const ceilingBytes = 2 << 30

// measureCeilings measures how fast all CPUs read memory and how fast they copy it, read and written bytes counted.
func (o *options) measureCeilings(size int) (read, copied *record, err error) {
	memory := make([]byte, size)
	for i := range memory { // so that every page exists
		memory[i] = 1
	}
	read, err = o.ceiling("ceiling-read", memory, func(part []byte) error {
		if bytes.IndexByte(part, 0) >= 0 {
			return errors.New("the memory has changed")
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	copied, err = o.ceiling("ceiling-copy", memory, func(part []byte) error {
		copy(part[:len(part)/2], part[len(part)/2:])
		return nil
	})
	return read, copied, err
}

// ceiling times work over the memory, a part for each CPU.
func (o *options) ceiling(name string, memory []byte, work func(part []byte) error) (*record, error) {
	cpus := runtime.GOMAXPROCS(0)
	errs := make([]error, cpus)
	run := func() error {
		var parts sync.WaitGroup
		for i := range cpus {
			parts.Go(func() { errs[i] = work(memory[i*len(memory)/cpus : (i+1)*len(memory)/cpus]) })
		}
		parts.Wait()
		return errors.Join(errs...)
	}
	t, err := measure(run, func() error { return nil }, o.budget)
	if err != nil {
		return nil, err
	}
	r := newRecord(t)
	r.Work, r.Shape, r.Dtype, r.Backend, r.Variant = name, "memory", "-", "cpu", "go"
	r.GBS = float64(len(memory)) / t.median
	return r, nil
}
