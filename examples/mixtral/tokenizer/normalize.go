package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	maxLiteral = 1024 // bytes of an added token, of a literal to find and of its replacement
	maxNesting = 8    // Sequences within Sequences
	maxSteps   = 64   // steps of a normalizer, a pre-tokenizer or a decoder
)

// piece is a stretch of text on its way to the model.
type piece struct {
	text string
	// lead is how many bytes at the start of text stem from the first character of the whole input. It tells the
	// first piece of an input, to which alone Metaspace's "first" applies, also after normalization.
	lead int
}

// slice returns a part of p.
func (p piece) slice(from, to int) piece {
	return piece{p.text[from:to], min(max(p.lead-from, 0), to-from)}
}

// normalStep is one step of a normalizer: it inserts content before a text that is not empty, or puts content in the
// place of each find.
type normalStep struct {
	find, content string // find is "" for Prepend
}

// apply returns an error if the text gets longer than limit bytes.
func (s normalStep) apply(p piece, limit int) (piece, error) {
	if p.text == "" {
		return p, nil
	}
	times := 1
	if s.find != "" {
		times = strings.Count(p.text, s.find)
	}
	if size := len(p.text) + times*(len(s.content)-len(s.find)); size > limit {
		return p, fmt.Errorf("%w: the normalizer makes a text of %d bytes, with %d allowed", ErrTooLarge, size, limit)
	}
	switch {
	case times == 0:
		return p, nil
	case s.find != "":
		return piece{strings.ReplaceAll(p.text, s.find, s.content), s.replacedLead(p)}, nil
	case p.lead > 0:
		return piece{s.content + p.text, len(s.content) + p.lead}, nil
	}
	return piece{s.content + p.text, 0}, nil
}

// replacedLead returns p.lead after the replacement. The replacement stems from the last character of what it replaces.
func (s normalStep) replacedLead(p piece) (lead int) {
	text := p.text[:min(len(p.text), p.lead+len(s.find)-1)] // every find that starts within the lead
	for at := 0; at < p.lead; {
		i := strings.Index(text[at:], s.find)
		if i < 0 || at+i >= p.lead {
			return lead + p.lead - at
		}
		lead += i
		at += i + len(s.find)
		if at <= p.lead {
			lead += len(s.content)
		}
	}
	return lead
}

// normalize applies all steps, with limit bytes allowed for each result.
func normalize(steps []normalStep, p piece, limit int) (piece, error) {
	var err error
	for _, s := range steps {
		if p, err = s.apply(p, limit); err != nil {
			return p, err
		}
	}
	return p, nil
}

func parseNormalStep(f *fields, kind string) (step normalStep, err error) {
	switch kind {
	case "Prepend":
		step.content = f.literal("prepend")
		return step, f.close("type", "prepend")
	case "Replace":
		return parseReplace(f)
	}
	return step, unknownType(f, kind)
}

// parseReplace reads a Replace step, the same in a normalizer and a decoder.
func parseReplace(f *fields) (step normalStep, err error) {
	step.content = f.literal("content")
	pattern := f.object("pattern")
	if pattern.has("String") || pattern.err != nil {
		step.find = pattern.literal("String")
	}
	if err := pattern.close("String"); err != nil {
		return step, err
	}
	if step.find == "" {
		return step, fmt.Errorf("%w: %s: no string to find", ErrUnsupported, f.path)
	}
	return step, f.close("type", "pattern", "content")
}

func unknownType(f *fields, kind string) error {
	return fmt.Errorf("%w: %s: type %s", ErrUnsupported, f.path, quote(kind))
}

// parseSteps reads a component that is one step or a Sequence of them, listed in the field named list. It returns no
// steps where raw is missing or null.
func parseSteps[S any](path string, raw json.RawMessage, list string, parse func(*fields, string) (S, error)) ([]S, error) {
	if missing(raw) {
		return nil, nil
	}
	return appendSteps(nil, path, raw, list, parse, 0)
}

func appendSteps[S any](steps []S, path string, raw json.RawMessage, list string,
	parse func(*fields, string) (S, error), depth int) ([]S, error) {
	f := readFields(path, raw)
	name := f.text("type")
	if f.err != nil {
		return nil, f.err
	}
	if name != "Sequence" {
		step, err := parse(f, name)
		return append(steps, step), err
	}
	elems := f.list(list)
	if err := f.close("type", list); err != nil {
		return nil, err
	}
	if depth == maxNesting {
		return nil, fmt.Errorf("%w: %s: a Sequence more than %d deep", ErrTooLarge, path, maxNesting)
	}
	var err error
	for i, elem := range elems {
		if steps, err = appendSteps(steps, fmt.Sprintf("%s.%s[%d]", path, list, i), elem, list, parse, depth+1); err != nil {
			return nil, err
		}
		if len(steps) > maxSteps {
			return nil, fmt.Errorf("%w: %s: more than %d steps", ErrTooLarge, path, maxSteps)
		}
	}
	return steps, nil
}
