package tokenizer

import (
	"encoding/json"
	"fmt"
)

const maxTemplate = 1024 // special tokens around a text

// template holds the special tokens around an encoded text.
type template struct {
	before, after []int32
}

// parseTemplate reads the field "post_processor". Only the template of a single text matters here; has says which ids
// there are.
func parseTemplate(path string, raw json.RawMessage, has func(int32) bool) (t template, err error) {
	if missing(raw) {
		return t, nil
	}
	f := readFields(path, raw)
	name := f.text("type")
	if f.err == nil && name != "TemplateProcessing" {
		return t, unknownType(f, name)
	}
	single := f.list("single")
	tokens := f.object("special_tokens")
	if err := f.close("type", "single", "pair", "special_tokens"); err != nil {
		return t, err
	}
	seen := false // the place of the text
	for i, elem := range single {
		piece := readFields(fmt.Sprintf("%s.single[%d]", path, i), elem)
		if piece.has("Sequence") {
			sequence := piece.object("Sequence")
			if id := sequence.text("id"); sequence.err == nil && (id != "A" || seen) {
				sequence.fail("sequence %s, want A, and it once", quote(id))
			}
			if sequence.err != nil {
				return t, sequence.err
			}
			if err := piece.close("Sequence"); err != nil {
				return t, err
			}
			seen = true
			continue
		}
		ids, err := specialIDs(piece, tokens, has)
		if err != nil {
			return t, err
		}
		if len(t.before)+len(t.after)+len(ids) > maxTemplate {
			return t, fmt.Errorf("%w: %s.single: more than %d special tokens", ErrTooLarge, path, maxTemplate)
		}
		if seen {
			t.after = append(t.after, ids...)
		} else {
			t.before = append(t.before, ids...)
		}
	}
	if !seen {
		return t, fmt.Errorf("%w: %s.single: the sequence A is missing", ErrInvalid, path)
	}
	return t, nil
}

// specialIDs returns the ids of one special token of the template.
func specialIDs(piece, tokens *fields, has func(int32) bool) ([]int32, error) {
	name := piece.object("SpecialToken").text("id")
	if err := piece.close("SpecialToken"); err != nil {
		return nil, err
	}
	token := tokens.object(name)
	var ids []int32
	for _, raw := range token.list("ids") {
		id, err := parseID(string(raw))
		if err == nil && !has(id) {
			err = fmt.Errorf("no token has the id %d", id)
		}
		if err != nil {
			token.fail("%v", err)
			break
		}
		ids = append(ids, id)
	}
	return ids, token.close("id", "ids", "tokens")
}
