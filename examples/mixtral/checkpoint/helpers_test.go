package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

const golden = "../testdata/golden/"

// raw puts a header's length in front of it and data behind it.
func raw(header, data string) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

// small is a file of every awkward kind: a scalar, an empty tensor, a tensor
// at an odd offset, escaped characters in a name, metadata, and padding.
func small() []byte {
	return raw(`{"__metadata__":{"format":"pt","note":"\u00e9"},`+
		`"odd":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},`+
		`"empty":{"dtype":"F32","shape":[2,0,4],"data_offsets":[3,3]},`+
		`"a \"b\"\u00e9":{"dtype":"F32","shape":[],"data_offsets":[3,7]},`+
		`"w":{"data_offsets":[7,11],"shape":[1,2],"dtype":"BF16"}}   `, "abcdefghijk")
}

// mustWrite returns the tensors as a safetensors file.
func mustWrite(t testing.TB, tensors ...Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, tensors...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// wantError checks that err wraps want and that its text has all the parts.
func wantError(t *testing.T, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want one that wraps %q", err, want)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not mention %q", err, part)
		}
	}
}
