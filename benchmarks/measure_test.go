package main

import (
	"errors"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	var runs, syncs int
	run := func() error { runs++; time.Sleep(3 * time.Millisecond); return nil }
	got, err := measure(run, func() error { syncs++; return nil }, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got.samples != minSamples || runs != minSamples+1 || syncs != runs {
		t.Errorf("%d samples, %d runs, %d syncs, want 5, 6, 6: one to warm up", got.samples, runs, syncs)
	}
	if got.min < 3e6 || got.median < got.min || got.max < got.median {
		t.Errorf("min %v, median %v, max %v of runs of 3 ms", got.min, got.median, got.max)
	}
}

func TestMeasureTellsProcessorTime(t *testing.T) {
	if cpuTime() == 0 {
		t.Skip("processor time is not known on this system")
	}
	ok := func() error { return nil }
	spin := func() error {
		for until := cpuTime() + 5*time.Millisecond; cpuTime() < until; {
		}
		return nil
	}
	if got, err := measure(spin, ok, 0); err != nil || got.cpu < 5e6 || got.cpu > 50e6 {
		t.Errorf("%v ns of processor time, error %v, for 5 ms", got.cpu, err)
	}
	sleep := func() error { time.Sleep(10 * time.Millisecond); return nil }
	if got, err := measure(sleep, ok, 0); err != nil || got.cpu > 5e6 {
		t.Errorf("%v ns of processor time, error %v, for a sleep", got.cpu, err)
	}
}

func TestMeasureSpendsTheBudget(t *testing.T) {
	start := time.Now()
	got, err := measure(func() error { time.Sleep(time.Millisecond); return nil }, func() error { return nil }, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d < 50*time.Millisecond || got.samples <= minSamples {
		t.Errorf("%d samples in %v", got.samples, d)
	}
}

func TestShortRunsAreTimedSeveralAtOnce(t *testing.T) {
	runs := 0
	got, err := measure(func() error { runs++; return nil }, func() error { return nil }, 0)
	if err != nil {
		t.Fatal(err)
	}
	if runs < 10*minSamples || got.samples != minSamples {
		t.Errorf("%d runs for %d samples", runs, got.samples)
	}
}

func TestMeasureStopsAtAnError(t *testing.T) {
	bad := errors.New("bad")
	for failAt := range minSamples + 1 {
		n := 0
		fail := func() error {
			if n++; n > failAt {
				return bad
			}
			time.Sleep(3 * time.Millisecond)
			return nil
		}
		ok := func() error { return nil }
		if _, err := measure(fail, ok, 0); !errors.Is(err, bad) {
			t.Errorf("run %d: error %v", failAt, err)
		}
		n = 0
		if _, err := measure(ok, fail, 0); !errors.Is(err, bad) {
			t.Errorf("sync %d: error %v", failAt, err)
		}
	}
}

func TestCeilings(t *testing.T) {
	o := &options{}
	for _, size := range []int{1 << 16, 1001} {
		c, err := o.measureCeilings(size)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.records() {
			if r.GBS+r.GFLOPS <= 0 || r.NS <= 0 || r.Reps < minSamples {
				t.Errorf("%d bytes: %+v", size, r)
			}
		}
		if f := c.fmaOne.GFLOPS; f < 0.1 || f > 1000 {
			t.Errorf("%v GFLOP/s on one CPU", f)
		}
	}
}
