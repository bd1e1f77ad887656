package tokenizer

import "strings"

// fragmentReplace replaces in a token that comes in fragments. It holds back an end that may begin a find.
type fragmentReplace struct {
	normalStep
	next stage
	held string
}

func (r *fragmentReplace) push(s string) {
	s = r.held + s
	for {
		before, after, found := strings.Cut(s, r.find)
		if !found {
			break
		}
		r.next.push(before)
		r.next.push(r.content)
		s = after
	}
	keep := min(len(s), len(r.find)-1)
	for !strings.HasPrefix(r.find, s[len(s)-keep:]) {
		keep--
	}
	r.next.push(s[:len(s)-keep])
	r.held = s[len(s)-keep:]
}

func (r *fragmentReplace) end() {
	r.next.push(r.held)
	r.next.end()
}

// fragmentStrip strips a token that comes in fragments. It holds back as many marks as may go at the end.
type fragmentStrip struct {
	strip // start is how many marks may still go at the start
	next  stage
	held  int // marks held back
}

func (f *fragmentStrip) push(s string) {
	for f.start > 0 && s != "" {
		rest, found := strings.CutPrefix(s, f.mark)
		if !found {
			f.start = 0
			break
		}
		s = rest
		f.start--
	}
	body := s
	for strings.HasSuffix(body, f.mark) {
		body = body[:len(body)-len(f.mark)]
	}
	marks := (len(s) - len(body)) / len(f.mark)
	if body != "" {
		f.next.push(strings.Repeat(f.mark, f.held) + body)
		f.held = 0
	}
	f.held += marks
	if extra := f.held - f.stop; extra > 0 {
		f.next.push(strings.Repeat(f.mark, extra))
		f.held = f.stop
	}
}

func (f *fragmentStrip) end() { f.next.end() }
