package tokenizer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// fuzzText has a bit of all that the steps look for.
const fuzzText = " a abc<x> <s>é\xff ab\u3000▁bc 🙂<unk>x  in the self._ab\n"

// FuzzParse takes any bytes for a tokenizer.json. A refusal has to be one of the package's errors; a tokenizer has to
// keep its promises on a small text.
func FuzzParse(f *testing.F) {
	f.Add([]byte(tinyFile))
	for _, changes := range [][]string{
		{`["a b", "▁ ab", "b c", "ab c"]`, `[["a", "b"], ["▁", "ab"], ["b", "c"], ["ab", "c"]]`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true}`},
		{`"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "_", "add_prefix_space": false}]}`},
		{`"Strip", "content": " ", "start": 1, "stop": 0}`, `"Strip", "content": "é", "start": 2, "stop": 3}, {"type": "Metaspace", "replacement": "b"}`},
		{`{"type": "ByteFallback"}, {"type": "Fuse"}`, `{"type": "Fuse"}, {"type": "ByteFallback"}, {"type": "Replace", "pattern": {"String": "ab"}, "content": "b"}`},
		{`"lstrip": true, "rstrip": false, "normalized": false`, `"lstrip": false, "rstrip": true, "normalized": true`},
		{`"single_word": false, "lstrip": true`, `"single_word": true, "lstrip": true`},
		{`"byte_fallback": true`, `"byte_fallback": false, "ignore_merges": true`},
		{`"a": 5`, `"\ud83d\ude42": 99, "a": 5`},
	} {
		f.Add([]byte(changed(f, changes...)))
	}
	small, err := os.ReadFile(filepath.Join(goldenDir, "public-f32", "tokenizer.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := Parse(data)
		if err != nil {
			if !oneOf(err, ErrInvalid, ErrUnsupported, ErrTooLarge) {
				t.Fatalf("Parse: %v", err)
			}
			return
		}
		checkTokenizer(t, tok, fuzzText)
	})
}

// FuzzEncode takes any text for three ways to treat spaces. Where the text has nothing in it that the tokenizer would
// read as its own (a mark, an added token), the decoding is the text.
func FuzzEncode(f *testing.F) {
	toks := []*Tokenizer{
		openGolden(f, "public-f32"),
		tiny(f),
		tiny(f, `"pre_tokenizer": null`, `"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"}`),
	}
	f.Add(fuzzText)
	f.Add("")
	f.Add("<s> <0x41> \xed\xa0\x80")
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			checkTokenizer(t, tok, text)
		}
		if !utf8.ValidString(text) || strings.Contains(text, "▁") || strings.Contains(text, "<") {
			return
		}
		ids, err := toks[0].Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := toks[0].Decode(ids, true); err != nil || got != text {
			t.Errorf("Decode(Encode(%q)) = %q, %v", text, got, err)
		}
	})
}

func oneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// checkTokenizer checks on one text what holds for every tokenizer.
func checkTokenizer(t *testing.T, tok *Tokenizer, text string) {
	t.Helper()
	ids, err := tok.Encode(text, false)
	if err != nil {
		if !oneOf(err, ErrInvalid, ErrTooLarge) {
			t.Fatalf("Encode: %v", err)
		}
		return
	}
	for _, id := range ids {
		token, ok := tok.Token(id)
		if back, found := tok.ID(token); !ok || !found || back != id {
			t.Errorf("id %d is of token %q, which is of id %d", id, token, back)
		}
		if id > tok.MaxID() {
			t.Errorf("id %d is past MaxID %d", id, tok.MaxID())
		}
	}
	around, err := tok.Encode(text, true)
	want := slices.Concat(tok.postProcessor.before, ids, tok.postProcessor.after)
	if err != nil || !slices.Equal(around, want) {
		t.Errorf("Encode with specials = %v, %v; want %v", around, err, want)
	}
	valid, err := tok.Encode(string([]rune(text)), false)
	if err != nil || !slices.Equal(valid, ids) {
		t.Errorf("Encode of the text with U+FFFD for its invalid bytes = %v, %v; want %v", valid, err, ids)
	}
	for _, skip := range []bool{true, false} {
		whole, err := tok.Decode(around, skip)
		if err != nil || !utf8.ValidString(whole) {
			t.Errorf("Decode(%v, %t) = %q, %v", around, skip, whole, err)
		}
		if parts := streamed(t, tok, around, skip); parts != whole {
			t.Errorf("streaming %v, %t = %q; Decode: %q", around, skip, parts, whole)
		}
	}
	if tok.model.unknown == "" || tok.model.unknownID != absent {
		checkMerge(t, tok.model, string([]rune(text)), new(word))
	}
}
