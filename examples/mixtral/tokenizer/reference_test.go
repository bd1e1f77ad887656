package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// variant is one entry of testdata/reference.json, which testdata/make_golden.py makes.
type variant struct {
	Name, Base string
	Patch      json.RawMessage
	Cases      []struct {
		Text    *string // nil for ids that come from no text
		Add     bool
		IDs     []int32
		Decoded string // without special tokens
		Full    string
	}
}

func TestReference(t *testing.T) {
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	var variants []variant
	if err := json.Unmarshal(data, &variants); err != nil {
		t.Fatal(err)
	}
	for _, v := range variants {
		t.Run(v.Name, func(t *testing.T) {
			tok := v.tokenizer(t)
			for _, c := range v.Cases {
				if c.Text != nil {
					ids, err := tok.Encode(*c.Text, c.Add)
					if err != nil || !slices.Equal(ids, c.IDs) {
						t.Errorf("Encode(%q, %t) = %v, %v; want %v", *c.Text, c.Add, ids, err, c.IDs)
					}
				}
				for _, skip := range []bool{true, false} {
					want := c.Full
					if skip {
						want = c.Decoded
					}
					text, err := tok.Decode(c.IDs, skip)
					if err != nil || text != want {
						t.Errorf("Decode(%v, %t) = %q, %v; want %q", c.IDs, skip, text, err, want)
					}
					if text := streamed(t, tok, c.IDs, skip); text != want {
						t.Errorf("streaming %v, %t: %q, want %q", c.IDs, skip, text, want)
					}
				}
			}
		})
	}
}

// streamed decodes ids one by one.
func streamed(t *testing.T, tok *Tokenizer, ids []int32, skip bool) (text string) {
	t.Helper()
	s := tok.NewStream(skip)
	for _, id := range ids {
		part, err := s.Push(id)
		if err != nil {
			t.Fatalf("Push(%d): %v", id, err)
		}
		if !utf8.ValidString(part) {
			t.Errorf("Push(%d) of %v = %q, which is not UTF-8", id, ids, part)
		}
		text += part
	}
	return text + s.Flush()
}

// tokenizer parses the base with the patch applied.
func (v variant) tokenizer(t *testing.T) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(goldenDir, v.Base, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(patched(t, data, v.Patch))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// patched sets the fields that patch names by their paths, such as "model.vocab.a", and removes those it gives as null.
func patched(t testing.TB, data, patch []byte) []byte {
	t.Helper()
	var file map[string]any
	var changes map[string]any
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(patch, &changes); err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		names := strings.SplitN(path, ".", 3)
		object := file
		for ; len(names) > 1; names = names[1:] {
			object = object[names[0]].(map[string]any)
		}
		if object[names[0]] = value; value == nil {
			delete(object, names[0])
		}
	}
	result, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return result
}
