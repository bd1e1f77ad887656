package checkpoint

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestOpenDirGolden(t *testing.T) {
	for name, want := range map[string]struct {
		tensors int
		dtype   DType
	}{
		"public-f32":          {41, F32},
		"public-bf16-sharded": {96, BF16},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := OpenDir(golden + name)
			if err != nil {
				t.Fatal(err)
			}
			fromFS, err := OpenDirFS(os.DirFS(golden + name))
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Names()) != want.tensors || !slices.Equal(d.Names(), fromFS.Names()) {
				t.Errorf("%d and %d tensors, want %d", len(d.Names()), len(fromFS.Names()), want.tensors)
			}
			for _, name := range d.Names() {
				a, errA := d.Tensor(name)
				b, errB := fromFS.Tensor(name)
				if errA != nil || errB != nil || a.DType != want.dtype || !bytes.Equal(a.Data, b.Data) {
					t.Errorf("%s: dtype %s, errors %v, %v", name, a.DType, errA, errB)
				}
			}
			for range 2 {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := fromFS.Close(); err != nil {
				t.Error(err)
			}
			_, err = d.Tensor(FinalNorm)
			wantError(t, err, fs.ErrClosed, name)
			if len(d.Names()) != 0 {
				t.Error("a closed checkpoint has names")
			}
		})
	}
}

// index returns an index file over pairs of tensor and shard.
func index(pairs ...string) *fstest.MapFile {
	shardOf := make(map[string]string)
	for i := 0; i < len(pairs); i += 2 {
		shardOf[pairs[i]] = pairs[i+1]
	}
	text, err := json.Marshal(map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": shardOf})
	if err != nil {
		panic(err) // strings always marshal
	}
	return &fstest.MapFile{Data: text}
}

// shard returns a file with one-byte tensors of these names.
func shard(t *testing.T, names ...string) *fstest.MapFile {
	var tensors []Tensor
	for _, name := range names {
		tensors = append(tensors, Tensor{Name: name, DType: U8, Shape: []int{1}, Data: []byte(name[:1])})
	}
	return &fstest.MapFile{Data: mustWrite(t, tensors...)}
}

func TestOpenDirSharded(t *testing.T) {
	d, err := OpenDirFS(fstest.MapFS{
		IndexName: index("a", "1", "b", "2", "c", "1"),
		"1":       shard(t, "a", "c", "unlisted"),
		"2":       shard(t, "b", "a"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if want := []string{"a", "b", "c"}; !slices.Equal(d.Names(), want) {
		t.Errorf("names %q, want %q", d.Names(), want)
	}
	if x, err := d.Tensor("a"); err != nil || x.source != "1" {
		t.Errorf("a is of shard %q, error %v", x.source, err)
	}
	_, err = d.Tensor("unlisted")
	wantError(t, err, ErrNotFound, `"unlisted"`)
}

// As in the transformers library the whole file wins, even where the index is
// broken.
func TestOpenDirPrefersWholeFile(t *testing.T) {
	d, err := OpenDirFS(fstest.MapFS{WeightsName: shard(t, "w"), IndexName: {Data: []byte("broken")}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if want := []string{"w"}; !slices.Equal(d.Names(), want) {
		t.Errorf("names %q, want %q", d.Names(), want)
	}
}

func TestOpenDirRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		fsys  fstest.MapFS
		want  error
		parts []string
	}{
		"empty":          {fstest.MapFS{}, fs.ErrNotExist, []string{WeightsName, IndexName}},
		"broken whole":   {fstest.MapFS{WeightsName: {Data: []byte("x")}}, ErrTruncated, []string{WeightsName}},
		"whole is a dir": {fstest.MapFS{WeightsName + "/x": {}}, ErrFormat, []string{WeightsName, "not a regular file"}},
		"missing shard":  {fstest.MapFS{IndexName: index("a", "gone")}, fs.ErrNotExist, []string{IndexName, `"a"`, "gone"}},
		"missing tensor": {fstest.MapFS{IndexName: index("a", "1", "b", "1"), "1": shard(t, "a")}, ErrNotFound, []string{IndexName, `"b"`, `"1"`}},
		"broken shard":   {fstest.MapFS{IndexName: index("a", "1"), "1": {Data: small()[:20]}}, ErrTruncated, []string{IndexName, `"a"`, "1: "}},
		"broken index":   {fstest.MapFS{IndexName: {Data: []byte("{")}}, ErrFormat, []string{IndexName}},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := OpenDirFS(c.fsys)
			wantError(t, err, c.want, c.parts...)
			if d != nil {
				t.Error("got a checkpoint beside the error")
			}
		})
	}
	_, err := OpenDir("no/such/folder")
	wantError(t, err, fs.ErrNotExist, "folder")
}

func TestParseIndex(t *testing.T) {
	text := `{"metadata":{"total_size":7,"deep":[[{}]]},"weight_map":{"a":"x.safetensors","b":"..x"},"more":null}`
	got, err := parseIndex([]byte(text))
	if want := map[string]string{"a": "x.safetensors", "b": "..x"}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
}

func TestParseIndexRefuses(t *testing.T) {
	for _, name := range []string{"", ".", "..", "/x", "a/b", "../x", "./x", "x/", `a\b`, `..\x`, `\x`, "C:x", "x\x00", "x:stream"} {
		text, err := json.Marshal(map[string]any{"weight_map": map[string]string{"t": name}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseIndex(text)
		wantError(t, err, ErrFormat, "weight_map", `"t"`, quote(name))
	}
	for text, part := range map[string]string{
		``:                                 "ends early",
		`[]`:                               `"{"`,
		`{}`:                               "weight_map",
		`{"weight_map":{}}`:                "weight_map",
		`{"weight_map":null}`:              "weight_map",
		`{"weight_map":["a"]}`:             "weight_map",
		`{"weight_map":{"a":1}}`:           `"1" is not a string`,
		`{"weight_map":{"a":"x","a":"y"}}`: `"a" appears twice`,
		`{"weight_map":{"a":"x"},"weight_map":{}}`:     `"weight_map" appears twice`,
		`{"weight_map":{"a":"x"}} x`:                   "after the end",
		"{\"weight_map\":{\"a\":\"\xff\"}}":            "UTF-8",
		`{"weight_map":` + strings.Repeat("[", 20000):  "depth",
		`{"weight_map":{"a":` + strings.Repeat(`[`, 9): "ends early",
	} {
		_, err := parseIndex([]byte(text))
		wantError(t, err, ErrFormat, part)
	}
}
