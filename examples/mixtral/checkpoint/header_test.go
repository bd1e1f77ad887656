package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// one is the header of a file with the tensor "w" described by fields.
func one(fields string) string { return `{"w":{` + fields + `}}` }

func TestParseRefuses(t *testing.T) {
	const u8x4 = `"dtype":"U8","shape":[4],"data_offsets":[0,4]`
	long := strings.Repeat("n", 5000)
	for name, c := range map[string]struct {
		file  []byte
		want  error
		parts []string
	}{
		"no header":              {raw("", ""), ErrFormat, []string{"'{'"}},
		"leading space":          {raw(" {}", ""), ErrFormat, []string{"'{'"}},
		"not an object":          {raw("[]", ""), ErrFormat, []string{"'{'"}},
		"padding of zeros":       {raw("{}\x00", ""), ErrFormat, nil},
		"two values":             {raw("{}{}", ""), ErrFormat, []string{"after the end"}},
		"unclosed object":        {raw("{", ""), ErrFormat, []string{"ends early"}},
		"trailing comma":         {raw(`{"w":{`+u8x4+`},}`, "abcd"), ErrFormat, nil},
		"missing colon":          {raw(`{"w"{`+u8x4+`}}`, "abcd"), ErrFormat, nil},
		"name is a number":       {raw(`{7:{`+u8x4+`}}`, "abcd"), ErrFormat, nil},
		"not UTF-8":              {raw("{\"\xff\":{"+u8x4+"}}", "abcd"), ErrFormat, []string{"UTF-8"}},
		"duplicate tensor":       {raw(`{"w":{`+u8x4+`},"w":{`+u8x4+`}}`, "abcd"), ErrFormat, []string{`"w" appears twice`}},
		"duplicate by escape":    {raw(`{"w":{`+u8x4+`},"\u0077":{`+u8x4+`}}`, "abcd"), ErrFormat, []string{`"w" appears twice`}},
		"duplicate field":        {raw(one(u8x4+`,"dtype":"I8"`), "abcd"), ErrFormat, []string{`tensor "w"`, `"dtype" appears twice`}},
		"duplicate metadata":     {raw(`{"__metadata__":{},"__metadata__":{}}`, ""), ErrFormat, []string{"__metadata__", "twice"}},
		"duplicate metadata key": {raw(`{"__metadata__":{"a":"b","a":"c"}}`, ""), ErrFormat, []string{"__metadata__", `"a" appears twice`}},
		"metadata number":        {raw(`{"__metadata__":{"a":1}}`, ""), ErrFormat, []string{"__metadata__", `"a"`, `"1" is not a string`}},
		"metadata object":        {raw(`{"__metadata__":{"a":{}}}`, ""), ErrFormat, []string{"__metadata__", `"a"`}},
		"metadata null value":    {raw(`{"__metadata__":{"a":null}}`, ""), ErrFormat, []string{"__metadata__", `"null" is not a string`}},
		"metadata null":          {raw(`{"__metadata__":null}`, ""), ErrFormat, []string{"__metadata__"}},
		"metadata list":          {raw(`{"__metadata__":["a"]}`, ""), ErrFormat, []string{"__metadata__"}},
		"tensor is null":         {raw(`{"w":null}`, ""), ErrFormat, []string{`tensor "w"`}},
		"tensor is a list":       {raw(`{"w":[1]}`, ""), ErrFormat, []string{`tensor "w"`}},
		"unknown field":          {raw(one(u8x4+`,"strides":[1]`), "abcd"), ErrFormat, []string{`tensor "w"`, `"strides"`}},
		"no dtype":               {raw(one(`"shape":[4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, `"dtype"`}},
		"no shape":               {raw(one(`"dtype":"U8","data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, `"shape"`}},
		"no offsets":             {raw(one(`"dtype":"U8","shape":[4]`), "abcd"), ErrFormat, []string{`tensor "w"`, `"data_offsets"`}},
		"unknown dtype":          {raw(one(`"dtype":"F31","shape":[4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, `"F31"`}},
		"dtype is a number":      {raw(one(`"dtype":8,"shape":[4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, "dtype", `"8"`}},
		"lower case dtype":       {raw(one(`"dtype":"u8","shape":[4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`"u8"`}},
		"shape is a number":      {raw(one(`"dtype":"U8","shape":4,"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, "shape"}},
		"shape is null":          {raw(one(`"dtype":"U8","shape":null,"data_offsets":[0,1]`), "a"), ErrFormat, []string{`tensor "w"`, "shape"}},
		"negative dimension":     {raw(one(`"dtype":"U8","shape":[-4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, "shape", `"-4"`}},
		"fractional dimension":   {raw(one(`"dtype":"U8","shape":[4.0],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"shape", `"4.0"`}},
		"exponent dimension":     {raw(one(`"dtype":"U8","shape":[4e0],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"shape", `"4e0"`}},
		"dimension of 2^64":      {raw(one(`"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"shape", "18446744073709551616"}},
		"string dimension":       {raw(one(`"dtype":"U8","shape":["4"],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"shape"}},
		"nested shape":           {raw(one(`"dtype":"U8","shape":[[4]],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"shape", `"[4]"`}},
		"shape overflows":        {raw(one(`"dtype":"U8","shape":[2147483647,2147483647,2147483647],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, "overflows"}},
		"shape wraps to 4 bytes": {raw(one(`"dtype":"U8","shape":[1073741825,1073741825,1073741824,4],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"overflows"}},
		"bits overflow":          {raw(one(`"dtype":"F64","shape":[1073741824,1073741824],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{"overflows"}},
		"empty, yet overflows":   {raw(one(`"dtype":"U8","shape":[0,2147483647,2147483647,2147483647],"data_offsets":[0,0]`), ""), ErrFormat, []string{"overflows"}},
		"65 dimensions":          {raw(one(`"dtype":"U8","shape":[1`+strings.Repeat(",1", 64)+`],"data_offsets":[0,1]`), "a"), ErrFormat, []string{"shape", "64"}},
		"shape disagrees":        {raw(one(`"dtype":"U8","shape":[3],"data_offsets":[0,4]`), "abcd"), ErrFormat, []string{`tensor "w"`, "[3]", "takes 3", "span 4"}},
		"half a byte":            {raw(one(`"dtype":"F4","shape":[3],"data_offsets":[0,1]`), "a"), ErrFormat, []string{`tensor "w"`, "12 bits"}},
		"offsets of one":         {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[4]`), "abcd"), ErrFormat, []string{"data_offsets"}},
		"offsets of three":       {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[0,4,8]`), "abcd"), ErrFormat, []string{"data_offsets"}},
		"offsets are strings":    {raw(one(`"dtype":"U8","shape":[4],"data_offsets":["0","4"]`), "abcd"), ErrFormat, []string{"data_offsets"}},
		"negative offset":        {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[-4,0]`), "abcd"), ErrFormat, []string{"data_offsets", `"-4"`}},
		"backwards":              {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[4,0]`), "abcd"), ErrFormat, []string{`tensor "w"`, "[4, 0]"}},
		"offsets of 2^63":        {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[9223372036854775808,9223372036854775812]`), "abcd"), ErrFormat, []string{"9223372036854775808"}},
		"beyond the data":        {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[0,4]`), "abc"), ErrTruncated, []string{`tensor "w"`, "[0, 4]", "3 bytes"}},
		"far beyond the data":    {raw(one(`"dtype":"U8","shape":[4],"data_offsets":[9223372036854775803,9223372036854775807]`), "abcd"), ErrTruncated, []string{`tensor "w"`}},
		"trailing data":          {raw(one(u8x4), "abcde"), ErrFormat, []string{"last 1 of 5"}},
		"data without tensors":   {raw("{}", "a"), ErrFormat, []string{"last 1 of 1"}},
		"hole in front":          {raw(one(`"dtype":"U8","shape":[3],"data_offsets":[1,4]`), "abcd"), ErrFormat, []string{"[0, 1)", `"w"`}},
		"hole in between":        {raw(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}}`, "abcd"), ErrFormat, []string{"[1, 3)", `"b"`}},
		"overlap":                {raw(`{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, "abcd"), ErrFormat, []string{`"b"`, "[2, 4]", `"a"`, "[0, 3]"}},
		"same place":             {raw(`{"a":{`+u8x4+`},"b":{`+u8x4+`}}`, "abcd"), ErrFormat, []string{"overlaps"}},
		"empty inside another":   {raw(`{"a":{`+u8x4+`},"b":{"dtype":"U8","shape":[0],"data_offsets":[2,2]}}`, "abcd"), ErrFormat, []string{"overlaps"}},
		"deep nesting":           {raw(`{"w":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`, ""), ErrFormat, []string{`"w"`, "depth"}},
		"nested objects":         {raw(strings.Repeat(`{"w":`, 20000)+"1"+strings.Repeat("}", 20000), ""), ErrFormat, []string{`"w"`, "depth"}},
		"long name":              {raw(`{"`+long+`":{`+u8x4+`},"`+long+`":1}`, "abcd"), ErrFormat, []string{"(5000 bytes)"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.file)
			wantError(t, err, c.want, c.parts...)
			if len(err.Error()) > 1000 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestParseRefusesHeaderLength(t *testing.T) {
	for _, c := range []struct {
		length uint64
		want   error
	}{
		{1, ErrTruncated}, {100_000_000, ErrTruncated}, {100_000_001, ErrFormat},
		{1 << 31, ErrFormat}, {1 << 63, ErrFormat}, {1<<64 - 1, ErrFormat}, {1<<64 - 8, ErrFormat},
	} {
		_, err := Parse(binary.LittleEndian.AppendUint64(nil, c.length))
		wantError(t, err, c.want, fmt.Sprint(c.length))
	}
}

// A file's claims must not cost memory: only its bytes may.
func TestParseAllocatesByBytesOnly(t *testing.T) {
	for name, file := range map[string][]byte{
		"header":     binary.LittleEndian.AppendUint64(nil, 100_000_000),
		"shape":      raw(one(`"dtype":"U8","shape":[2000000000],"data_offsets":[0,2000000000]`), ""),
		"empty":      raw(one(`"dtype":"U8","shape":[0,2000000000],"data_offsets":[0,0]`), ""),
		"dimensions": raw(one(`"dtype":"U8","shape":[1`+strings.Repeat(",1", 1000)+`],"data_offsets":[0,1]`), "a"),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Parse(file)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
			t.Errorf("%s: a file of %d bytes cost %d", name, len(file), n)
		}
	}
}

func TestParseTruncatedAnywhere(t *testing.T) {
	file := small()
	for n := range file {
		f, err := Parse(file[:n])
		if f != nil || !errors.Is(err, ErrTruncated) {
			t.Fatalf("first %d of %d bytes: got file %v, error %v, want ErrTruncated", n, len(file), f, err)
		}
	}
}

func TestParseBitFlips(t *testing.T) {
	file := small()
	data := len(file) - 11
	accepted, refused := 0, 0
	for i := range 8 * len(file) {
		flipped := append([]byte{}, file...)
		flipped[i/8] ^= 1 << (i % 8)
		f, err := Parse(flipped)
		switch {
		case err == nil:
			accepted++
			checkFile(t, f, flipped)
		case i/8 >= data:
			t.Errorf("bit %d, in the data: %v", i, err)
		case errors.Is(err, ErrFormat) || errors.Is(err, ErrTruncated):
			refused++
		default:
			t.Errorf("bit %d: error %v wraps no sentinel", i, err)
		}
	}
	if accepted < 8*11 || refused < 8*data/2 {
		t.Errorf("%d flips accepted, %d refused: the flips do not reach the checks", accepted, refused)
	}
}

// checkFile checks what a successful Parse promises: each tensor is as long
// as its shape says, and together they are the data, once and in order.
func checkFile(t testing.TB, f *File, file []byte) {
	t.Helper()
	rest := file[8+binary.LittleEndian.Uint64(file):]
	for x := range f.All() {
		bits := x.DType.Bits()
		for _, n := range x.Shape {
			bits *= n
		}
		if x.DType.Bits() == 0 || bits != 8*len(x.Data) {
			t.Fatalf("tensor %q: %d bytes for shape %v of %s", x.Name, len(x.Data), x.Shape, x.DType)
		}
		if len(x.Data) > len(rest) || len(x.Data) > 0 && &x.Data[0] != &rest[0] {
			t.Fatalf("tensor %q is not where the one before ends", x.Name)
		}
		rest = rest[len(x.Data):]
	}
	if len(rest) != 0 {
		t.Fatalf("%d bytes belong to no tensor", len(rest))
	}
}
