package checkpoint

import (
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
)

// Tensor is one named tensor of a safetensors file: row-major little-endian
// elements, exactly DType.Bits()·Π Shape / 8 bytes of them.
type Tensor struct {
	// Name is the tensor's name in its file.
	Name string
	// DType is the element type.
	DType DType
	// Shape holds the dimensions, outermost first; empty for a scalar. A
	// dimension may be 0.
	Shape []int
	// Data is the elements. From a reader it is a part of the file's
	// memory, not a copy: it must not be written to, is aligned to no more
	// than a byte, and is invalid once the file is closed.
	Data []byte

	source string // the file it was read from, for errors
}

// File is an open safetensors file. It is safe for concurrent use, except
// that Close must not run beside anything that still uses it or its bytes.
type File struct {
	name     string
	tensors  []Tensor // in the order of their data
	byName   map[string]int
	metadata map[string]string
	release  func() error // unmaps the memory; nil if it is the collector's
	closed   bool
}

// OpenFile maps the safetensors file at path into memory, read-only, and
// checks its header. On systems without a memory map it reads the file.
//
// The caller must Close the file to unmap it. The file must not shrink while
// it is open: reading a page that is gone ends the process.
func OpenFile(path string) (*File, error) {
	return place{}.open(path)
}

// OpenFileFS is OpenFile for the file called name in fsys. A file of the
// operating system (as from os.DirFS) is mapped, any other is read.
func OpenFileFS(fsys fs.FS, name string) (*File, error) {
	return place{fsys: fsys}.open(name)
}

// Parse reads a safetensors file that is already in memory, as from go:embed.
// The tensors alias data, which must not change while they are in use.
func Parse(data []byte) (*File, error) {
	return parseFile("safetensors data", data)
}

// parseFile checks a whole file and makes its tensors; name is for errors.
func parseFile(name string, data []byte) (*File, error) {
	tensors, metadata, err := parseHeader(data)
	if err != nil {
		return nil, named(name, err)
	}
	f := &File{name: name, tensors: tensors, metadata: metadata, byName: make(map[string]int, len(tensors))}
	for i := range tensors {
		tensors[i].source = name
		f.byName[tensors[i].Name] = i
	}
	return f, nil
}

// Tensor returns the tensor called name, without copying its data. The shape
// is the caller's to change. An unknown name is ErrNotFound, a closed file
// fs.ErrClosed.
func (f *File) Tensor(name string) (Tensor, error) {
	if f.closed {
		return Tensor{}, named(f.name, fs.ErrClosed)
	}
	i, ok := f.byName[name]
	if !ok {
		return Tensor{}, named(f.name, fmt.Errorf("%w: %s", ErrNotFound, quote(name)))
	}
	return f.tensors[i].own(), nil
}

// own returns t with a shape that shares no memory.
func (t Tensor) own() Tensor {
	t.Shape = append([]int{}, t.Shape...)
	return t
}

// All yields the tensors as Tensor returns them, in the order of their data in
// the file. A closed file yields none.
func (f *File) All() iter.Seq[Tensor] {
	return func(yield func(Tensor) bool) {
		for _, t := range f.tensors {
			if !yield(t.own()) {
				return
			}
		}
	}
}

// Names returns the names of all tensors, sorted.
func (f *File) Names() []string {
	return slices.Sorted(maps.Keys(f.byName))
}

// Metadata returns a copy of the header's free-form strings, never nil.
func (f *File) Metadata() map[string]string {
	metadata := make(map[string]string, len(f.metadata))
	maps.Copy(metadata, f.metadata)
	return metadata
}

// Close unmaps the file. From then on the Data of every tensor it gave out is
// invalid: touching it may end the process. Closing again does nothing.
func (f *File) Close() error {
	if f.closed {
		return nil
	}
	f.closed, f.tensors, f.byName = true, nil, nil
	if f.release == nil {
		return nil
	}
	if err := f.release(); err != nil {
		return named(f.name, err)
	}
	return nil
}
