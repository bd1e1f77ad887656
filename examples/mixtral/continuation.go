package main

import (
	"unicode/utf8"

	"github.com/gorgonia/moe/examples/mixtral/tokenizer"
)

// continuation turns the ids that follow a prompt into text. What a token reads as depends on those before it (the first
// one of a text loses its space, bytes of a character come in several tokens), so the prompt's ids are decoded too, and the
// bytes of its text are left out.
type continuation struct {
	stream *tokenizer.Stream
	skip   int // bytes of the prompt's text that the stream still holds back
}

// newContinuation starts after the prompt, which the tokenizer must have made.
func newContinuation(t *tokenizer.Tokenizer, prompt []int32) (*continuation, error) {
	text, err := t.Decode(prompt, true)
	if err != nil {
		return nil, err
	}
	c := &continuation{stream: t.NewStream(true), skip: len(text)}
	for _, id := range prompt {
		if _, err := c.push(id); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// push takes the next id and returns the text that is certain by now.
func (c *continuation) push(id int32) (string, error) {
	text, err := c.stream.Push(id)
	return c.cut(text), err
}

// flush ends the text and returns the rest of it.
func (c *continuation) flush() string { return c.cut(c.stream.Flush()) }

// cut takes the prompt's bytes off the front. A character that bytes of prompt and answer make together is left out whole.
func (c *continuation) cut(text string) string {
	n := min(c.skip, len(text))
	c.skip -= n
	for n > 0 && n < len(text) && !utf8.RuneStart(text[n]) {
		n++
	}
	return text[n:]
}
