package main

import (
	"testing"
	"unicode/utf8"

	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
)

// Wherever ids are cut into prompt and answer, the texts of both put together are the text of all.
func TestContinuation(t *testing.T) {
	tok, err := tokenizer.Open("testdata/golden/public-f32/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	const text = "naïve  日本語🙂 two words"
	ids, err := tok.Encode(text, true)
	if err != nil {
		t.Fatal(err)
	}
	inCharacter := 0
	for cut := range len(ids) + 1 {
		prompt, err := tok.Decode(ids[:cut], true)
		if err != nil {
			t.Fatal(err)
		}
		c, err := newContinuation(tok, ids[:cut])
		if err != nil {
			t.Fatal(err)
		}
		answer := ""
		for _, id := range ids[cut:] {
			more, err := c.push(id)
			if err != nil {
				t.Fatal(err)
			}
			answer += more
		}
		answer += c.flush()
		if !utf8.ValidString(answer) {
			t.Errorf("after %q comes %q, which is not UTF-8", prompt, answer)
		}
		// A prompt that ends amid a character's bytes reads otherwise than the whole does.
		if len(prompt) > len(text) || text[:len(prompt)] != prompt {
			inCharacter++
			continue
		}
		if prompt+answer != text {
			t.Errorf("%q and %q, want %q together", prompt, answer, text)
		}
	}
	if inCharacter == 0 {
		t.Error("no cut was within a character")
	}
	c, err := newContinuation(tok, ids)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.push(1 << 20); err == nil {
		t.Error("an unknown id is no error")
	}
}
