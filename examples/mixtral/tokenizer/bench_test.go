package tokenizer

import (
	"path/filepath"
	"strings"
	"testing"
)

// longTexts are 1 MiB each; none but the last has a space in it.
var longTexts = map[string]string{
	"one letter": strings.Repeat("a", 1<<20),
	"letters":    strings.Repeat("thequickbrownfoxjumpsoverthelazydog", 1<<20/35),
	"bytes":      strings.Repeat("\U0001D518", 1<<18),
	"prose":      strings.Repeat("The quick brown fox jumps over the lazy dog. ", 1<<20/45),
}

func openGolden(tb testing.TB, name string) *Tokenizer {
	tb.Helper()
	tok, err := Open(filepath.Join(goldenDir, name, "tokenizer.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

func BenchmarkEncode(b *testing.B) {
	tok := openGolden(b, "mixtral-8x7b-tokenizer")
	for name, text := range longTexts {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tok.Encode(text, true); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := openGolden(b, "mixtral-8x7b-tokenizer")
	text := longTexts["prose"]
	ids, err := tok.Encode(text, true)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tok.Decode(ids, true); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for b.Loop() {
		openGolden(b, "mixtral-8x7b-tokenizer")
	}
}
