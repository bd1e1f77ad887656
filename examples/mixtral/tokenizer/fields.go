package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// fields reads one JSON object by exact key. The first failure sticks, so that a caller asks for all the fields it wants
// and looks at the error once, in close.
type fields struct {
	path string // where the object stands in the file, for errors
	raw  map[string]json.RawMessage
	err  error
}

// checkJSON refuses what encoding/json would mend in silence: invalid UTF-8 and lone surrogates become U+FFFD there, and
// two different tokens could become one.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: the file is not valid UTF-8", ErrInvalid)
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		i++ // the JSON is well formed: an escape has a second byte
		switch {
		case surrogate(data[i:], 'D', '8', 'B') && surrogate(data[min(i+6, len(data)):], 'D', 'C', 'F') && data[i+5] == '\\':
			i += 6
		case surrogate(data[i:], 'D', '8', 'F'):
			return fmt.Errorf("%w: lone surrogate \\%s at byte %d", ErrInvalid, data[i:i+5], i-1)
		}
	}
	return nil
}

// surrogate says whether b starts with "u", the hexadecimal digit d and one from lo to hi, in either case.
func surrogate(b []byte, d, lo, hi byte) bool {
	if len(b) < 5 || b[0] != 'u' {
		return false
	}
	second := b[2]
	if second >= 'a' {
		second -= 'a' - 'A'
	}
	return b[1]&^0x20 == d && lo <= second && second <= hi
}

// readFields reads the object raw, which stands at path.
func readFields(path string, raw json.RawMessage) *fields {
	f := &fields{path: path, raw: make(map[string]json.RawMessage)}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		f.fail("got %s, want an object", kind(raw))
		return f
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			f.fail("%v", err)
			return f
		}
		name := key.(string) // a key of well-formed JSON is a string
		if _, twice := f.raw[name]; twice {
			f.fail("field %s is there twice", quote(name))
			return f
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			f.fail("%v", err)
			return f
		}
		f.raw[name] = value
	}
	return f
}

// kind names the JSON type of raw, a whole value.
func kind(raw json.RawMessage) string {
	switch bytes.TrimLeft(raw, " \t\r\n")[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}

// missing says whether a field's value is missing or null.
func missing(raw json.RawMessage) bool { return len(raw) == 0 || kind(raw) == "null" }

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s: %s", ErrInvalid, f.path, fmt.Sprintf(format, args...))
	}
}

// has says whether the field is there and not null.
func (f *fields) has(name string) bool { return !missing(f.raw[name]) }

// value decodes the field into out; a missing field, null and another type are failures.
func (f *fields) value(name, want string, out any) {
	raw, ok := f.raw[name]
	switch {
	case !ok:
		f.fail("field %q is missing", name)
	case kind(raw) != want:
		f.fail("field %q: got %s, want %s", name, kind(raw), want)
	default:
		if err := json.Unmarshal(raw, out); err != nil {
			f.fail("field %q: %v", name, err)
		}
	}
}

func (f *fields) text(name string) (s string) {
	f.value(name, "a string", &s)
	return s
}

func (f *fields) flag(name string) (b bool) {
	f.value(name, "a boolean", &b)
	return b
}

// optionalFlag is flag, or unset where the field is missing or null.
func (f *fields) optionalFlag(name string, unset bool) bool {
	if !f.has(name) {
		return unset
	}
	return f.flag(name)
}

func (f *fields) list(name string) (elems []json.RawMessage) {
	f.value(name, "an array", &elems)
	return elems
}

// number reads an integer from 0 to 2³¹−1.
func (f *fields) number(name string) int32 {
	raw := json.RawMessage("0")
	f.value(name, "a number", &raw)
	n, err := parseID(string(raw))
	if err != nil {
		f.fail("field %q: %v", name, err)
	}
	return n
}

// char reads a string of one character.
func (f *fields) char(name string) string {
	s := f.text(name)
	if f.err == nil && utf8.RuneCountInString(s) != 1 {
		f.fail("field %q: got %s, want one character", name, quote(s))
	}
	return s
}

// literal reads a string of at most maxLiteral bytes.
func (f *fields) literal(name string) string {
	s := f.text(name)
	if len(s) > maxLiteral {
		f.fail("field %q: got %d bytes, want at most %d", name, len(s), maxLiteral)
	}
	return s
}

func (f *fields) object(name string) *fields {
	if f.err == nil && !f.has(name) {
		f.fail("field %q is missing", name)
	}
	if f.err != nil {
		return &fields{path: f.path, err: f.err}
	}
	return readFields(f.path+"."+name, f.raw[name])
}

// close returns the first failure, or an error for a field that is set and not among the known.
func (f *fields) close(known ...string) error {
	if f.err != nil {
		return f.err
	}
	for _, name := range slices.Sorted(maps.Keys(f.raw)) {
		if f.has(name) && !slices.Contains(known, name) {
			return fmt.Errorf("%w: %s: field %s", ErrUnsupported, f.path, quote(name))
		}
	}
	return nil
}

// parseID reads a token id, an integer from 0 to 2³¹−1.
func parseID(s string) (int32, error) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("got %.32s, want an integer from 0 to 2147483647", s)
	}
	return int32(n), nil
}

// quote quotes s for an error, shortened if it is long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
	}
	return strconv.Quote(s)
}
