package tokenizer

import (
	"fmt"
	"strings"
)

// metaspace makes spaces visible, puts one in front, and splits before each of them. As a decoder it does the reverse.
type metaspace struct {
	mark   string // what stands for a space, one character
	scheme string // prependAlways, prependFirst or prependNever
	split  bool
}

const (
	prependAlways = "always"
	prependFirst  = "first"
	prependNever  = "never"
)

func parseMetaspace(f *fields) (m metaspace, err error) {
	m = metaspace{mark: f.char("replacement"), scheme: prependAlways, split: f.optionalFlag("split", true)}
	prefix := f.optionalFlag("add_prefix_space", true)
	if f.has("prepend_scheme") {
		m.scheme = f.text("prepend_scheme")
	} else if !prefix {
		m.scheme = prependNever
	}
	switch {
	case f.err != nil:
	case m.scheme != prependAlways && m.scheme != prependFirst && m.scheme != prependNever:
		return m, fmt.Errorf("%w: %s: prepend_scheme %s", ErrUnsupported, f.path, quote(m.scheme))
	case !prefix && m.scheme != prependNever:
		f.fail("add_prefix_space is false and prepend_scheme is %q", m.scheme)
	}
	// Some versions of the library wrote the mark a second time, as str_rep, and read it nowhere.
	return m, f.close("type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")
}

func parsePreTokenizer(f *fields, kind string) (metaspace, error) {
	if kind == "Metaspace" {
		return parseMetaspace(f)
	}
	return metaspace{}, unknownType(f, kind)
}

// apply passes on the parts of p, none of them empty.
func (m metaspace) apply(p piece, visit func(piece) error) error {
	space := normalStep{find: " ", content: m.mark}
	lead := p.lead
	if strings.Contains(p.text, " ") {
		lead = space.replacedLead(p)
	}
	p = piece{strings.ReplaceAll(p.text, " ", m.mark), lead}
	if !strings.HasPrefix(p.text, m.mark) && (m.scheme == prependAlways || m.scheme == prependFirst && p.lead > 0) {
		p.text = m.mark + p.text
		if p.lead > 0 {
			p.lead += len(m.mark)
		}
	}
	for m.split {
		first := strings.Index(p.text[1:], m.mark) // the mark at the start, if any, belongs to this part
		if first < 0 {
			break
		}
		if err := visit(p.slice(0, first+1)); err != nil {
			return err
		}
		p = p.slice(first+1, len(p.text))
	}
	return visit(p)
}
