package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
)

func TestParseSmall(t *testing.T) {
	f, err := Parse(small())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Tensor{
		{Name: "odd", DType: U8, Shape: []int{3}, Data: []byte("abc")},
		{Name: "empty", DType: F32, Shape: []int{2, 0, 4}, Data: []byte{}},
		{Name: `a "b"é`, DType: F32, Shape: []int{}, Data: []byte("defg")},
		{Name: "w", DType: BF16, Shape: []int{1, 2}, Data: []byte("hijk")},
	} {
		got, err := f.Tensor(want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != want.Name || got.DType != want.DType || !bytes.Equal(got.Data, want.Data) ||
			got.Shape == nil || !slices.Equal(got.Shape, want.Shape) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got, want := f.Names(), []string{`a "b"é`, "empty", "odd", "w"}; !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	if got, want := f.Metadata(), map[string]string{"format": "pt", "note": "é"}; !maps.Equal(got, want) {
		t.Errorf("metadata %q, want %q", got, want)
	}
	_, err = f.Tensor("x")
	wantError(t, err, ErrNotFound, `"x"`)
}

func TestParseNoTensors(t *testing.T) {
	f, err := Parse(raw("{}", ""))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Names()) != 0 || f.Metadata() == nil || len(f.Metadata()) != 0 {
		t.Errorf("names %q, metadata %v", f.Names(), f.Metadata())
	}
	for x := range f.All() {
		t.Errorf("tensor %q", x.Name)
	}
}

func TestParseEveryDType(t *testing.T) {
	for dtype, bits := range map[DType]int{
		Bool: 8, U8: 8, U16: 16, U32: 32, U64: 64, I8: 8, I16: 16, I32: 32, I64: 64,
		F16: 16, BF16: 16, F32: 32, F64: 64, C64: 64,
		F8E4M3: 8, F8E5M2: 8, F8E8M0: 8, F8E4M3FNUZ: 8, F8E5M2FNUZ: 8, F6E2M3: 6, F6E3M2: 6, F4: 4,
	} {
		f, err := Parse(mustWrite(t, Tensor{Name: "w", DType: dtype, Shape: []int{2, 4}, Data: make([]byte, bits)}))
		if err != nil {
			t.Errorf("%s: %v", dtype, err)
			continue
		}
		if x, err := f.Tensor("w"); err != nil || x.DType != dtype || len(x.Data) != bits {
			t.Errorf("%s: got %+v, error %v", dtype, x, err)
		}
	}
}

// The tensors are parts of the input, and neither an append to the data nor a
// change of the shape reaches what others see.
func TestParseAliasing(t *testing.T) {
	file := small()
	f, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	x, err := f.Tensor("odd")
	if err != nil {
		t.Fatal(err)
	}
	if &x.Data[0] != &file[len(file)-11] {
		t.Error("the data was copied")
	}
	if cap(x.Data) != len(x.Data) {
		t.Errorf("capacity %d: an append writes into the next tensor", cap(x.Data))
	}
	x.Shape[0] = 99
	f.Metadata()["format"] = "changed"
	if again, _ := f.Tensor("odd"); again.Shape[0] != 3 {
		t.Errorf("shape %v after a caller changed its own", again.Shape)
	}
	if got := f.Metadata()["format"]; got != "pt" {
		t.Errorf("metadata %q after a caller changed its own", got)
	}
}

func TestAllStopsEarly(t *testing.T) {
	f, err := Parse(small())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range f.All() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d tensors after a break", n)
	}
}

