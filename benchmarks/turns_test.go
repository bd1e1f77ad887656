package main

import (
	"errors"
	"testing"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// TestTurns has a ceiling that gets slower from turn to turn, and a case that takes about four times as long, by a clock that only they move:
// on a machine that stops for a while a real one would say something else each time.
func TestTurns(t *testing.T) {
	clock := time.Unix(0, 0)
	now = func() time.Time { return clock }
	defer func() { now = time.Now }()
	pause := 5 * time.Millisecond
	var runs, ceilings int
	run := func() error { runs++; clock = clock.Add(4 * pause); return nil }
	ceiling := func() error { ceilings++; clock = clock.Add(pause); pause += time.Microsecond; return nil }
	for _, part := range []float64{1, 0.5} {
		runs, ceilings = 0, 0
		share, err := turns(run, ceiling, part, 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := 0.25 / part; share < 0.99*want || share > 1.01*want {
			t.Errorf("share %v where the ceiling does %v of the work, want %v", share, part, want)
		}
		if wantCeilings := 1 + 4*(minTurns+1); runs != 1+minTurns || ceilings != wantCeilings {
			t.Errorf("%d runs and %d of the ceiling, want %d and %d", runs, ceilings, 1+minTurns, wantCeilings)
		}
	}
	start := clock
	if _, err := turns(run, ceiling, 1, 4*time.Second); err != nil || clock.Sub(start) < 4*time.Second || clock.Sub(start) > 5*time.Second {
		t.Errorf("%v, error %v, with 4 s to spend", clock.Sub(start), err)
	}
}

func TestTurnsStopAtAnError(t *testing.T) {
	bad := errors.New("bad")
	ok := func() error { time.Sleep(minTurn); return nil }
	for failAt := range 4 {
		n := 0
		fail := func() error {
			if n++; n > failAt {
				return bad
			}
			return ok()
		}
		if _, err := turns(fail, ok, 1, 0); !errors.Is(err, bad) {
			t.Errorf("run %d: error %v", failAt, err)
		}
		n = 0
		if _, err := turns(ok, fail, 1, 0); !errors.Is(err, bad) {
			t.Errorf("ceiling's run %d: error %v", failAt, err)
		}
	}
}

// TestShares holds a case against each ceiling.
func TestShares(t *testing.T) {
	o := &options{device: backend.Host}
	c, err := o.measureCeilings(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	run := func() error { runs++; time.Sleep(minTurn); return nil }
	for name, r := range map[string]*record{
		"multiply-adds": {CPUs: 1, GFLOPS: c.fma.GFLOPS / 2, GBS: c.read.GBS / 4},
		"reads":         {CPUs: 1, GFLOPS: c.fma.GFLOPS / 4, GBS: c.read.GBS / 2},
		"copies":        {CPUs: 1, GBS: c.read.GBS / 2},
	} {
		runs = 0
		w := &work{copies: name == "copies"}
		if err := c.shares(o, r, w, run, 1e9, 1e6); err != nil {
			t.Fatal(err)
		}
		fma, read, copied := r.OfFMA, r.OfRead, r.OfCopy
		if runs == 0 || (name != "multiply-adds") != (fma == r.GFLOPS/c.fma.GFLOPS) || (name != "reads") != (read == r.GBS/c.read.GBS) ||
			(copied > 0) != w.copies || fma < 0 || read <= 0 {
			t.Errorf("%s: %d runs, shares %v, %v and %v", name, runs, fma, read, copied)
		}
	}
}

// TestOperandsLeaveTheCaches counts the operands of a work that wants them out of the caches, and how often each runs, with shares too.
func TestOperandsLeaveTheCaches(t *testing.T) {
	var runs []int
	w := &work{
		name: "w", peer: "p", host: true, activations: []*dtype{f32}, flops: "T", bytes: "H",
		setup: func(*problem) func() error {
			i := len(runs)
			runs = append(runs, 0)
			return func() error { runs[i]++; time.Sleep(minSample); return nil }
		},
	}
	o := &options{device: backend.Host, backend: &places[0], activations: f32, routing: routings[0]}
	c, err := o.measureCeilings(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaves := range []bool{false, true} {
		runs, w.leavesCaches = nil, leaves
		third := hostCache() / 3
		b := &benchmark{work: w, shape: shape{H: third, F: 1, E: 1, K: 1, G: 1, Q: 1, P: 1, D: 2, V: 1}, tokens: 1, dtype: f32, store: &store{}}
		want := 1
		if leaves {
			want = sets(float64(hostCache()), float64(third))
		}
		r, err := b.measure(o, c)
		if err != nil {
			t.Fatal(err)
		}
		if len(runs) != want || leaves != (want > 5) {
			t.Fatalf("%d sets of operands, want %d", len(runs), want)
		}
		for i, n := range runs[1:] {
			if n != runs[0]-1 { // the first is run once more, to see who does the work
				t.Errorf("set %d runs %d times, set 0 %d times", i+1, n, runs[0])
			}
		}
		if once := r.NS * r.GBS; once < 0.99*float64(third) || once > 1.01*float64(third) || r.NS < float64(minSample) || r.NS > 20*float64(minSample) {
			t.Errorf("%v bytes in %v ns, want %d in a little more than %v", once, r.NS, third, minSample)
		}
		if r.OfRead <= 0 || r.OfFMA <= 0 {
			t.Errorf("shares %v and %v", r.OfFMA, r.OfRead)
		}
	}
}
