package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// walkObject calls visit for each member of the JSON object in text, in the
// order of the text. Unlike json.Unmarshal it refuses a name that comes twice.
// Nesting is bounded by encoding/json, which stops at a fixed depth.
func walkObject(text []byte, visit func(name string, value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := delimiter(dec, '{'); err != nil {
		return err
	}
	seen := make(map[string]bool)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return syntax(err)
		}
		name, _ := tok.(string) // the decoder admits no other token here
		if seen[name] {
			return fmt.Errorf("%w: the name %s appears twice", ErrFormat, quote(name))
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return fmt.Errorf("value of %s: %w", quote(name), syntax(err))
		}
		if err := visit(name, value); err != nil {
			return err
		}
	}
	if err := delimiter(dec, '}'); err != nil {
		return err
	}
	return atEnd(dec)
}

// walkArray calls visit for each element of the JSON array in text and refuses
// more than limit elements.
func walkArray(text []byte, limit int, visit func(value json.RawMessage) error) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := delimiter(dec, '['); err != nil {
		return err
	}
	for n := 0; dec.More(); n++ {
		if n == limit {
			return fmt.Errorf("%w: more than %d elements", ErrFormat, limit)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return syntax(err)
		}
		if err := visit(value); err != nil {
			return err
		}
	}
	if err := delimiter(dec, ']'); err != nil {
		return err
	}
	return atEnd(dec)
}

// delimiter reads one token, which must be want.
func delimiter(dec *json.Decoder, want json.Delim) error {
	tok, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	if tok != want {
		return fmt.Errorf("%w: found %s where JSON needs %q", ErrFormat, quote(fmt.Sprint(tok)), want.String())
	}
	return nil
}

// atEnd fails if anything but white space is left.
func atEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: data after the end of the JSON value at byte %d", ErrFormat, dec.InputOffset())
	}
	return nil
}

// syntax turns an error of the decoder into one of this package.
func syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the JSON text ends early", ErrFormat)
	}
	return fmt.Errorf("%w: %w", ErrFormat, err)
}

// parseNatural reads a JSON number that must be a plain non-negative integer
// below 2^(bits-1).
func parseNatural(value json.RawMessage, bits int) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, bits-1)
	if err != nil {
		return 0, fmt.Errorf("%w: %s is not an integer from 0 to 2^%d-1", ErrFormat, quote(value), bits-1)
	}
	return n, nil
}

// parseString reads a JSON string.
func parseString(value json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		return "", fmt.Errorf("%w: %s is not a string", ErrFormat, quote(value))
	}
	return *s, nil
}

// isNull tells whether a value is missing or the JSON null.
func isNull(value json.RawMessage) bool {
	return len(value) == 0 || string(value) == "null"
}
