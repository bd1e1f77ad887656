package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const tiny = "H=24,F=10,E=3,K=2,D=4,V=40"

func TestJSONLines(t *testing.T) {
	var out, errs bytes.Buffer
	args := []string{"-json", "-work", "experts,permute", "-shape", tiny, "-tokens", "2,4", "-dtype", "bf16", "-time", "0"}
	if code := run(args, &out, &errs); code != 0 || errs.Len() > 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 {
		t.Fatalf("%d lines, want 4:\n%s", len(lines), &out)
	}
	var r map[string]any
	if err := json.Unmarshal([]byte(lines[1]), &r); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"work": "experts", "shape": tiny, "tokens": 4., "dtype": "bf16", "activations": "f32", "routing": "balanced", "rows": "bound",
		"backend": "cpu", "cpu": cpuName(), "cpus": float64(runtime.GOMAXPROCS(0)), "go": runtime.Version(), "reps": 5.,
	} {
		if r[field] != want {
			t.Errorf("%s = %v, want %v", field, r[field], want)
		}
	}
	if v := r["variant"].(string); !strings.HasPrefix(v, "cpu/") {
		t.Errorf("variant = %q, want one of the CPU's", v)
	}
	ns, lo, hi := r["ns"].(float64), r["min_ns"].(float64), r["max_ns"].(float64)
	if !(0 < lo && lo <= ns && ns <= hi) {
		t.Errorf("ns %v between %v and %v", ns, lo, hi)
	}
	// 8 rows for 3 experts.
	flops, moved := 6.*8*24*10, 3.*3*24*10*2+2*4*24*4+8*8
	if got := r["gflops"].(float64) * ns; math.Abs(got-flops) > 1e-6*flops {
		t.Errorf("gflops·ns = %v, want %v", got, flops)
	}
	if got := r["gbs"].(float64) * ns; math.Abs(got-moved) > 1e-6*moved {
		t.Errorf("gbs·ns = %v, want %v", got, moved)
	}
	if !strings.Contains(lines[2], `"work":"permute"`) || !strings.Contains(lines[2], `"dtype":"-"`) ||
		!strings.Contains(lines[2], `"variant":"cpu/`) || strings.Contains(lines[2], "gflops") {
		t.Errorf("a work without weights and products: %s", lines[2])
	}
}

func TestTable(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"-work", "plan,swiglu", "-shape", tiny + ",H=8,F=3,E=2,K=1", "-tokens", "3", "-time", "0"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var starts []string
	for _, l := range lines {
		first, _, _ := strings.Cut(l, " ")
		starts = append(starts, first)
	}
	cpu, _, _ := strings.Cut(cpuName()+",", " ")
	want := []string{cpu, "", tiny, "work", "plan", "swiglu", "", "H=8,F=3,E=2,K=1", "work", "plan", "swiglu"}
	if !slices.Equal(starts, want) {
		t.Errorf("lines begin with %q, want %q:\n%s", starts, want, &out)
	}
	if a, b := strings.Index(lines[4], "cpu/"), strings.Index(lines[5], "cpu/"); a < 0 || a != b {
		t.Errorf("columns are not aligned:\n%s", &out)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args   string
		code   int
		stderr string
		stdout string
	}{
		{"-work nothing", 2, "benchmarks: ", ""},
		{"-work model,plan -tokens 50 -time 0 -shape " + tiny, 1, "model " + tiny + " T=50 f32: model: 50 tokens", "plan"},
	} {
		var out, errs bytes.Buffer
		if code := run(strings.Fields(c.args), &out, &errs); code != c.code || !strings.Contains(errs.String(), c.stderr) || !strings.Contains(out.String(), c.stdout) {
			t.Errorf("%s: exit %d, stderr %q, stdout %q; want %d, %q, %q", c.args, code, &errs, &out, c.code, c.stderr, c.stdout)
		}
	}
}

func TestTableShowsShares(t *testing.T) {
	var out bytes.Buffer
	o, err := parseOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(&out, o)
	if err := errors.Join(r.add(&record{OfFMA: 0.501, OfRead: 0.25}), r.add(&record{OfCopy: 0.87}), r.close()); err != nil {
		t.Fatal(err)
	}
	for _, share := range []string{"50%", "25%", "87%"} {
		if !strings.Contains(out.String(), share) {
			t.Errorf("no %s in\n%s", share, &out)
		}
	}
}

func TestRounded(t *testing.T) {
	for ns, want := range map[float64]string{0.4: "0s", 0.6: "1ns", 9999: "9.999µs", 12345: "12.35µs", 28_123_456_789: "28.12s"} {
		if got := rounded(ns).String(); got != want {
			t.Errorf("%v ns: %s, want %s", ns, got, want)
		}
	}
}
