package checkpoint

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// fields holds the members of a JSON object. Its readers leave the target
// alone where the member is missing or null, and keep the first error.
type fields struct {
	values map[string]json.RawMessage
	order  []string // of the text
	err    error
}

func parseFields(text []byte) (*fields, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrFormat)
	}
	f := &fields{values: make(map[string]json.RawMessage)}
	err := walkObject(text, func(name string, value json.RawMessage) error {
		f.values[name] = value
		f.order = append(f.order, name)
		return nil
	})
	return f, err
}

// fail keeps err if it is the first.
func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) int(name string, to *int) {
	value := f.values[name]
	if isNull(value) {
		return
	}
	n, err := strconv.Atoi(string(value))
	if err != nil {
		f.fail(invalid("%s is %s, want an integer", name, quote(value)))
		return
	}
	*to = n
}

func (f *fields) float(name string, to *float64) {
	value := f.values[name]
	if isNull(value) {
		return
	}
	x, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		f.fail(invalid("%s is %s, want a finite number", name, quote(value)))
		return
	}
	*to = x
}

func (f *fields) bool(name string, to *bool) {
	value := f.values[name]
	if isNull(value) {
		return
	}
	if s := string(value); s != "true" && s != "false" {
		f.fail(invalid("%s is %s, want true or false", name, quote(value)))
		return
	}
	*to = string(value) == "true"
}

func (f *fields) string(name string, to *string) {
	value := f.values[name]
	if isNull(value) {
		return
	}
	s, err := parseString(value)
	if err != nil {
		f.fail(invalid("%s is %s, want a string", name, quote(value)))
		return
	}
	*to = s
}

// ids reads one token id or a list of them; null is none.
func (f *fields) ids(name string, to *[]int) {
	value := f.values[name]
	if len(value) == 0 {
		return
	}
	ids := []int{}
	one := func(value json.RawMessage) error {
		id, err := strconv.Atoi(string(value))
		ids = append(ids, id)
		return err
	}
	var err error
	switch {
	case isNull(value):
	case value[0] == '[':
		err = walkArray(value, maxList, one)
	default:
		err = one(value)
	}
	if err != nil {
		f.fail(invalid("%s is %s, want an integer, a list of at most %d, or null", name, quote(value), maxList))
		return
	}
	*to = ids
}