// The golden files were written by the reference implementation; the oracle
// for reading them is encoding/json on their headers.
func TestOpenFileGolden(t *testing.T) {
	for _, name := range []string{
		"public-f32/model.safetensors", "public-f32/golden.safetensors",
		"public-bf16-sharded/model-00001-of-00002.safetensors",
		"public-bf16-sharded/model-00002-of-00002.safetensors", "public-bf16-sharded/golden.safetensors",
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile(golden + name)
			if err != nil {
				t.Fatal(err)
			}
			n := binary.LittleEndian.Uint64(file)
			want := make(map[string]struct {
				DType   DType  `json:"dtype"`
				Shape   []int  `json:"shape"`
				Offsets [2]int `json:"data_offsets"`
			})
			if err := json.Unmarshal(file[8:8+n], &want); err != nil {
				t.Fatal(err)
			}
			delete(want, "__metadata__")

			mapped, err := OpenFile(golden + name)
			if err != nil {
				t.Fatal(err)
			}
			read, err := OpenFileFS(fstest.MapFS{"dump": {Data: file}}, "dump")
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []*File{mapped, read} {
				if len(f.Names()) != len(want) || len(want) == 0 {
					t.Errorf("%d tensors, want %d", len(f.Names()), len(want))
				}
				for name, w := range want {
					x, err := f.Tensor(name)
					if err != nil {
						t.Fatal(err)
					}
					if x.DType != w.DType || !slices.Equal(x.Shape, w.Shape) ||
						!bytes.Equal(x.Data, file[8+n:][w.Offsets[0]:w.Offsets[1]]) {
						t.Errorf("%s: dtype %s, shape %v, %d bytes", name, x.DType, x.Shape, len(x.Data))
					}
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// What the reference wrote and what is read here must also mean the same: the
// first hidden state is the embedding of the input's tokens.
func TestGoldenEmbedding(t *testing.T) {
	model, err := OpenFile(golden + "public-f32/" + WeightsName)
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	dump, err := OpenFile(golden + "public-f32/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	embed, err := model.Tensor(EmbedTokens)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := dump.Tensor("input_ids")
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := dump.Tensor("hidden.0")
	if err != nil {
		t.Fatal(err)
	}
	row := 4 * embed.Shape[1]
	for i := range ids.Shape[0] {
		id := int(binary.LittleEndian.Uint32(ids.Data[4*i:]))
		if !bytes.Equal(hidden.Data[i*row:(i+1)*row], embed.Data[id*row:(id+1)*row]) {
			t.Errorf("position %d is not the embedding of token %d", i, id)
		}
	}
}

func TestOpenFileRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	_, err := OpenFile(filepath.Join(dir, "absent"))
	wantError(t, err, fs.ErrNotExist, "absent")
	_, err = OpenFile(dir)
	wantError(t, err, ErrFormat, dir, "not a regular file")
	_, err = OpenFile(write("zero", nil))
	wantError(t, err, ErrTruncated, "zero", "0 bytes")
	_, err = OpenFile(write("hole", raw(one(`"dtype":"U8","shape":[1],"data_offsets":[1,2]`), "ab")))
	wantError(t, err, ErrFormat, filepath.Join(dir, "hole"), `"w"`)
	_, err = OpenFileFS(os.DirFS(dir), "absent")
	wantError(t, err, fs.ErrNotExist, "absent")
	_, err = OpenFileFS(os.DirFS(dir), "../absent")
	wantError(t, err, fs.ErrInvalid, "../absent")
}

// shortFS describes its only file as longer than it is, as an archive can.
type shortFS struct{ fstest.MapFS }

type longInfo struct{ fs.FileInfo }

func (longInfo) Size() int64 { return 1 << 30 }

type longFile struct{ fs.File }

func (f longFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return longInfo{info}, err
}

func (s shortFS) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	return longFile{f}, err
}

func TestOpenFileFSLyingSize(t *testing.T) {
	_, err := OpenFileFS(shortFS{fstest.MapFS{"f": {Data: small()}}}, "f")
	wantError(t, err, ErrTruncated, "f", "1073741824")
}

func TestClose(t *testing.T) {
	f, err := OpenFile(golden + "public-f32/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = f.Tensor("logits")
	wantError(t, err, fs.ErrClosed, "golden.safetensors")
	if len(f.Names()) != 0 {
		t.Error("a closed file has names")
	}
	for range f.All() {
		t.Error("a closed file has tensors")
	}
}

// failingFS describes its files, then fails to open or to read them.
type failingFS struct {
	fstest.MapFS
	openErr, readErr error
}

type failingFile struct {
	fs.File
	err error
}

func (f failingFile) Read([]byte) (int, error) { return 0, f.err }

func (s failingFS) Open(name string) (fs.File, error) {
	f, err := s.MapFS.Open(name)
	if s.openErr != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: s.openErr}
	}
	return failingFile{f, s.readErr}, err
}

// Stat keeps fs.Stat from calling Open.
func (s failingFS) Stat(name string) (fs.FileInfo, error) { return s.MapFS.Stat(name) }

func TestOpenReportsSystemErrors(t *testing.T) {
	files := fstest.MapFS{"f": {Data: small()}, IndexName: index("odd", "f")}
	for _, fsys := range []failingFS{
		{MapFS: files, openErr: fs.ErrPermission}, {MapFS: files, readErr: fs.ErrPermission},
	} {
		_, err := OpenFileFS(fsys, "f")
		wantError(t, err, fs.ErrPermission, "f: ")
		_, err = OpenDirFS(fsys)
		wantError(t, err, fs.ErrPermission, IndexName)
	}
}

func TestTensorConcurrently(t *testing.T) {
	f, err := OpenFile(golden + "public-f32/golden.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			x, err := f.Tensor("logits")
			if err != nil || len(x.Data) != 24*600*4 {
				t.Errorf("%d bytes, error %v", len(x.Data), err)
			}
		})
	}
	wg.Wait()
}
