//go:build unix

package checkpoint

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Opening a pipe that nobody writes to would wait for ever.
func TestOpenFileRefusesPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenFile(path)
	wantError(t, err, ErrFormat, path, "not a regular file")
	_, err = ReadConfig(path)
	wantError(t, err, ErrFormat, path, "not a regular file")
}

// The caches of model hubs link to files elsewhere.
func TestOpenDirFollowsLinks(t *testing.T) {
	dir, blobs := t.TempDir(), t.TempDir()
	blob := filepath.Join(blobs, "0123")
	if err := os.WriteFile(blob, small(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(blob, filepath.Join(dir, WeightsName)); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if x, err := d.Tensor("odd"); err != nil || string(x.Data) != "abc" {
		t.Errorf("got %q, error %v", x.Data, err)
	}
}
