package tokenizer

import (
	"slices"
	"testing"
)

func TestReplacedLead(t *testing.T) {
	step := normalStep{find: "ab", content: "xyz"}
	for _, c := range []struct {
		text       string
		lead, want int
	}{
		{"abab", 0, 0}, {"abab", 1, 0}, {"abab", 2, 3}, {"abab", 4, 6}, {"cab", 1, 1}, {"cab", 2, 1}, {"cab", 3, 4}, {"c", 1, 1},
	} {
		if got := step.replacedLead(piece{c.text, c.lead}); got != c.want {
			t.Errorf("replacedLead(%q, %d) = %d, want %d", c.text, c.lead, got, c.want)
		}
	}
}

func TestMetaspaceSplits(t *testing.T) {
	for _, c := range []struct {
		scheme string
		split  bool
		p      piece
		want   []piece
	}{
		{prependAlways, true, piece{"a b", 1}, []piece{{"▁a", 4}, {"▁b", 0}}},
		{prependAlways, true, piece{"a", 0}, []piece{{"▁a", 0}}},
		{prependFirst, true, piece{"a b", 0}, []piece{{"a", 0}, {"▁b", 0}}},
		{prependFirst, true, piece{" a", 1}, []piece{{"▁a", 3}}},
		{prependNever, true, piece{"  a ", 1}, []piece{{"▁", 3}, {"▁a", 0}, {"▁", 0}}},
		{prependNever, false, piece{"a  b", 1}, []piece{{"a▁▁b", 1}}},
	} {
		var got []piece
		m := metaspace{mark: "▁", scheme: c.scheme, split: c.split}
		if err := m.apply(c.p, func(p piece) error { got = append(got, p); return nil }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %t of %v = %v, want %v", c.scheme, c.split, c.p, got, c.want)
		}
	}
}
