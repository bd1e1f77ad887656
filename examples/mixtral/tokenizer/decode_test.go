package tokenizer

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// After a Fuse each step sees one token in fragments. Whatever the fragments, the result is that of the whole.
func TestFragments(t *testing.T) {
	steps := map[string]decodeStep{
		"replace":          normalStep{find: "aab", content: "c"},
		"erase":            normalStep{find: "a", content: ""},
		"replace overlap":  normalStep{find: "abab", content: "ba"},
		"strip start":      strip{mark: "a", start: 2},
		"strip stop":       strip{mark: "a", stop: 2},
		"strip both":       strip{mark: "é", start: 1, stop: 3},
		"strip everything": strip{mark: "a", start: 100, stop: 100},
		"metaspace":        metaspace{mark: "a", scheme: prependFirst},
		"metaspace never":  metaspace{mark: "é", scheme: prependNever},
		"bytes":            byteFallback{},
		"fuse":             fuse{},
	}
	rng := rand.New(rand.NewPCG(9, 10))
	alphabet := []string{"a", "a", "b", "é", "ab", "<0x41>", "<0x4", "1>", ""}
	for name, step := range steps {
		for n := range 300 {
			var fragments []string
			for range n % 7 {
				fragments = append(fragments, alphabet[rng.IntN(len(alphabet))])
			}
			whole := decoder{steps: []decodeStep{step}}
			want := run(whole, strings.Join(fragments, ""))
			fused := decoder{steps: []decodeStep{fuse{}, step}}
			if got := run(fused, fragments...); got != want {
				t.Fatalf("%s of %q = %q, of the whole %q", name, fragments, got, want)
			}
		}
	}
}

func run(d decoder, tokens ...string) string {
	var out strings.Builder
	chain := d.begin(&out)
	for _, s := range tokens {
		chain.push(s)
	}
	chain.end()
	return out.String()
}

func TestByteToken(t *testing.T) {
	for token, want := range map[string]int{
		"<0x00>": 0, "<0xFF>": 255, "<0xfF>": 255, "<0x+A>": 10,
		"<0x0>": -1, "<0x000>": -1, "0x0000": -1, "<0x0G>": -1, "<0xA+>": -1, "<0x++>": -1, "<0X00>": -1, "<0x00)": -1, "": -1,
	} {
		got := -1
		if v, ok := byteToken(token); ok {
			got = int(v)
		}
		if got != want {
			t.Errorf("byteToken(%q) = %d, want %d", token, got, want)
		}
	}
}
