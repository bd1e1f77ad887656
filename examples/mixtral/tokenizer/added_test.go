package tokenizer

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func newTestMatcher(t *testing.T, tokens ...addedToken) *matcher {
	t.Helper()
	var patterns []pattern
	for i, a := range tokens {
		a.id = int32(i)
		patterns = append(patterns, pattern{a.content, a})
	}
	m, err := newMatcher(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// show cuts text and writes added tokens as [from:to=id], text as from:to.
func show(t *testing.T, m *matcher, text string) string {
	t.Helper()
	var parts []string
	err := m.cut(text, func(s stretch) error {
		if s.token != nil {
			parts = append(parts, fmt.Sprintf("[%d:%d=%d]", s.from, s.to, s.token.id))
		} else {
			parts = append(parts, fmt.Sprintf("%d:%d", s.from, s.to))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(parts, " ")
}

func TestCut(t *testing.T) {
	token := func(content string) addedToken { return addedToken{content: content} }
	for _, c := range []struct {
		name, text, want string
		tokens           []addedToken
	}{
		{"no tokens", "abc", "0:3", nil},
		{"empty text", "", "", []addedToken{token("a")}},
		{"all", "aa", "[0:1=0] [1:2=0]", []addedToken{token("a")}},
		{"longest", "abcab", "[0:3=1] [3:5=0]", []addedToken{token("ab"), token("abc")}},
		{"leftmost", "xbcab", "0:1 [1:3=0] 3:5", []addedToken{token("bc"), token("cab")}},
		{"prefix of a longer", "abx", "[0:2=0] 2:3", []addedToken{token("ab"), token("abcd")}},
		{"at the end", "xab", "0:1 [1:3=0]", []addedToken{token("ab"), token("abcd")}},
		{"single word", "ab xab abx ab", "[0:2=0] 2:11 [11:13=0]", []addedToken{{content: "ab", singleWord: true}}},
		{"single word and marks", "éab ab\u0301 _ab ab\u200d ab", "0:20 [20:22=0]", []addedToken{{content: "ab", singleWord: true}}},
		{"single word not retried", "abcd", "0:4", []addedToken{{content: "abc", singleWord: true}, token("ab")}},
		{"strips", "x \t<a>\u00a0\u3000 y", "0:1 [1:12=0] 12:13", []addedToken{{content: "<a>", lstrip: true, rstrip: true}}},
		{"strip meets strip", "<a>  <a>", "[0:5=0] [5:8=0]", []addedToken{{content: "<a>", lstrip: true, rstrip: true}}},
		{"left only", " <a> ", "[0:4=0] 4:5", []addedToken{{content: "<a>", lstrip: true}}},
		{"a space taken by the one before", "  x", "[0:2=0] 2:3", []addedToken{{content: " ", lstrip: true, rstrip: true}}},
		{"spaces as a token", "    x", "[0:4=0] [2:4=0] 4:5", []addedToken{{content: "  ", rstrip: true}}},
	} {
		if got := show(t, newTestMatcher(t, c.tokens...), c.text); got != c.want {
			t.Errorf("%s: cut(%q) = %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

func TestCutStops(t *testing.T) {
	for _, text := range []string{"xa", "a", "ax"} {
		m := newTestMatcher(t, addedToken{content: "a"})
		if err := m.cut(text, func(stretch) error { return ErrTooLarge }); !errors.Is(err, ErrTooLarge) {
			t.Errorf("cut(%q) = %v, want the error of visit", text, err)
		}
	}
}

func TestLongest(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	random := func(most int) string {
		s := make([]byte, 1+rng.IntN(most))
		for i := range s {
			s[i] = "ab\xff\x00"[rng.IntN(4)]
		}
		return string(s)
	}
	for range 200 {
		var tokens []addedToken
		var words []string
		for range rng.IntN(12) {
			if w := random(5); !slices.Contains(words, w) {
				words, tokens = append(words, w), append(tokens, addedToken{content: w})
			}
		}
		m := newTestMatcher(t, tokens...)
		for range 50 {
			text, want := random(8), ""
			for _, w := range words {
				if len(w) > len(want) && strings.HasPrefix(text, w) {
					want = w
				}
			}
			got := ""
			if p := m.longest(text); p != nil {
				got = p.text
			}
			if got != want {
				t.Fatalf("longest(%q) = %q, want %q of %q", text, got, want, words)
			}
		}
	}
}
