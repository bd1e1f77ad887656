// Package image finds, among compiled kernels for several architectures, those that a device runs best.
//
// A file's name says what is in it: sm_90.cubin.gz is machine code for compute capability 9.0, which devices of the same
// major and an equal or higher minor number run; sm_90a.cubin.gz is code that 9.0 alone runs; compute_80.ptx.gz is code that
// the driver of any device from 8.0 on compiles when it is loaded.
package image

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// ErrNone says that no file serves the device.
var ErrNone = errors.New("no kernels for this device")

// Load reads the file of the folder dir that serves a device of a compute capability best and gives its name and contents: the most
// specific machine code there is, else the newest code to be compiled. With ptx it is that one whatever there is.
func Load(files fs.FS, dir string, major, minor int, ptx bool) (name string, code []byte, err error) {
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return "", nil, err
	}
	best := -1
	var have []string
	for _, e := range entries {
		f, ok := parse(e.Name())
		if !ok || ptx && f.machine {
			continue
		}
		have = append(have, e.Name())
		if r := f.rank(major, minor); r > best {
			best, name = r, e.Name()
		}
	}
	if name == "" {
		return "", nil, fmt.Errorf("compute capability %d.%d, there are %s: %w", major, minor, strings.Join(have, " "), ErrNone)
	}
	packed, err := fs.ReadFile(files, path.Join(dir, name))
	if err != nil {
		return "", nil, err
	}
	if code, err = unpack(packed); err != nil {
		return "", nil, fmt.Errorf("%s: %w", name, err)
	}
	return name, code, nil
}

func unpack(packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	var code bytes.Buffer
	if _, err := code.ReadFrom(r); err != nil {
		return nil, err
	}
	return code.Bytes(), r.Close()
}

// file is what a file's name says.
type file struct {
	major, minor int
	machine      bool // machine code, not PTX
	exact        bool // for this compute capability alone
}

func parse(name string) (f file, ok bool) {
	number, ok := between(name, "sm_", ".cubin.gz")
	if f.machine = ok; !ok {
		if number, ok = between(name, "compute_", ".ptx.gz"); !ok {
			return f, false
		}
	}
	number, f.exact = strings.CutSuffix(number, "a")
	n, err := strconv.Atoi(number)
	if err != nil || n < 10 {
		return f, false
	}
	f.major, f.minor = n/10, n%10
	return f, true
}

func between(s, prefix, suffix string) (string, bool) {
	s, before := strings.CutPrefix(s, prefix)
	s, after := strings.CutSuffix(s, suffix)
	return s, before && after
}

// rank tells how well the file serves a device: higher is better, -1 is not at all.
func (f file) rank(major, minor int) int {
	runs := f.major == major && f.minor <= minor
	if !f.machine {
		runs = f.major < major || runs
	}
	if f.exact {
		runs = f.major == major && f.minor == minor
	}
	if !runs {
		return -1
	}
	r := (f.major*10 + f.minor) * 2
	if f.exact {
		r++
	}
	if f.machine {
		r += 1 << 16
	}
	return r
}
