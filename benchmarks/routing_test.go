package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// small is a shape with an expert map: experts 0 to 2 of 6 are here.
var small = shape{name: "small", H: 24, F: 10, E: 3, K: 2, G: 6, Q: 6, P: 2, D: 4, V: 40}

func TestRoutingsNameDistinctExperts(t *testing.T) {
	for _, r := range routings {
		for _, s := range append(slices.Clone(shapes), small, shape{name: "one", H: 1, F: 1, E: 1, K: 1, G: 1}, shape{K: 5, G: 5, E: 5}) {
			for _, tokens := range []int{1, 2, 7, 64} {
				ids, err := r.ids(tokens, &s)
				if err != nil {
					t.Fatal(err)
				}
				if len(ids) != tokens*s.K {
					t.Fatalf("%s %s: %d ids for %d tokens", r.name, s.name, len(ids), tokens)
				}
				for row := range slices.Chunk(ids, s.K) {
					if err := checkRow(row, &s); err != nil {
						t.Errorf("%s %s, %d tokens: %v", r.name, s.name, tokens, err)
					}
					if r.name == "hot" && row[0] != 0 {
						t.Errorf("hot %s: a token goes to %v, not to expert 0", s.name, row)
					}
				}
			}
		}
	}
}

func TestBalancedIsBalanced(t *testing.T) {
	for _, s := range append(slices.Clone(shapes), small) {
		for _, tokens := range []int{1, 3, 8, 100, 512} {
			ids, err := balanced(tokens, &s)
			if err != nil {
				t.Fatal(err)
			}
			counts := make([]int, s.G)
			for _, id := range ids {
				counts[id]++
			}
			if lo, hi := slices.Min(counts), slices.Max(counts); hi-lo > 1 {
				t.Errorf("%s, %d tokens: experts get between %d and %d rows", s.name, tokens, lo, hi)
			}
		}
	}
}

func TestUniformIsTheSameEachTime(t *testing.T) {
	a, _ := uniform(9, &shapes[1])
	b, _ := uniform(9, &shapes[1])
	if !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
}

func TestRoutingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "routing.json")
	for _, c := range []struct {
		text   string
		tokens int
		ids    []int32
		err    string
	}{
		{"[[3,5],[1,0],[2,4]]", 2, []int32{3, 5, 1, 0}, ""},
		{"[[3,5]]", 2, nil, "it has 1 tokens, want 2"},
		{"[[3,6]]", 1, nil, "token 0: experts [3 6]"},
		{"[[3,-1]]", 1, nil, "token 0: experts [3 -1]"},
		{"[[1,2],[3,3]]", 2, nil, "token 1: experts [3 3]"},
		{"[[1,2,3]]", 1, nil, "3 experts, want K = 2"},
		{`{"ids":1}`, 1, nil, "want rows of expert ids"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var ids []int32
		r, err := parseRouting(path)
		if err == nil {
			ids, err = r.ids(c.tokens, &small)
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one with %q", c.text, err, c.err)
			}
			continue
		}
		if err != nil || !slices.Equal(ids, c.ids) {
			t.Errorf("%s: %v, error %v, want %v", c.text, ids, err, c.ids)
		}
	}
}
