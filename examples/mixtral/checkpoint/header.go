package checkpoint

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// The layout of a safetensors file: the header's length as a little-endian
// uint64, the header (a JSON object, padded with spaces), then the data that
// the header's offsets count in.
const (
	lengthBytes = 8
	maxHeader   = 100_000_000 // the limit of the format's reference reader
	metadataKey = "__metadata__"
)

// entry is a tensor of the header with its place in the data: [begin, end).
type entry struct {
	Tensor
	begin, end int64
}

// parseHeader checks a whole safetensors file and returns its tensors, in the
// order of their data, and its metadata.
func parseHeader(file []byte) ([]Tensor, map[string]string, error) {
	if len(file) < lengthBytes {
		return nil, nil, fmt.Errorf("%w: %d bytes, less than the %d of the header length", ErrTruncated, len(file), lengthBytes)
	}
	length, rest := binary.LittleEndian.Uint64(file), file[lengthBytes:]
	if length > maxHeader {
		return nil, nil, fmt.Errorf("%w: header length %d exceeds %d", ErrFormat, length, maxHeader)
	}
	if length > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: header length %d, but %d bytes follow", ErrTruncated, length, len(rest))
	}
	header, data := rest[:length], rest[length:]
	if length == 0 || header[0] != '{' {
		return nil, nil, fmt.Errorf("%w: header does not start with '{'", ErrFormat)
	}
	if !utf8.Valid(header) {
		return nil, nil, fmt.Errorf("%w: header is not UTF-8", ErrFormat)
	}

	var entries []entry
	var metadata map[string]string
	err := walkObject(header, func(name string, value json.RawMessage) error {
		if name == metadataKey {
			var err error
			metadata, err = parseMetadata(value)
			return err
		}
		e, err := parseEntry(value, int64(len(data)))
		if err != nil {
			return fmt.Errorf("tensor %s: %w", quote(name), err)
		}
		e.Name = name
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	tensors, err := layOut(entries, data)
	return tensors, metadata, err
}

// parseMetadata reads the header's free-form part, a map of strings.
func parseMetadata(value json.RawMessage) (map[string]string, error) {
	metadata := make(map[string]string)
	err := walkObject(value, func(name string, value json.RawMessage) error {
		s, err := parseString(value)
		if err != nil {
			return fmt.Errorf("value of %s: %w", quote(name), err)
		}
		metadata[name] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", metadataKey, err)
	}
	return metadata, nil
}

// parseEntry reads one tensor's description and checks it against itself and
// against the number of data bytes.
func parseEntry(value json.RawMessage, size int64) (entry, error) {
	var e entry
	fields := make(map[string]json.RawMessage, 3)
	err := walkObject(value, func(name string, value json.RawMessage) error {
		switch name {
		case "dtype", "shape", "data_offsets":
			fields[name] = value
			return nil
		}
		return fmt.Errorf("%w: unknown field %s", ErrFormat, quote(name))
	})
	if err != nil {
		return e, err
	}
	for _, name := range []string{"dtype", "shape", "data_offsets"} {
		if fields[name] == nil {
			return e, fmt.Errorf("%w: no field %q", ErrFormat, name)
		}
	}

	dtype, err := parseString(fields["dtype"])
	if err != nil {
		return e, fmt.Errorf("dtype: %w", err)
	}
	e.DType = DType(dtype)
	e.Shape = []int{}
	err = walkArray(fields["shape"], maxDims, func(value json.RawMessage) error {
		n, err := parseNatural(value, strconv.IntSize)
		e.Shape = append(e.Shape, int(n))
		return err
	})
	if err != nil {
		return e, fmt.Errorf("shape: %w", err)
	}
	var offsets []int64
	err = walkArray(fields["data_offsets"], 2, func(value json.RawMessage) error {
		n, err := parseNatural(value, 64)
		offsets = append(offsets, int64(n))
		return err
	})
	if err != nil {
		return e, fmt.Errorf("data_offsets: %w", err)
	}
	if len(offsets) != 2 {
		return e, fmt.Errorf("%w: data_offsets has %d elements, want 2", ErrFormat, len(offsets))
	}
	e.begin, e.end = offsets[0], offsets[1]
	return e, e.check(size)
}

// check holds the entry's offsets against its shape and the number of data
// bytes.
func (e *entry) check(size int64) error {
	want, err := byteSize(e.DType, e.Shape)
	if err != nil {
		return err
	}
	if e.begin > e.end {
		return fmt.Errorf("%w: data_offsets [%d, %d] run backwards", ErrFormat, e.begin, e.end)
	}
	if got := e.end - e.begin; got != want {
		return fmt.Errorf("%w: data_offsets [%d, %d] span %d bytes, shape %v of %s takes %d",
			ErrFormat, e.begin, e.end, got, e.Shape, e.DType, want)
	}
	if e.end > size {
		return fmt.Errorf("%w: data_offsets [%d, %d] reach past the %d bytes of data", ErrTruncated, e.begin, e.end, size)
	}
	return nil
}

// layOut sorts the entries by their place, checks that they cover the data
// without a hole or an overlap, and cuts the data into their tensors.
func layOut(entries []entry, data []byte) ([]Tensor, error) {
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	tensors := make([]Tensor, 0, len(entries))
	var at int64
	for i, e := range entries {
		if e.begin < at {
			return nil, fmt.Errorf("%w: tensor %s at [%d, %d] overlaps tensor %s at [%d, %d]", ErrFormat,
				quote(e.Name), e.begin, e.end, quote(entries[i-1].Name), entries[i-1].begin, entries[i-1].end)
		}
		if e.begin > at {
			return nil, fmt.Errorf("%w: bytes [%d, %d) before tensor %s belong to no tensor",
				ErrFormat, at, e.begin, quote(e.Name))
		}
		e.Data = data[e.begin:e.end:e.end]
		tensors = append(tensors, e.Tensor)
		at = e.end
	}
	if at != int64(len(data)) {
		return nil, fmt.Errorf("%w: the last %d of %d data bytes belong to no tensor",
			ErrFormat, int64(len(data))-at, len(data))
	}
	return tensors, nil
}
