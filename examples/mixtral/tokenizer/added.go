package tokenizer

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before the model sees it.
type addedToken struct {
	id                         int32
	content                    string
	singleWord, lstrip, rstrip bool
	normalized, special        bool
}

func parseAddedToken(path string, raw json.RawMessage) (addedToken, error) {
	f := readFields(path, raw)
	a := addedToken{
		id:         f.number("id"),
		content:    f.literal("content"),
		singleWord: f.flag("single_word"),
		lstrip:     f.flag("lstrip"),
		rstrip:     f.flag("rstrip"),
		normalized: f.flag("normalized"),
		special:    f.flag("special"),
	}
	return a, f.close("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")
}

// matcher finds added tokens in a text. The zero matcher finds none.
type matcher struct {
	patterns []pattern  // sorted by text
	first    [257]int32 // patterns[first[b]:first[b+1]] start with the byte b
}

type pattern struct {
	text  string
	token addedToken
}

// newMatcher refuses two equal patterns. None may be empty.
func newMatcher(patterns []pattern) (*matcher, error) {
	m := &matcher{patterns: patterns}
	sort.Slice(patterns, func(i, j int) bool { return patterns[i].text < patterns[j].text })
	for i, p := range patterns {
		if i > 0 && patterns[i-1].text == p.text {
			return nil, fmt.Errorf("%w: the added tokens of id %d and %d match the same text %s",
				ErrInvalid, patterns[i-1].token.id, p.token.id, quote(p.text))
		}
		m.first[int(p.text[0])+1]++
	}
	for b := range 256 {
		m.first[b+1] += m.first[b]
	}
	return m, nil
}

// longest returns the longest pattern that text starts with, nil for none. It narrows the sorted patterns down byte by
// byte, until one is left; the first of those left is the shortest, hence the one that may be complete.
func (m *matcher) longest(text string) (found *pattern) {
	left := m.patterns[m.first[text[0]]:m.first[int(text[0])+1]]
	for n := 1; len(left) > 1; n++ {
		if len(left[0].text) == n {
			found, left = &left[0], left[1:]
		}
		if n == len(text) {
			return found
		}
		next := text[n]
		from := sort.Search(len(left), func(i int) bool { return left[i].text[n] >= next })
		left = left[from:]
		left = left[:sort.Search(len(left), func(i int) bool { return left[i].text[n] > next })]
	}
	if len(left) == 1 && strings.HasPrefix(text, left[0].text) {
		found = &left[0]
	}
	return found
}

// stretch is a part of a text: an added token, or text between two of them where token is nil.
type stretch struct {
	from, to int
	token    *addedToken
}

// cut divides text into added tokens and the text between them, leaving out what is empty. Matches are leftmost, longest
// and apart from each other; a token that has to be a word of its own and is not is text, up to its end. White space
// that a token strips on its left or right goes with it and yields nothing.
func (m *matcher) cut(text string, visit func(stretch) error) error {
	done := 0     // end of the last stretch
	spaceEnd := 0 // end of the white space last looked at
	for i := 0; i < len(text) && len(m.patterns) > 0; {
		found := m.longest(text[i:])
		if found == nil {
			i++
			continue
		}
		from, to := i, i+len(found.text)
		i = to
		token := &found.token
		if token.singleWord && (endsInWord(text[:from]) || startsWithWord(text[to:])) {
			continue
		}
		if token.lstrip {
			from = done + len(strings.TrimRightFunc(text[min(done, from):from], unicode.IsSpace))
		}
		if token.rstrip {
			if to >= spaceEnd {
				spaceEnd = len(text) - len(strings.TrimLeftFunc(text[to:], unicode.IsSpace))
			}
			to = spaceEnd
		}
		if done < from {
			if err := visit(stretch{from: done, to: from}); err != nil {
				return err
			}
		}
		if from < to { // else the token before has taken all of it as white space
			if err := visit(stretch{from: from, to: to, token: token}); err != nil {
				return err
			}
		}
		done = to
	}
	if done < len(text) {
		return visit(stretch{from: done, to: len(text)})
	}
	return nil
}

func endsInWord(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && inWord(r)
}

func startsWithWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && inWord(r)
}

// inWord is the class \w of Unicode's regular expressions (UTS #18, annex C): alphabetic, mark, decimal digit, connector
// punctuation, join control. Characters newer than Go's Unicode tables are not in it.
func inWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Join_Control,
		unicode.Other_Alphabetic, unicode.Other_Lowercase, unicode.Other_Uppercase)
}
