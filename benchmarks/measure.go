package main

import (
	"slices"
	"time"
)

const (
	minSamples = 5
	minSample  = 200 * time.Microsecond // shorter runs are timed several at once
)

// timing is how long one run takes, in nanoseconds.
type timing struct {
	median, min, max float64
	cpu              float64 // processor time of all threads, mean; 0 if it is not known
	samples          int
}

// over is the timing of one of n equal parts.
func (t timing) over(n int) timing {
	f := float64(n)
	t.median, t.min, t.max, t.cpu = t.median/f, t.min/f, t.max/f, t.cpu/f
	return t
}

// sampler runs a case a number of times and tells how long that took.
type sampler func(runs int) (time.Duration, error)

// measure times run by the host's clock. sync waits for a device; each sample ends with it.
func measure(run, sync func() error, budget time.Duration) (timing, error) {
	return take(func(runs int) (time.Duration, error) {
		start := time.Now()
		for range runs {
			if err := run(); err != nil {
				return 0, err
			}
		}
		err := sync()
		return time.Since(start), err
	}, budget)
}

// take runs once to warm up, then takes at least minSamples samples, and more until the budget is spent.
func take(sample sampler, budget time.Duration) (timing, error) {
	// The first run may allocate and meet cold pages; what it does not take is not known before the second.
	once, err := sample(1)
	if err == nil && once < 10*minSample {
		once, err = sample(1)
	}
	if err != nil {
		return timing{}, err
	}
	runs := int(minSample/max(once, 1)) + 1 // in a sample
	var samples []float64
	before := cpuTime()
	for start := time.Now(); len(samples) < minSamples || time.Since(start) < budget; {
		d, err := sample(runs)
		if err != nil {
			return timing{}, err
		}
		samples = append(samples, float64(d)/float64(runs))
	}
	n := len(samples)
	cpu := float64(cpuTime()-before) / float64(n*runs)
	slices.Sort(samples)
	return timing{median: median(samples), min: samples[0], max: samples[n-1], cpu: cpu, samples: n}, nil
}

// median is that of sorted numbers.
func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
