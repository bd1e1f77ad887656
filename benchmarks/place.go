package main

import (
	"errors"
	"math"
	"time"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda"
)

// place is a kind of device that -backend names.
type place struct {
	kind string
	open func() (backend.Device, error)
	// cache is the size in bytes of a cache that repeated runs over one set of operands would measure: a case is set up as
	// often as it takes to move twice as much. 0 if one set will do.
	cache float64
}

var places = append([]place{
	{kind: "cpu", open: func() (backend.Device, error) { return backend.Host, nil }},
}, gpus()...)

// gpus is the first GPU in a program that is built for one.
func gpus() []place {
	if _, err := cuda.Count(); errors.Is(err, cuda.ErrNotBuilt) {
		return nil
	}
	return []place{{kind: "cuda", open: func() (backend.Device, error) { return cuda.Open(0) }, cache: 64 << 20}}
}

const maxSets = 64

// sets is the number of sets of operands for a case that moves so many bytes, so that no run finds its operands in a cache of that size.
func sets(cache, bytes float64) int {
	return int(max(1, min(maxSets, math.Ceil(2*cache/max(bytes, 1)))))
}

// timingOn times one run, the mean over runs, each of which has operands of its own.
func timingOn(d backend.Device, runs []func() error, budget time.Duration) (timing, error) {
	all := func() error {
		for _, run := range runs {
			if err := run(); err != nil {
				return err
			}
		}
		return nil
	}
	gpu, ok := d.(*cuda.Device)
	if !ok {
		t, err := measure(all, d.Sync, budget)
		return t.over(len(runs)), err
	}
	for once := runs; len(runs) < leastCaptured; {
		runs = append(runs[:len(runs):len(runs)], once...)
	}
	t, err := timingOnGPU(gpu, all, budget)
	return t.over(len(runs)), err
}

// leastCaptured is the number of runs in a graph at least: replaying one costs some microseconds whatever is in it.
const leastCaptured = 24

// timingOnGPU times all by the device's clock, as a captured graph where it can be captured: that is what the device takes,
// without the host's share.
func timingOnGPU(d *cuda.Device, all func() error, budget time.Duration) (timing, error) {
	if err := errors.Join(all(), d.Sync()); err != nil { // outputs are allocated and tables copied by the first run
		return timing{}, err
	}
	replay := all
	graph, err := cuda.Capture(d, all)
	switch {
	case err == nil:
		defer graph.Close()
		replay = graph.Replay
	case !errors.Is(err, cuda.ErrCapturing):
		return timing{}, err
	}
	return take(func(runs int) (time.Duration, error) {
		return d.Time(func() error {
			for range runs {
				if err := replay(); err != nil {
					return err
				}
			}
			return nil
		})
	}, budget)
}
