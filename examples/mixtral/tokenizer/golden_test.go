package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// goldenDir holds the tokenizers of checkpoints and, for each, texts with the ids and decodings of the reference.
const goldenDir = "../testdata/golden"

func TestCheckpointTokenizers(t *testing.T) {
	for _, name := range []string{"mixtral-8x7b-tokenizer", "public-f32"} {
		t.Run(name, func(t *testing.T) {
			tok, err := Open(filepath.Join(goldenDir, name, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(filepath.Join(goldenDir, name, "tokenizer_golden.json"))
			if err != nil {
				t.Fatal(err)
			}
			var cases []struct {
				Text    string
				IDs     []int32
				Decoded string
			}
			if err := json.Unmarshal(data, &cases); err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				ids, err := tok.Encode(c.Text, true)
				if err != nil || !slices.Equal(ids, c.IDs) {
					t.Errorf("Encode(%q) = %v, %v; want %v", c.Text, ids, err, c.IDs)
				}
				text, err := tok.Decode(c.IDs, true)
				if err != nil || text != c.Decoded {
					t.Errorf("Decode(%v) = %q, %v; want %q", c.IDs, text, err, c.Decoded)
				}
			}
		})
	}
}
