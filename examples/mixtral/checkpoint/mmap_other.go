//go:build !unix && !windows

package checkpoint

import "os"

// mapFile reads the first size bytes of f: this system has no memory map that
// the package knows. There is nothing to release.
func mapFile(f *os.File, size int) (data []byte, release func() error, err error) {
	data, err = readAll(f, int64(size))
	return data, nil, err
}
