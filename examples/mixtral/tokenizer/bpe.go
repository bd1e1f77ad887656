package tokenizer

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// bpe is the byte-pair-encoding model: it cuts a word into characters and merges neighbours, lowest rank first.
type bpe struct {
	ids    map[string]int32 // token → id
	tokens map[int32]string // id → token

	ranks  map[uint64]uint32 // pair of ids → rank of its merge
	merged []int32           // rank → id of the merged token

	byteFallback bool
	byteIDs      [256]int32 // id of <0x00>, <0x01>, …; absent where the vocabulary lacks it

	unknown      string // unk_token, "" for none
	unknownID    int32  // absent where the vocabulary lacks unknown
	fuseUnknown  bool
	ignoreMerges bool
}

// absent stands for an id where there is none.
const absent = -1

// pair is the key of two neighbouring ids in bpe.ranks.
func pair(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// word is the working memory of one word's merging, kept from word to word. Symbol i is a token id; the symbols form a
// doubly linked list, in which a merge keeps the left symbol and drops the right one.
type word struct {
	ids        []int32
	prev, next []int32  // neighbours, absent at either end
	ranks      []uint32 // rank of the merge with the next symbol, noMerge for none
	queue      mergeQueue
}

const noMerge = math.MaxUint32

// encode appends the ids of text, one word, to dst.
func (m *bpe) encode(dst []int32, text string, w *word) ([]int32, error) {
	if m.ignoreMerges {
		if id, ok := m.ids[text]; ok {
			return append(dst, id), nil
		}
	}
	if len(text) > math.MaxInt32 {
		return nil, fmt.Errorf("%w: a word of %d bytes, want at most %d", ErrTooLarge, len(text), math.MaxInt32)
	}
	if err := m.split(text, w); err != nil {
		return nil, err
	}
	m.merge(w)
	for i := int32(0); len(w.ids) > 0 && i != absent; i = w.next[i] {
		dst = append(dst, w.ids[i])
	}
	return dst, nil
}

// split sets w.ids to the ids of the characters of text. A character that is no token becomes its bytes' tokens if all
// of these exist, else the unknown token, else nothing. As in the reference, an unknown token waits for the next
// character that is a token, so that those after it can be fused with it; byte tokens do not end that wait.
func (m *bpe) split(text string, w *word) error {
	w.ids = w.ids[:0]
	unknowns := 0 // unknown tokens that wait
	flush := func() {
		for ; unknowns > 0; unknowns-- {
			w.ids = append(w.ids, m.unknownID)
		}
	}
	for len(text) > 0 {
		_, size := utf8.DecodeRuneInString(text)
		char := text[:size]
		text = text[size:]
		if id, ok := m.ids[char]; ok {
			flush()
			w.ids = append(w.ids, id)
			continue
		}
		if m.byteFallback && m.hasBytes(char) {
			for i := range size {
				w.ids = append(w.ids, m.byteIDs[char[i]])
			}
			continue
		}
		if m.unknown == "" {
			continue
		}
		if m.unknownID == absent {
			return fmt.Errorf("%w: %q needs unk_token %q, which is not in the vocabulary", ErrInvalid, char, m.unknown)
		}
		if unknowns > 0 && !m.fuseUnknown {
			flush()
		}
		unknowns = 1
	}
	flush()
	return nil
}

func (m *bpe) hasBytes(char string) bool {
	for i := range len(char) {
		if m.byteIDs[char[i]] == absent {
			return false
		}
	}
	return true
}

// merge applies the merges to w.ids: again and again the lowest rank among all neighbours, the leftmost of equals.
// Every pair enters the queue when it comes to be; an entry whose pair is gone by then is dropped when it comes out.
func (m *bpe) merge(w *word) {
	n := len(w.ids)
	w.prev, w.next, w.ranks = resize(w.prev, n), resize(w.next, n), resize(w.ranks, n)
	w.queue = slices.Grow(w.queue[:0], n)
	for i := range w.ids {
		w.prev[i], w.next[i] = int32(i)-1, int32(i)+1
		w.ranks[i] = noMerge
		if i+1 < n {
			w.ranks[i] = m.rank(w.ids[i], w.ids[i+1])
		} else {
			w.next[i] = absent
		}
		if w.ranks[i] != noMerge {
			w.queue = append(w.queue, candidate(w.ranks[i], int32(i)))
		}
	}
	w.queue.order()
	for len(w.queue) > 0 {
		rank, i := w.queue.pop()
		if w.ranks[i] != rank {
			continue
		}
		gone := w.next[i]
		w.ids[i], w.next[i] = m.merged[rank], w.next[gone]
		w.ranks[gone] = noMerge
		if w.next[i] != absent {
			w.prev[w.next[i]] = i
		}
		m.pairUp(w, i)
		if w.prev[i] != absent {
			m.pairUp(w, w.prev[i])
		}
	}
}

// pairUp finds the merge of symbol i with its new neighbour to the right and queues it.
func (m *bpe) pairUp(w *word, i int32) {
	w.ranks[i] = noMerge
	if next := w.next[i]; next != absent {
		w.ranks[i] = m.rank(w.ids[i], w.ids[next])
	}
	if w.ranks[i] != noMerge {
		w.queue.push(candidate(w.ranks[i], i))
	}
}

func (m *bpe) rank(left, right int32) uint32 {
	if rank, ok := m.ranks[pair(left, right)]; ok {
		return rank
	}
	return noMerge
}

// resize returns a slice of n elements, s itself where it is large enough.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
