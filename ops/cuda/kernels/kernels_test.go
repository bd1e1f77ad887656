package kernels

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sources lists the files that the compiled kernels depend on: those that build.py hashes, itself among them.
func sources(t *testing.T) []string {
	t.Helper()
	names := []string{"build.py"}
	for _, pattern := range []string{"*.cu", "*.cuh"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			t.Fatalf("no %s here", pattern)
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	return names
}

// TestCompiledFromTheseSources needs neither a GPU nor a compiler: the build leaves a hash of its sources beside its results.
func TestCompiledFromTheseSources(t *testing.T) {
	h := sha256.New()
	for _, name := range sources(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(text))
		h.Write(text)
	}
	want, err := os.ReadFile("bin/sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x\n", h.Sum(nil)); got != string(want) {
		t.Errorf("bin/ was compiled from other sources (hash %.8s…, now %.8s…): run go generate ./ops/cuda/...", want, got)
	}
}

// TestBinaries wants an image for every architecture, each of its kind, that unpacks, and all together small.
func TestBinaries(t *testing.T) {
	// Every program built with the tag cu grows by the images, a clone of the repository by those of every commit. All seven took
	// 6.0 MiB when this was set, two thirds of it products and attention: the rest is room for a kernel or two, so that one that is
	// made for far more cases than are used does not come in unseen.
	const most = 13 << 19
	var total int64
	for name, start := range map[string]string{
		"sm_80.cubin.gz": "\x7fELF", "sm_86.cubin.gz": "\x7fELF", "sm_89.cubin.gz": "\x7fELF", "sm_90a.cubin.gz": "\x7fELF",
		"sm_100a.cubin.gz": "\x7fELF", "sm_120.cubin.gz": "\x7fELF", "compute_80.ptx.gz": "//",
	} {
		f, err := os.Open(filepath.Join("bin", name))
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
		r, err := gzip.NewReader(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Name != "" || !r.ModTime.IsZero() {
			t.Errorf("%s: name %q and time %v in the gzip header, want none: two builds must give the same bytes", name, r.Name, r.ModTime)
		}
		code, err := io.ReadAll(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(strings.TrimLeft(string(code), "\n"), start) {
			t.Errorf("%s begins with %q, want %q", name, code[:min(len(code), 8)], start)
		}
	}
	if total > most {
		t.Errorf("the binaries take %d bytes, want at most %d", total, most)
	}
}
