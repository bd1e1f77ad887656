package tokenizer

import (
	"strings"
	"testing"
)

// tinyFile is a whole tokenizer of the Llama kind in few tokens: bytes for é only, merges to "▁ab" and "abc".
const tinyFile = `{
	"version": "1.0",
	"added_tokens": [
		{"id": 0, "content": "<unk>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
		{"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
		{"id": 12, "content": "<x>", "single_word": false, "lstrip": true, "rstrip": false, "normalized": false, "special": false}
	],
	"normalizer": {"type": "Sequence", "normalizers": [
		{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
	"pre_tokenizer": null,
	"post_processor": {"type": "TemplateProcessing",
		"single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
		"pair": [],
		"special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
	"decoder": {"type": "Sequence", "decoders": [
		{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
		{"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
	"model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
		"vocab": {"<unk>": 0, "<s>": 1, "<0xC3>": 2, "<0xA9>": 3, "▁": 4, "a": 5, "b": 6, "c": 7,
			"ab": 8, "▁ab": 9, "bc": 10, "abc": 11},
		"merges": ["a b", "▁ ab", "b c", "ab c"]}
}`

// tiny parses tinyFile with some of its text replaced: old, new, old, new, …
func tiny(t testing.TB, changes ...string) *Tokenizer {
	t.Helper()
	tok, err := Parse([]byte(changed(t, changes...)))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func changed(t testing.TB, changes ...string) string {
	t.Helper()
	text := tinyFile
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("the file has no %q to replace", changes[i])
		}
		text = strings.Replace(text, changes[i], changes[i+1], 1)
	}
	return text
}
