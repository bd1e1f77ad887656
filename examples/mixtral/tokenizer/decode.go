package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// decoder is the chain of steps from tokens to text.
type decoder struct {
	steps  []decodeStep
	spaced bool // there is no decoder: the tokens stand as they are, with a space between two
}

// decodeStep is one step. Before a Fuse it works on tokens, one string each; after it on a single token that comes in
// fragments, cut anywhere between two characters.
type decodeStep interface {
	onTokens(next stage) stage
	onFragments(next stage) stage
}

// stage is a step at work: it passes on what it makes of the strings pushed into it.
type stage interface {
	push(s string)
	end() // no more strings come; the stage is done for
}

// maxGrowth bounds how many times as long a decoder's Replace steps may make a text.
const maxGrowth = 64

// parseDecoder reads the field "decoder".
func parseDecoder(path string, raw json.RawMessage) (decoder, error) {
	if missing(raw) {
		return decoder{spaced: true}, nil
	}
	steps, err := parseSteps(path, raw, "decoders", parseDecodeStep)
	if err != nil {
		return decoder{}, err
	}
	growth := 1
	for _, s := range steps {
		if r, ok := s.(normalStep); ok && len(r.content) > len(r.find) {
			growth *= (len(r.content) + len(r.find) - 1) / len(r.find)
		}
		if growth > maxGrowth {
			return decoder{}, fmt.Errorf("%w: %s: may make a text more than %d times as long", ErrTooLarge, path, maxGrowth)
		}
	}
	return decoder{steps: steps}, nil
}

func parseDecodeStep(f *fields, kind string) (decodeStep, error) {
	switch kind {
	case "Replace":
		return parseReplace(f)
	case "ByteFallback":
		return byteFallback{}, f.close("type")
	case "Fuse":
		return fuse{}, f.close("type")
	case "Strip":
		s := strip{mark: f.char("content"), start: int(f.number("start")), stop: int(f.number("stop"))}
		return s, f.close("type", "content", "start", "stop")
	case "Metaspace":
		return parseMetaspace(f)
	}
	return nil, unknownType(f, kind)
}

// begin returns the first stage of a chain that ends in out.
func (d decoder) begin(out *strings.Builder) stage {
	var next stage = (*sink)(out)
	if d.spaced {
		return &spacer{next: next}
	}
	fused := slices.Index(d.steps, decodeStep(fuse{}))
	for i, s := range slices.Backward(d.steps) {
		if fused >= 0 && i > fused {
			next = s.onFragments(next)
		} else {
			next = s.onTokens(next)
		}
	}
	return next
}

// sink is the end of every chain.
type sink strings.Builder

func (s *sink) push(text string) { (*strings.Builder)(s).WriteString(text) }
func (s *sink) end()             {}

// spacer puts a space between two tokens.
type spacer struct {
	next stage
	some bool
}

func (s *spacer) push(token string) {
	if s.some {
		s.next.push(" ")
	}
	s.some = true
	s.next.push(token)
}

func (s *spacer) end() { s.next.end() }

// each changes every string on its own.
type each struct {
	next   stage
	change func(string) string
}

func (e each) push(s string) { e.next.push(e.change(s)) }
func (e each) end()          { e.next.end() }

// fuse makes one token of all. There is nothing to do but to tell the later steps, see begin.
type fuse struct{}

func (fuse) onTokens(next stage) stage    { return next }
func (fuse) onFragments(next stage) stage { return next }

// strip removes up to start marks from the start of a token and up to stop from its end.
type strip struct {
	mark        string
	start, stop int
}

func (s strip) onTokens(next stage) stage { return each{next, s.token} }

func (s strip) onFragments(next stage) stage { return &fragmentStrip{strip: s, next: next} }

func (s strip) token(text string) string {
	for i := 0; i < s.start && strings.HasPrefix(text, s.mark); i++ {
		text = text[len(s.mark):]
	}
	for i := 0; i < s.stop && strings.HasSuffix(text, s.mark); i++ {
		text = text[:len(text)-len(s.mark)]
	}
	return text
}

func (s normalStep) onTokens(next stage) stage {
	return each{next, func(text string) string { return strings.ReplaceAll(text, s.find, s.content) }}
}

func (s normalStep) onFragments(next stage) stage { return &fragmentReplace{normalStep: s, next: next} }

// onTokens turns marks into spaces, those of the first token into nothing unless none was put in front when encoding.
func (m metaspace) onTokens(next stage) stage {
	space := " "
	if m.scheme != prependNever {
		space = ""
	}
	return each{next, func(text string) string {
		text = strings.ReplaceAll(text, m.mark, space)
		space = " "
		return text
	}}
}

// onFragments does what onTokens does to a first token.
func (m metaspace) onFragments(next stage) stage {
	space := " "
	if m.scheme != prependNever {
		space = ""
	}
	return each{next, func(text string) string { return strings.ReplaceAll(text, m.mark, space) }}
}
