package tokenizer

import (
	"fmt"
	"strings"
)

// Stream decodes ids as they come, for a model that generates one after another. The texts that Push and Flush return,
// put together, are what [Tokenizer.Decode] returns for all the ids. Each of these texts is valid UTF-8.
//
// A Stream is for one goroutine; any number of them can share a Tokenizer.
type Stream struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	chain       stage
	out         *strings.Builder
}

// NewStream returns a Stream at its beginning. With skipSpecial, special tokens yield no text.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	s := &Stream{tokenizer: t, skipSpecial: skipSpecial, out: new(strings.Builder)}
	s.chain = t.decoder.begin(s.out)
	return s
}

// Push takes the next id and returns the text that is certain by now, which may be empty: byte tokens wait for the end
// of their run, and what a decoder may still strip waits for the next character. An id that no token has is an
// [ErrUnknownID] and leaves the Stream as it was.
func (s *Stream) Push(id int32) (string, error) {
	if err := s.push(id); err != nil {
		return "", err
	}
	return s.take(), nil
}

// Flush ends the text: it returns what was held back and sets the Stream to its beginning.
func (s *Stream) Flush() string {
	s.chain.end()
	s.chain = s.tokenizer.decoder.begin(s.out)
	return s.take()
}

func (s *Stream) push(id int32) error {
	token, ok := s.tokenizer.decodable(id)
	switch {
	case !ok:
		return fmt.Errorf("%w: %d", ErrUnknownID, id)
	case s.skipSpecial && s.tokenizer.IsSpecial(id):
	default:
		s.chain.push(token)
	}
	return nil
}

// take returns the text decoded since the last call.
func (s *Stream) take() string {
	text := s.out.String()
	s.out.Reset()
	return text
}
