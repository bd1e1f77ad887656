package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// Write writes the tensors as a safetensors file. Tensors of wider elements
// come first, otherwise the given order is kept; as the header is padded to a
// multiple of 8 bytes, every tensor then starts at a multiple of its element
// size. The same tensors give the same bytes.
//
// A name that comes twice or is reserved, an unknown element type, or data
// that is not as long as the shape says is an error, and nothing is written.
func Write(w io.Writer, tensors ...Tensor) error {
	return WriteMetadata(w, nil, tensors...)
}

// WriteMetadata is Write with free-form strings in the header. Readers of the
// transformers library want "format": "pt" there. A nil map writes none.
func WriteMetadata(w io.Writer, metadata map[string]string, tensors ...Tensor) error {
	ordered := slices.Clone(tensors)
	slices.SortStableFunc(ordered, func(a, b Tensor) int {
		return cmp.Compare(b.DType.Bits(), a.DType.Bits())
	})
	header, err := formatHeader(metadata, ordered)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors: header: %w", err)
	}
	for _, t := range ordered {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("write safetensors: tensor %s: %w", quote(t.Name), err)
		}
	}
	return nil
}

// formatHeader returns the header's length and text for tensors whose data
// follow each other in this order.
func formatHeader(metadata map[string]string, tensors []Tensor) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, lengthBytes)) // the length, once it is known
	b.WriteByte('{')
	if metadata != nil {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("%w: metadata %s: %s is not UTF-8", ErrFormat, quote(k), quote(v))
			}
		}
		if err := member(&b, metadataKey, metadata); err != nil {
			return nil, err
		}
	}
	seen := map[string]bool{metadataKey: true}
	var at int64
	for _, t := range tensors {
		if seen[t.Name] || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("%w: tensor name %s is used twice, reserved, or not UTF-8", ErrFormat, quote(t.Name))
		}
		seen[t.Name] = true
		size, err := byteSize(t.DType, t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %s: %w", quote(t.Name), err)
		}
		if size != int64(len(t.Data)) {
			return nil, fmt.Errorf("%w: tensor %s: %d bytes of data, shape %v of %s takes %d",
				ErrFormat, quote(t.Name), len(t.Data), t.Shape, t.DType, size)
		}
		err = member(&b, t.Name, struct {
			DType   DType    `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, append([]int{}, t.Shape...), [2]int64{at, at + size}})
		if err != nil {
			return nil, err
		}
		at += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	length := b.Len() - lengthBytes
	if length > maxHeader {
		return nil, fmt.Errorf("%w: header length %d exceeds %d", ErrFormat, length, maxHeader)
	}
	binary.LittleEndian.PutUint64(b.Bytes(), uint64(length))
	return b.Bytes(), nil
}

// member appends a member to the JSON object whose start is in b.
func member(b *bytes.Buffer, name string, value any) error {
	key, err := json.Marshal(name)
	if err != nil {
		return err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(b.Bytes(), []byte{'{'}) {
		b.WriteByte(',')
	}
	b.Write(key)
	b.WriteByte(':')
	b.Write(text)
	return nil
}
