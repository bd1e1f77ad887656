package main

import (
	"runtime"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/gorgonia/moe/internal/hugepages"
)

// copyWorks are copies of as many bytes as a work moves, which is what that work can reach at most.
var copyWorks = func() (list []work) {
	for _, w := range rowWorks {
		if !w.copies {
			continue
		}
		list = append(list, work{
			name: "copy-" + w.name, what: "a copy of as many bytes as " + w.name + " moves, half read and half written",
			peer: "copy", activations: plainDtypes,
			bytes: w.bytes,
			setup: func(p *problem) func() error { return p.copying(w.bytes) },
		})
	}
	return list
}()

// copying is a copy on the device that moves as many bytes as the formula says.
func (p *problem) copying(moved formula) func() error {
	bytes, err := moved.of(p.quantities())
	if err != nil {
		p.fail(err)
		return nil
	}
	n := max(int(bytes)/2, 1)
	if p.device.Kind() == "cpu" {
		return hostCopy(n)
	}
	from, to := made[gorgonia.Value](p)(p.device.New(tensor.Uint8, tensor.Shape{n})), made[gorgonia.Value](p)(p.device.New(tensor.Uint8, tensor.Shape{n}))
	return func() error { return from.(gorgonia.CopierTo).CopyTo(to) }
}

// hostCopy copies n bytes, a part on each CPU.
func hostCopy(n int) func() error {
	from, to := make([]byte, n), make([]byte, n)
	hugepages.Want(from)
	hugepages.Want(to)
	for i := range from { // so that every page exists
		from[i], to[i] = 1, 1
	}
	cpus := runtime.GOMAXPROCS(0)
	part := func(i int) { copy(to[i*n/cpus:(i+1)*n/cpus], from[i*n/cpus:]) }
	return func() error { return onCPUs(cpus, part) }
}
