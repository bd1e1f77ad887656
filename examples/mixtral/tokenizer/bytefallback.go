package tokenizer

import "unicode/utf8"

// byteFallback turns each run of byte tokens into the text of these bytes, or into U+FFFD for every byte of the run if
// the run is not valid UTF-8.
type byteFallback struct{}

func (byteFallback) onTokens(next stage) stage    { return &byteRuns{next: next} }
func (byteFallback) onFragments(next stage) stage { return &byteFragments{next: next} }

// byteRuns holds back a run of byte tokens until it ends.
type byteRuns struct {
	next stage
	run  []byte
}

func (b *byteRuns) push(token string) {
	if v, ok := byteToken(token); ok {
		b.run = append(b.run, v)
		return
	}
	b.flush()
	b.next.push(token)
}

func (b *byteRuns) flush() {
	if len(b.run) == 0 {
		return
	}
	if utf8.Valid(b.run) {
		b.next.push(string(b.run))
	} else {
		for range b.run {
			b.next.push("\uFFFD")
		}
	}
	b.run = b.run[:0]
}

func (b *byteRuns) end() {
	b.flush()
	b.next.end()
}

// byteFragments handles the one token after a Fuse, which as a whole is a byte token or is not.
type byteFragments struct {
	next stage
	held string
	long bool // longer than any byte token
}

func (b *byteFragments) push(s string) {
	b.held += s
	b.long = b.long || len(b.held) > byteTokenLen
	if b.long {
		b.next.push(b.held)
		b.held = ""
	}
}

func (b *byteFragments) end() {
	whole := byteRuns{next: b.next}
	whole.push(b.held)
	whole.end()
}

const byteTokenLen = len("<0x00>")

// byteToken reads a token such as <0x0A>. As the library does, it takes digits of either case, and a plus sign in place
// of the first.
func byteToken(s string) (value byte, ok bool) {
	if len(s) != byteTokenLen || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	high, ok := hexDigit(s[3])
	if s[3] == '+' {
		high, ok = 0, true
	}
	low, lowOK := hexDigit(s[4])
	return high<<4 | low, ok && lowOK
}

func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
