package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// parseModel reads the field "model".
func parseModel(f *fields) (*bpe, error) {
	if name := f.text("type"); f.err == nil && name != "BPE" {
		return nil, fmt.Errorf("%w: %s: type %q, want BPE", ErrUnsupported, f.path, name)
	}
	if f.has("dropout") {
		var p float64
		if f.value("dropout", "a number", &p); p != 0 {
			return nil, fmt.Errorf("%w: %s: dropout %v, want none", ErrUnsupported, f.path, p)
		}
	}
	for _, name := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		if f.has(name) && f.text(name) != "" {
			return nil, fmt.Errorf("%w: %s: %s %q", ErrUnsupported, f.path, name, f.text(name))
		}
	}
	m := &bpe{
		byteFallback: f.optionalFlag("byte_fallback", false),
		fuseUnknown:  f.optionalFlag("fuse_unk", false),
		ignoreMerges: f.optionalFlag("ignore_merges", false),
		unknownID:    absent,
	}
	if f.has("unk_token") {
		if m.unknown = f.text("unk_token"); m.unknown == "" {
			f.fail("unk_token is empty")
		}
	}
	var vocab json.RawMessage
	f.value("vocab", "an object", &vocab)
	err := f.close("type", "dropout", "continuing_subword_prefix", "end_of_word_suffix",
		"byte_fallback", "fuse_unk", "ignore_merges", "unk_token", "vocab", "merges")
	if err != nil {
		return nil, err
	}
	if err := m.readVocab(vocab); err != nil {
		return nil, fmt.Errorf("%w: %s.vocab: %w", ErrInvalid, f.path, err)
	}
	if err := m.readMerges(f.raw["merges"]); err != nil {
		return nil, fmt.Errorf("%w: %s.merges: %w", ErrInvalid, f.path, err)
	}
	return m, nil
}

// readVocab reads an object of token → id and what follows from it.
func (m *bpe) readVocab(raw json.RawMessage) error {
	m.ids, m.tokens = make(map[string]int32), make(map[int32]string)
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		value, err := dec.Token()
		if err != nil {
			return err
		}
		token := key.(string) // a key of well-formed JSON is a string
		number, ok := value.(json.Number)
		if !ok {
			return fmt.Errorf("token %s: got %v, want an id", quote(token), value)
		}
		id, err := parseID(number.String())
		if err != nil {
			return fmt.Errorf("token %s: %w", quote(token), err)
		}
		if err := m.add(token, id); err != nil {
			return err
		}
	}
	for b := range m.byteIDs {
		m.byteIDs[b] = absent
		if id, ok := m.ids[fmt.Sprintf("<0x%02X>", b)]; ok {
			m.byteIDs[b] = id
		}
	}
	if id, ok := m.ids[m.unknown]; ok {
		m.unknownID = id
	}
	return nil
}

// add gives token the id, each of which must be new.
func (m *bpe) add(token string, id int32) error {
	if old, twice := m.ids[token]; twice {
		return fmt.Errorf("token %s has the ids %d and %d", quote(token), old, id)
	}
	if old, twice := m.tokens[id]; twice {
		return fmt.Errorf("tokens %s and %s share the id %d", quote(old), quote(token), id)
	}
	m.ids[token], m.tokens[id] = id, token
	return nil
}

// readMerges reads the merges, lowest rank first, in either form: ["a b", …] or [["a", "b"], …]. Of two merges of one
// pair the later one counts.
func (m *bpe) readMerges(raw json.RawMessage) error {
	pairs, err := mergePairs(raw)
	if err != nil {
		return err
	}
	m.ranks, m.merged = make(map[uint64]uint32, len(pairs)), make([]int32, len(pairs))
	for rank, parts := range pairs {
		if len(parts) != 2 {
			return fmt.Errorf("merge %d: got %d tokens, want 2", rank, len(parts))
		}
		var ids [3]int32
		for i, token := range []string{parts[0], parts[1], parts[0] + parts[1]} {
			id, ok := m.ids[token]
			if !ok || token == "" {
				return fmt.Errorf("merge %d: token %s is not in the vocabulary", rank, quote(token))
			}
			ids[i] = id
		}
		m.ranks[pair(ids[0], ids[1])], m.merged[rank] = uint32(rank), ids[2]
	}
	return nil
}

// mergePairs reads either form of the merges into pairs. In the older form a line that starts with "#version" is a
// heading, not a merge.
func mergePairs(raw json.RawMessage) ([][]string, error) {
	if len(raw) == 0 {
		return nil, errors.New("the field is missing")
	}
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err == nil && pairs != nil {
		return pairs, nil
	}
	var lines []string
	if err := json.Unmarshal(raw, &lines); err != nil || lines == nil {
		return nil, fmt.Errorf(`got %s, want an array of strings "a b" or of pairs ["a", "b"]`, kind(raw))
	}
	pairs = nil
	for _, line := range lines {
		if !strings.HasPrefix(line, "#version") {
			pairs = append(pairs, strings.Split(line, " "))
		}
	}
	return pairs, nil
}
