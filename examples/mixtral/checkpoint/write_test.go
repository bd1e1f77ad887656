package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestWriteLayout(t *testing.T) {
	file := mustWrite(t,
		Tensor{Name: "b", DType: U8, Shape: []int{3}, Data: []byte("abc")},
		Tensor{Name: "z", DType: F64, Shape: nil, Data: []byte("01234567")},
		Tensor{Name: "a<\"é", DType: BF16, Shape: []int{0, 5}},
		Tensor{Name: "y", DType: F32, Shape: []int{1, 1}, Data: []byte("wxyz")},
		Tensor{Name: "a", DType: Bool, Shape: []int{1}, Data: []byte{1}},
	)
	if n := binary.LittleEndian.Uint64(file); n%8 != 0 {
		t.Errorf("header length %d", n)
	}
	if want := "01234567wxyzabc\x01"; !bytes.HasSuffix(file, []byte(want)) {
		t.Errorf("file ends with %q, want %q", file[len(file)-len(want):], want)
	}
	f, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	checkFile(t, f, file)
	var order []string
	for x := range f.All() {
		order = append(order, x.Name)
	}
	if want := []string{"z", "y", "a<\"é", "b", "a"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if len(f.Metadata()) != 0 {
		t.Errorf("metadata %v", f.Metadata())
	}
}

func TestWriteMetadata(t *testing.T) {
	want := map[string]string{"format": "pt", "é": ""}
	var a, b bytes.Buffer
	for _, w := range []*bytes.Buffer{&a, &b} {
		if err := WriteMetadata(w, want); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same input gave different bytes")
	}
	f, err := Parse(a.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata(); !maps.Equal(got, want) {
		t.Errorf("metadata %q, want %q", got, want)
	}
}

func TestWriteGoldenRoundTrip(t *testing.T) {
	f, err := OpenFile(golden + "public-f32/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tensors := slices.Collect(f.All())
	g, err := Parse(mustWrite(t, tensors...))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.Names(), g.Names()) {
		t.Errorf("names %q, want %q", g.Names(), f.Names())
	}
	for _, want := range tensors {
		got, err := g.Tensor(want.Name)
		if err != nil || got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("tensor %q changed (error %v)", want.Name, err)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	ok := Tensor{Name: "w", DType: U8, Shape: []int{1}, Data: []byte("a")}
	for name, c := range map[string]struct {
		tensors []Tensor
		parts   []string
	}{
		"duplicate":     {[]Tensor{ok, ok}, []string{`"w"`, "twice"}},
		"reserved":      {[]Tensor{{Name: "__metadata__", DType: U8, Shape: []int{0}}}, []string{"__metadata__", "reserved"}},
		"not UTF-8":     {[]Tensor{{Name: "\xff", DType: U8, Shape: []int{0}}}, []string{"UTF-8"}},
		"unknown dtype": {[]Tensor{ok, {Name: "x", DType: "F31"}}, []string{`"x"`, `"F31"`}},
		"negative":      {[]Tensor{{Name: "x", DType: U8, Shape: []int{-1}}}, []string{`"x"`, "-1"}},
		"too long":      {[]Tensor{{Name: "x", DType: U8, Shape: []int{1}, Data: []byte("ab")}}, []string{`"x"`, "2 bytes", "takes 1"}},
		"too short":     {[]Tensor{{Name: "x", DType: F32, Data: []byte("ab")}}, []string{`"x"`, "2 bytes", "takes 4"}},
		"half a byte":   {[]Tensor{{Name: "x", DType: F4, Shape: []int{1}, Data: []byte("a")}}, []string{`"x"`, "4 bits"}},
		"dimensions":    {[]Tensor{{Name: "x", DType: U8, Shape: make([]int, 65)}}, []string{`"x"`, "65"}},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			err := Write(&b, c.tensors...)
			wantError(t, err, ErrFormat, c.parts...)
			if b.Len() != 0 {
				t.Errorf("%d bytes written", b.Len())
			}
		})
	}
	err := WriteMetadata(&bytes.Buffer{}, map[string]string{"k": "\xff"})
	wantError(t, err, ErrFormat, `"k"`, "UTF-8")
	err = WriteMetadata(&bytes.Buffer{}, map[string]string{"k": strings.Repeat("x", maxHeader)})
	wantError(t, err, ErrFormat, "header length")
}

// fullWriter accepts room bytes and then fails.
type fullWriter struct{ room int }

var errFull = errors.New("no space")

func (w *fullWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.room)
	w.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func TestWriteReportsWriter(t *testing.T) {
	x := Tensor{Name: "w", DType: U8, Shape: []int{4}, Data: []byte("abcd")}
	size := len(mustWrite(t, x))
	if err := Write(&fullWriter{room: size}, x); err != nil {
		t.Errorf("with room for all %d bytes: %v", size, err)
	}
	wantError(t, Write(&fullWriter{room: size - 1}, x), errFull, `"w"`)
	wantError(t, Write(&fullWriter{room: 3}, x), errFull, "header")
}
