package main

import (
	"slices"
	"strings"
	"testing"
)

func TestParseShapes(t *testing.T) {
	mixtral, qwen3 := shapes[0], shapes[1]
	for list, want := range map[string][]shape{
		"mixtral":       {mixtral},
		"mixtral,qwen3": {mixtral, qwen3},
		"mixtral,H=1024,F=3584,E=8,K=2,qwen3": {mixtral,
			{name: "H=1024,F=3584,E=8,K=2", H: 1024, F: 3584, E: 8, K: 2, G: 8, Q: 8, P: 2, D: 128, V: 32000}, qwen3},
		"H=12,K=3,E=2,F=5,G=3,H=8,F=1,E=1,K=1,G=4,D=2,Q=6,P=3,V=7": {
			{name: "H=12,F=5,E=2,K=3,G=3", H: 12, F: 5, E: 2, K: 3, G: 3, Q: 1, P: 1, D: 128, V: 32000},
			{name: "H=8,F=1,E=1,K=1,G=4,Q=6,P=3,D=2,V=7", H: 8, F: 1, E: 1, K: 1, G: 4, Q: 6, P: 3, D: 2, V: 7}},
	} {
		got, err := parseShapes(list)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %+v, want %+v", list, got, want)
		}
	}
}

func TestParseShapesRefuses(t *testing.T) {
	for list, want := range map[string]string{
		"":                          "mixtral, qwen3, dsv3ep",
		"llama":                     "mixtral, qwen3, dsv3ep",
		"F=3,H=2,E=1,K=1":           "want H= first",
		"mixtral,F=3":               "want H= first",
		"H=4,F=3,E=1":               "want H, F, E and K",
		"H=4,F=3,E=1,K=1,Z=1":       "unknown size",
		"H=4,F=-3,E=1,K=1":          "whole number",
		"H=4,F=0,E=1,K=1":           "whole number",
		"H=4,F=x,E=1,K=1":           "whole number",
		"H=4,F=4294967296,E=1,K=1":  "from 1 to 2147483647",
		"H=4,F=3,F=3,E=1,K=1":       "twice",
		"H=4,F=3,E=4,K=1,G=2":       "G = 2 in all",
		"H=4,F=3,E=2,K=3":           "K = 3",
		"H=4,F=3,E=1,K=1,D=3":       "even",
		"H=4,F=3,E=1,K=1,Q=3,P=2":   "multiple of P = 2",
		"H=4,F=3,E=1,K=1,mixtral,V": "mixtral, qwen3, dsv3ep",
	} {
		if _, err := parseShapes(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", list, err, want)
		}
	}
}

func TestNamedShapesAreComplete(t *testing.T) {
	for _, s := range shapes {
		whole := s
		if err := whole.complete(); err != nil || whole != s {
			t.Errorf("%+v becomes %+v, error %v", s, whole, err)
		}
	}
}
