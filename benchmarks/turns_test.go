package main

import (
	"errors"
	"testing"
	"time"

	"github.com/gorgonia/moe/ops/backend"
)

// TestTurns has a ceiling that gets slower from turn to turn, and a case that takes four times as long.
func TestTurns(t *testing.T) {
	pause := 5 * time.Millisecond
	var runs, ceilings int
	run := func() error { runs++; time.Sleep(4 * pause); return nil }
	ceiling := func() error { ceilings++; time.Sleep(pause); pause += 200 * time.Microsecond; return nil }
	share, err := turns(run, ceiling, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if share < 0.15 || share > 0.35 {
		t.Errorf("share %v, want 0.25", share)
	}
	if runs != 1+minTurns || ceilings < 2*minTurns {
		t.Errorf("%d runs and %d of the ceiling, want %d and about %d", runs, ceilings, 1+minTurns, 1+4*(minTurns+1))
	}
	if half, err := turns(run, ceiling, 0.5, 0); err != nil || half < 0.3 || half > 0.7 {
		t.Errorf("share %v, error %v, where the ceiling does half the work: want 0.5", half, err)
	}
	start := time.Now()
	if _, err := turns(run, ceiling, 1, 400*time.Millisecond); err != nil || time.Since(start) < 400*time.Millisecond {
		t.Errorf("%v, error %v, with 400 ms to spend", time.Since(start), err)
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
