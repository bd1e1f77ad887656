package tokenizer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestLookups(t *testing.T) {
	tok := tiny(t)
	if n, highest := tok.VocabSize(), tok.MaxID(); n != 13 || highest != 12 {
		t.Errorf("VocabSize, MaxID = %d, %d; want 13, 12", n, highest)
	}
	for id, token := range map[int32]string{0: "<unk>", 4: "▁", 11: "abc", 12: "<x>"} {
		if got, ok := tok.Token(id); !ok || got != token {
			t.Errorf("Token(%d) = %q, %t; want %q", id, got, ok, token)
		}
		if got, ok := tok.ID(token); !ok || got != id {
			t.Errorf("ID(%q) = %d, %t; want %d", token, got, ok, id)
		}
	}
	for _, id := range []int32{-1, 13, 1 << 30} {
		if token, ok := tok.Token(id); ok {
			t.Errorf("Token(%d) = %q, want none", id, token)
		}
	}
	if id, ok := tok.ID("zzz"); ok {
		t.Errorf("ID of no token = %d", id)
	}
	for id, want := range map[int32]bool{0: true, 1: true, 2: false, 12: false, 99: false, -1: false} {
		if got := tok.IsSpecial(id); got != want {
			t.Errorf("IsSpecial(%d) = %t", id, got)
		}
	}
}

func TestEmptyVocabulary(t *testing.T) {
	tok, err := Parse([]byte(`{"model": {"type": "BPE", "vocab": {}, "merges": []}}`))
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != 0 || tok.MaxID() != -1 {
		t.Errorf("VocabSize, MaxID = %d, %d; want 0, -1", tok.VocabSize(), tok.MaxID())
	}
	if ids, err := tok.Encode("text", true); err != nil || len(ids) != 0 {
		t.Errorf("Encode = %v, %v; want nothing: there is no token for an unknown character", ids, err)
	}
}

func TestEncode(t *testing.T) {
	tok := tiny(t)
	for text, want := range map[string][]int32{
		"":             {1},
		" ":            {1, 4, 4},
		"ab":           {1, 9},
		"abab":         {1, 9, 8},
		"cabc":         {1, 4, 7, 11},
		"bc":           {1, 4, 10},
		"é":            {1, 4, 2, 3},
		"zzz":          {1, 4, 0},
		"zaz":          {1, 4, 0, 5, 0},
		"ab <x> ab":    {1, 9, 12, 4, 9},
		"<s>ab":        {1, 1, 9},
		"<unk>":        {1, 0},
		"\uFFFD":       {1, 4, 0},
		"\xff\xfea":    {1, 4, 0, 5},
		"a\xc3":        {1, 4, 5, 0},
		"\xed\xa0\x80": {1, 4, 0}, // a surrogate in UTF-8's manner: three invalid bytes
	} {
		ids, err := tok.Encode(text, true)
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("Encode(%q) = %v, %v; want %v", text, ids, err, want)
		}
		if ids, err = tok.Encode(text, false); err != nil || !slices.Equal(ids, want[1:]) {
			t.Errorf("Encode(%q) without specials = %v, %v; want %v", text, ids, err, want[1:])
		}
	}
}

// Each invalid byte counts as one U+FFFD, also where several stand together.
func TestEncodeInvalidUTF8(t *testing.T) {
	tok := tiny(t, `"fuse_unk": true`, `"fuse_unk": false`)
	invalid, err := tok.Encode("a\xff\xfe\xe2\x82b", false)
	if err != nil {
		t.Fatal(err)
	}
	valid, err := tok.Encode("a\uFFFD\uFFFD\uFFFD\uFFFDb", false)
	if err != nil || !slices.Equal(invalid, valid) {
		t.Errorf("invalid bytes give %v, as many U+FFFD give %v, %v", invalid, valid, err)
	}
	if unknown := 4; len(invalid) != 3+unknown {
		t.Errorf("got %v, want %d unknown tokens", invalid, unknown)
	}
}

