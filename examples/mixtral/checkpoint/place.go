package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// place is where file names are looked up: in fsys, or where that is nil in
// the folder dir of the operating system.
type place struct {
	fsys fs.FS
	dir  string
}

// label returns how errors call a file of p.
func (p place) label(name string) string {
	if p.fsys != nil {
		return name
	}
	return filepath.Join(p.dir, name)
}

// stat describes a file, following links.
func (p place) stat(name string) (fs.FileInfo, error) {
	if p.fsys != nil {
		return fs.Stat(p.fsys, name)
	}
	return os.Stat(p.label(name))
}

// regular opens a regular file and returns its size. Anything else is refused
// before it is opened, since opening a pipe may wait for ever.
func (p place) regular(name string) (fs.File, int64, error) {
	info, err := p.stat(name)
	if err != nil {
		return nil, 0, cause(err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%w: not a regular file (%v)", ErrFormat, info.Mode().Type())
	}
	var f fs.File
	if p.fsys != nil {
		f, err = p.fsys.Open(name)
	} else {
		f, err = os.Open(p.label(name))
	}
	if err != nil {
		return nil, 0, cause(err)
	}
	if info, err = f.Stat(); err != nil {
		return nil, 0, errors.Join(cause(err), f.Close())
	}
	return f, info.Size(), nil
}

// cause takes the path out of an error of package os, which the callers add.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// open opens a safetensors file.
func (p place) open(name string) (*File, error) {
	label := p.label(name)
	data, release, err := p.load(name)
	if err != nil {
		return nil, named(label, err)
	}
	f, err := parseFile(label, data)
	if err != nil {
		if release != nil {
			err = errors.Join(err, release())
		}
		return nil, err
	}
	f.release = release
	return f, nil
}

// load brings a whole file into memory: mapped if it is the operating
// system's, and then release unmaps it.
func (p place) load(name string) (data []byte, release func() error, err error) {
	f, size, err := p.regular(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // opened for reading only: a failed close loses nothing
	if size > math.MaxInt {
		return nil, nil, fmt.Errorf("%w: %d bytes exceed this platform's address space", ErrUnsupported, size)
	}
	if osFile, ok := f.(*os.File); ok && size > 0 {
		return mapFile(osFile, int(size))
	}
	data, err = readAll(f, size)
	return data, nil, err
}

// read reads a whole file of at most limit bytes.
func (p place) read(name string, limit int64) ([]byte, error) {
	f, size, err := p.regular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes exceed the limit of %d", ErrFormat, size, limit)
	}
	return readAll(f, size)
}

// readAll reads the size bytes that a file's description promises. The buffer
// grows with what arrives: the description of a file in an archive may lie.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, size))
	if err != nil {
		return nil, cause(err)
	}
	if n != size {
		return nil, fmt.Errorf("%w: read %d of %d bytes", ErrTruncated, n, size)
	}
	return b.Bytes(), nil
}
