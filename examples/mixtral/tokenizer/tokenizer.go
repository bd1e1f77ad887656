package tokenizer

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
)

// Tokenizer is a parsed tokenizer.json. It never changes: any number of goroutines may use one.
type Tokenizer struct {
	model         *bpe
	added         map[int32]*addedToken
	addedIDs      map[string]int32
	decodedAs     map[int32]string // normalized added tokens
	raw           *matcher         // added tokens to find in the text as it is
	normalized    *matcher         // added tokens to find in the normalized text
	normalizer    []normalStep
	preTokenizer  []metaspace
	postProcessor template
	decoder       decoder
	size          int
}

const maxFile = 1 << 28 // bytes of a tokenizer.json; the largest in use have some 2²⁵

// Open parses the tokenizer.json at path. Errors are those of reading the file and of [Parse].
func Open(path string) (*Tokenizer, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s: %w: %d bytes, want at most %d", path, ErrTooLarge, info.Size(), maxFile)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1)) // a pipe has no size
	if err != nil {
		return nil, err
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Parse reads the text of a tokenizer.json. It returns an [ErrInvalid] for a text that is malformed or contradicts
// itself, an [ErrUnsupported] for one that asks for what this package does not do, and an [ErrTooLarge] for one beyond
// its bounds; each says where in the file. The Tokenizer keeps nothing of data.
func Parse(data []byte) (*Tokenizer, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrTooLarge, len(data), maxFile)
	}
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	f := readFields("$", data)
	if f.has("version") {
		if version := f.text("version"); f.err == nil && version != "1.0" {
			return nil, fmt.Errorf("%w: version %s, want 1.0", ErrUnsupported, quote(version))
		}
	}
	model := f.object("model")
	var added []json.RawMessage
	if f.has("added_tokens") {
		added = f.list("added_tokens")
	}
	err := f.close("version", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model")
	if err != nil {
		return nil, err
	}
	t := new(Tokenizer)
	if t.model, err = parseModel(model); err != nil {
		return nil, err
	}
	if t.normalizer, err = parseSteps("$.normalizer", f.raw["normalizer"], "normalizers", parseNormalStep); err != nil {
		return nil, err
	}
	t.preTokenizer, err = parseSteps("$.pre_tokenizer", f.raw["pre_tokenizer"], "pretokenizers", parsePreTokenizer)
	if err != nil {
		return nil, err
	}
	if t.decoder, err = parseDecoder("$.decoder", f.raw["decoder"]); err != nil {
		return nil, err
	}
	if err = t.addTokens(added); err != nil {
		return nil, err
	}
	has := func(id int32) bool { _, ok := t.Token(id); return ok }
	if t.postProcessor, err = parseTemplate("$.post_processor", f.raw["post_processor"], has); err != nil {
		return nil, err
	}
	return t, nil
}

// addTokens reads the field "added_tokens". The library gives an added token the id that it has in the vocabulary, or
// else the next one after as many as the vocabulary has tokens, whatever the file says: where these differ, no id is
// right.
func (t *Tokenizer) addTokens(raw []json.RawMessage) error {
	t.added, t.addedIDs, t.decodedAs = make(map[int32]*addedToken), make(map[string]int32), make(map[int32]string)
	t.size = len(t.model.ids)
	var plain, normalized []pattern
	for i, elem := range raw {
		path := fmt.Sprintf("$.added_tokens[%d]", i)
		a, err := parseAddedToken(path, elem)
		if err != nil {
			return err
		}
		if a.content == "" {
			continue // as the library does: it would match nothing
		}
		id, known := t.model.ids[a.content]
		if !known {
			id = int32(t.size)
			t.size++
		}
		_, twice := t.addedIDs[a.content]
		holder, taken := t.model.tokens[id]
		switch {
		case id != a.id:
			return fmt.Errorf("%w: %s: token %s of id %d, want id %d", ErrInvalid, path, quote(a.content), a.id, id)
		case twice:
			return fmt.Errorf("%w: %s: token %s is there twice", ErrInvalid, path, quote(a.content))
		case taken && !known:
			return fmt.Errorf("%w: %s: tokens %s and %s share the id %d",
				ErrInvalid, path, quote(holder), quote(a.content), id)
		}
		t.added[id], t.addedIDs[a.content] = &a, id
		if !a.normalized {
			plain = append(plain, pattern{a.content, a})
			continue
		}
		p, err := normalize(t.normalizer, piece{text: a.content}, budget(len(a.content)))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		t.decodedAs[id] = p.text
		if p.text != "" { // else nothing is left to find
			normalized = append(normalized, pattern{p.text, a})
		}
	}
	var err error
	if t.raw, err = newMatcher(plain); err != nil {
		return err
	}
	t.normalized, err = newMatcher(normalized)
	return err
}

// VocabSize returns how many tokens there are, added ones included.
func (t *Tokenizer) VocabSize() int { return t.size }

// MaxID returns the highest id of any token, -1 if there is none. A model needs MaxID+1 rows of embeddings, which is
// more than VocabSize where the ids have gaps.
func (t *Tokenizer) MaxID() int32 {
	highest := int32(absent)
	for id := range t.model.tokens {
		highest = max(highest, id)
	}
	for id := range t.added {
		highest = max(highest, id)
	}
	return highest
}

// ID returns the id of a token. It takes the token as it stands in the file, for instance "▁the" or "</s>".
func (t *Tokenizer) ID(token string) (id int32, ok bool) {
	if id, ok = t.addedIDs[token]; !ok {
		id, ok = t.model.ids[token]
	}
	return id, ok
}

// Token returns the token of an id, as it stands in the file; [Tokenizer.Decode] makes text of it.
func (t *Tokenizer) Token(id int32) (token string, ok bool) {
	if a, added := t.added[id]; added {
		return a.content, true
	}
	token, ok = t.model.tokens[id]
	return token, ok
}

// decodable returns the token of an id as the decoder gets it: an added token that is found in the normalized text in
// its normalized form, which the decoder undoes.
func (t *Tokenizer) decodable(id int32) (token string, ok bool) {
	if token, ok = t.decodedAs[id]; ok {
		return token, true
	}
	return t.Token(id)
}

// IsSpecial says whether the id is one of a special added token, such as <s>.
func (t *Tokenizer) IsSpecial(id int32) bool {
	a, ok := t.added[id]
	return ok && a.special
}

// Decode returns the text of ids; with skipSpecial without the special tokens. An id that no token has is an
// [ErrUnknownID].
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	s := t.NewStream(skipSpecial)
	for i, id := range ids {
		if err := s.push(id); err != nil {
			return "", fmt.Errorf("id %d of %d: %w", i, len(ids), err)
		}
	}
	return s.Flush(), nil
}

// Encode returns the ids of text; with addSpecial also those that the file's template puts around a text, such as <s>
// before it. Special tokens that stand in the text itself are found either way. An invalid byte counts as U+FFFD.
//
// It fails with an [ErrInvalid] where a character is no token, has no byte tokens, and the file's unk_token is not in
// its vocabulary; and with an [ErrTooLarge] where the file's normalizer makes a text far longer than it was, or where a
// word has more than 2³¹−1 bytes.
func (t *Tokenizer) Encode(text string, addSpecial bool) ([]int32, error) {
	e := encoder{Tokenizer: t}
	if addSpecial {
		e.ids = slices.Clone(t.postProcessor.before)
	}
	if err := e.encode(text); err != nil {
		return nil, err
	}
	if addSpecial {
		e.ids = append(e.ids, t.postProcessor.after...)
	}
	return e.ids, nil
}
