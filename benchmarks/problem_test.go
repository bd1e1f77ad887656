package main

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
)

// R is that of any routing or of this one, and plans, operands and formulas agree on it.
func TestRowsOfPlans(t *testing.T) {
	for _, c := range []struct {
		rows  rows
		align int
		ids   []int32
		want  int
	}{
		{boundRows, 1, nil, 6},
		{exactRows, 1, nil, 3},
		{exactRows, 8, nil, 16}, // two rows of expert 0, one of expert 1
		{exactRows, 1, []int32{2, 3, 3, 2, 2, 3}, 1},
		{exactRows, 4, []int32{2, 3, 3, 2, 2, 3}, 4},
	} {
		p := handProblem()
		p.rowCount, p.align = c.rows, c.align
		if c.ids != nil {
			p.ids = c.ids
		}
		plan, r, q := p.plan(), p.planRows(), p.quantities()["R"]
		if p.err != nil {
			t.Fatal(p.err)
		}
		if plan.Rows != c.want || r != c.want || q != float64(c.want) {
			t.Errorf("%s, A = %d, ids %v: the plan has %d rows, planRows is %d, R %v, want %d", c.rows, c.align, p.ids, plan.Rows, r, q, c.want)
		}
		counts, err := backend.Slice[int32](plan.Counts)
		if err != nil {
			t.Fatal(err)
		}
		for e, n := range p.counts() {
			if counts[e] != n {
				t.Errorf("%s, A = %d, ids %v: the plan has %d rows for expert %d, want %d", c.rows, c.align, p.ids, counts[e], e, n)
			}
		}
	}
}

// With the exact R permute and the copy beside it move fewer bytes; a layer has the bound all the same.
func TestExactRowsAreReported(t *testing.T) {
	moved := map[string]float64{}
	for _, rows := range []string{"bound", "exact"} {
		var out, errs bytes.Buffer
		args := []string{"-json", "-rows", rows, "-work", "permute,copy-permute,layer", "-shape", "H=8,F=3,E=2,K=2,G=8,D=4", "-tokens", "4", "-time", "0"}
		if code := run(args, &out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatalf("exit %d: %s", code, &errs)
		}
		for line := range strings.Lines(out.String()) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			want := rows
			if r.Work == "layer" {
				want = "bound"
			}
			if string(r.Rows) != want {
				t.Errorf("-rows %s: %s has rows %q, want %q", rows, r.Work, r.Rows, want)
			}
			moved[rows+" "+r.Work] = r.GBS * r.NS
		}
	}
	// Of 8 slots for 8 experts two are here, of different tokens.
	for name, r := range map[string]float64{"bound permute": 8, "exact permute": 2, "bound copy-permute": 8, "exact copy-permute": 2} {
		if want := 2*8*4 + r*(8*4+4); math.Abs(moved[name]-want) > 1e-6*want {
			t.Errorf("%s moves %v bytes, want %v", name, moved[name], want)
		}
	}
	if moved["bound layer"] != moved["exact layer"] {
		t.Errorf("a layer moves %v and %v bytes", moved["bound layer"], moved["exact layer"])
	}
}