func TestEncodeUnknownTokenMissing(t *testing.T) {
	tok := tiny(t, `"unk_token": "<unk>"`, `"unk_token": "<none>"`)
	if ids, err := tok.Encode("abé", true); err != nil {
		t.Errorf("Encode without an unknown character = %v, %v", ids, err)
	}
	_, err := tok.Encode("abz", true)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `"z"`) || !strings.Contains(err.Error(), `"<none>"`) {
		t.Errorf("got %v, want ErrInvalid that names the character and the token", err)
	}
}

// A normalizer that multiplies a text has to stop somewhere.
func TestEncodeGrowth(t *testing.T) {
	grow := `{"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaaaaaaaa"}`
	tok := tiny(t, `{"type": "Prepend", "prepend": "▁"}`, strings.Repeat(grow+",", 20)+grow)
	if _, err := tok.Encode("b", false); err != nil {
		t.Errorf("a text that does not grow: %v", err)
	}
	if _, err := tok.Encode(strings.Repeat("a", 1000), false); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestDecode(t *testing.T) {
	tok := tiny(t)
	for _, c := range []struct {
		ids        []int32
		text, full string
	}{
		{nil, "", ""},
		{[]int32{1}, "", "<s>"},
		{[]int32{1, 9, 4, 11}, "ab abc", "<s> ab abc"},
		{[]int32{4, 4, 4}, "  ", "  "},
		{[]int32{2, 3}, "é", "é"},
		{[]int32{2, 3, 2}, "\uFFFD\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD"},
		{[]int32{2, 1, 3}, "é", "\uFFFD<s>\uFFFD"},
		{[]int32{12, 0}, "<x>", "<x><unk>"},
	} {
		for skip, want := range map[bool]string{true: c.text, false: c.full} {
			if got, err := tok.Decode(c.ids, skip); err != nil || got != want {
				t.Errorf("Decode(%v, %t) = %q, %v; want %q", c.ids, skip, got, err, want)
			}
		}
	}
	for _, id := range []int32{-1, 13, 1<<31 - 1} {
		_, err := tok.Decode([]int32{1, id}, true)
		if !errors.Is(err, ErrUnknownID) {
			t.Errorf("Decode of id %d: %v, want ErrUnknownID", id, err)
		}
	}
}

// An added token that is found in the normalized text is decoded from its normalized form; skipped it is all the same.
func TestDecodeNormalizedSpecial(t *testing.T) {
	tok := tiny(t, `"content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false`,
		`"content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": true`)
	ids, err := tok.Encode("<s>ab", true)
	if want := []int32{1, 1, 8}; err != nil || !slices.Equal(ids, want) {
		t.Fatalf("Encode = %v, %v; want %v", ids, err, want)
	}
	for skip, want := range map[bool]string{true: "ab", false: "<s> <s>ab"} {
		if text, err := tok.Decode(ids, skip); err != nil || text != want {
			t.Errorf("Decode(%v, %t) = %q, %v; want %q", ids, skip, text, err, want)
		}
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, []byte(`{"model": 1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrInvalid that names the file", err)
	}
	huge := filepath.Join(t.TempDir(), "huge.json")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFile+1); err != nil { // sparse
		t.Fatal(err)
	}
	if _, err := Open(huge); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
}

func TestConcurrentUse(t *testing.T) {
	tok := openGolden(t, "public-f32")
	text := "def f(x): return self.value <s> 日本 " + strings.Repeat("x y ", 50)
	want, err := tok.Encode(text, true)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := tok.Decode(want, true)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 50 {
				ids, err := tok.Encode(text, true)
				if err != nil || !slices.Equal(ids, want) {
					t.Errorf("Encode = %v, %v; want %v", ids, err, want)
				}
				if got, err := tok.Decode(ids, true); err != nil || got != decoded {
					t.Errorf("Decode = %q, %v; want %q", got, err, decoded)
				}
			}
		})
	}
	group.Wait()
}
