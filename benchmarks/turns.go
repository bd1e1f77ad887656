package main

import (
	"slices"
	"time"

	"github.com/gorgonia/moe/internal/peak"
)

const (
	minTurns = 7
	minTurn  = 5 * time.Millisecond // what takes less runs several times in a turn
)

// now is the clock of turns. Tests set another.
var now = time.Now

// turns runs a case and what it is held against one after the other, at least minTurns times and until the budget is spent: machines that
// are shared change their speed from second to second, for both alike. It gives the median over the case's turns of the time that one
// run of it would take at the ceiling's speed in the turns before and after, as a share of the time that it took. A turn of the ceiling
// is as long as one of the case, so that pauses fall into both. A run of the ceiling does part of a case's work.
func turns(run, ceiling func() error, part float64, budget time.Duration) (float64, error) {
	once, err := timed(run, 1)
	if err != nil {
		return 0, err
	}
	ceilingOnce, err := timed(ceiling, 1)
	if err != nil {
		return 0, err
	}
	runs := 1 + int(float64(minTurn)/once)
	ceilingRuns := max(1, int(float64(runs)*once/ceilingOnce+0.5))
	before, err := timed(ceiling, ceilingRuns)
	if err != nil {
		return 0, err
	}
	var shares []float64
	for start := now(); len(shares) < minTurns || now().Sub(start) < budget; {
		took, err := timed(run, runs)
		if err != nil {
			return 0, err
		}
		after, err := timed(ceiling, ceilingRuns)
		if err != nil {
			return 0, err
		}
		shares = append(shares, (before+after)/2/part/took)
		before = after
	}
	slices.Sort(shares)
	return median(shares), nil
}

// timed is the time of one of some runs in nanoseconds, at least 1.
func timed(run func() error, runs int) (float64, error) {
	start := now()
	for range runs {
		if err := run(); err != nil {
			return 0, err
		}
	}
	return max(1, float64(now().Sub(start))/float64(runs)), nil
}

// shares fills in the shares of ceilings that a case on CPUs has. That of the one which it is nearest to is taken in turns with it; a work
// that copies takes turns with a copy of as many bytes.
func (c *ceilings) shares(o *options, r *record, w *work, run func() error, flops, bytes float64) (err error) {
	if o.device.Kind() != "cpu" {
		return nil
	}
	arithmetic, loop := c.arithmetic(r)
	r.OfFMA, r.OfRead = r.GFLOPS/arithmetic.GFLOPS, r.GBS/c.read.GBS
	time.Sleep(o.pause)
	switch {
	case w.copies:
		r.OfCopy, err = turns(run, hostCopy(max(int(bytes)/2, 1)), 1, o.budget)
	case r.OfFMA >= r.OfRead:
		r.OfFMA, err = turns(run, loop.run, loop.flops()/flops, o.budget)
	default:
		at, cpus := 0, r.CPUs
		each := min(readPart, len(c.memory)/cpus)
		read := func() error {
			if at+cpus*each > len(c.memory) {
				at = 0
			}
			from := c.memory[at:]
			at += cpus * each
			return onCPUs(cpus, func(i int) { peak.Read(c.read.Variant, from[i*each:(i+1)*each]) })
		}
		r.OfRead, err = turns(run, read, float64(cpus*each)/bytes, o.budget)
	}
	return err
}

// readPart is what a CPU reads in a run of the ceiling, in turns with a case: each time other memory, so that none is in a cache.
const readPart = 16 << 20
