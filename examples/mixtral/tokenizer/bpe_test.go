package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// mergedOneByOne is the definition of merging: look at all pairs, merge the one of lowest rank, the leftmost of equals,
// and start again.
func mergedOneByOne(m *bpe, ids []int32) []int32 {
	ids = slices.Clone(ids)
	for {
		best, at := uint32(noMerge), 0
		for i := range len(ids) - 1 {
			if rank := m.rank(ids[i], ids[i+1]); rank < best {
				best, at = rank, i
			}
		}
		if best == noMerge {
			return ids
		}
		ids[at] = m.merged[best]
		ids = slices.Delete(ids, at+1, at+2)
	}
}

func checkMerge(t *testing.T, m *bpe, text string, w *word) {
	t.Helper()
	if err := m.split(text, w); err != nil {
		t.Fatal(err)
	}
	want := mergedOneByOne(m, w.ids)
	plain := *m
	plain.ignoreMerges = false
	got, err := plain.encode(nil, text, w)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("encode(%q) = %v, %v; one by one: %v", text, got, err, want)
	}
}

func TestMergeOrder(t *testing.T) {
	var w word // kept from text to text, as in an encoding
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"public-f32", "mixtral-8x7b-tokenizer"} {
		m := openGolden(t, name).model
		alphabet := []string{"▁", "▁", "e", "t", "th", "e▁", "self.", "x", "=", "é", "日", "_", "##"}
		for n := range 200 {
			var text strings.Builder
			for range n {
				text.WriteString(alphabet[rng.IntN(len(alphabet))])
			}
			checkMerge(t, m, text.String(), &w)
		}
	}
}

// Merges of random rank over two letters leave the queue full of entries that are out of date.
func TestMergeOrderRandomRanks(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		m := &bpe{ids: make(map[string]int32), tokens: make(map[int32]string), ranks: make(map[uint64]uint32)}
		tokens := []string{"a", "b"}
		for len(tokens) < 40 {
			if s := tokens[rng.IntN(len(tokens))] + tokens[rng.IntN(len(tokens))]; !slices.Contains(tokens, s) {
				tokens = append(tokens, s)
			}
		}
		for id, s := range tokens {
			if err := m.add(s, int32(id)); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range rng.Perm(len(tokens) * len(tokens)) {
			left, right := int32(at/len(tokens)), int32(at%len(tokens))
			if id, ok := m.ids[tokens[left]+tokens[right]]; ok {
				m.ranks[pair(left, right)] = uint32(len(m.merged))
				m.merged = append(m.merged, id)
			}
		}
		var w word
		for n := range 60 {
			text := make([]byte, n)
			for i := range text {
				text[i] = 'a' + byte(rng.IntN(2))
			}
			checkMerge(t, m, string(text), &w)
		}
	}
}

// A long text without spaces is one word. What takes a second here would take hours one by one.
func TestEncodeLong(t *testing.T) {
	tok := openGolden(t, "mixtral-8x7b-tokenizer")
	for name, text := range longTexts {
		start := time.Now()
		ids, err := tok.Encode(text, true)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: %d bytes took %v", name, len(text), took)
		}
		if decoded, err := tok.Decode(ids, true); err != nil || decoded != text {
			t.Errorf("%s: the decoding differs, %v", name, err)
		}
	}
}

func TestQueue(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 100 {
		var q mergeQueue
		var want []uint64
		add := func() uint64 {
			entry := candidate(rng.Uint32N(8), rng.Int32N(100))
			want = append(want, entry)
			return entry
		}
		for range n {
			q = append(q, add())
		}
		q.order()
		for range n / 2 {
			q.push(add())
		}
		slices.Sort(want)
		for i, entry := range want {
			if got := candidate(q.pop()); got != entry {
				t.Fatalf("entry %d of %d: got %x, want %x", i, len(want), got, entry)
			}
		}
		if len(q) != 0 {
			t.Fatalf("%d entries are left", len(q))
		}
	}
}
