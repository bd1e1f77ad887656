package tokenizer

import "unicode/utf8"

// budget is how many bytes a normalizer may make of a text of size bytes. The common ones make three of one at most.
func budget(size int) int { return 64*size + 1<<12 }

// encoder is the state of one call of Encode.
type encoder struct {
	*Tokenizer
	ids  []int32
	left int // bytes that the normalizer may still make
	word word
}

func (e *encoder) encode(text string) error {
	if !utf8.ValidString(text) {
		text = string([]rune(text))
	}
	e.left = budget(len(text))
	_, lead := utf8.DecodeRuneInString(text)
	whole := piece{text, lead}
	return e.raw.cut(text, func(s stretch) error {
		if s.token != nil {
			e.ids = append(e.ids, s.token.id)
			return nil
		}
		return e.plain(whole.slice(s.from, s.to))
	})
}

// plain encodes a piece between the added tokens that are found before normalization.
func (e *encoder) plain(p piece) error {
	p, err := normalize(e.normalizer, p, e.left)
	if err != nil {
		return err
	}
	e.left -= len(p.text)
	return e.normalized.cut(p.text, func(s stretch) error {
		if s.token != nil {
			e.ids = append(e.ids, s.token.id)
			return nil
		}
		return e.words(p.slice(s.from, s.to), e.preTokenizer)
	})
}

// words encodes the words that the pre-tokenizer's steps make of p.
func (e *encoder) words(p piece, steps []metaspace) (err error) {
	if len(steps) == 0 {
		e.ids, err = e.model.encode(e.ids, p.text, &e.word)
		return err
	}
	return steps[0].apply(p, func(part piece) error { return e.words(part, steps[1:]) })
}
