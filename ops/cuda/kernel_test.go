//go:build cu && linux && cgo

package cuda

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// TestPTXServes loads the code that serves devices newer than the kernels, which the driver compiles.
func TestPTXServes(t *testing.T) {
	d := testDevice(t)
	if os.Getenv("MOE_TEST_PTX") == "" && os.Getenv(standInVariable) == "" {
		t.Skip("a driver compiles for most of a minute: set MOE_TEST_PTX to have it do so")
	}
	const ptx = "kernels/bin/compute_80.ptx.gz"
	data, err := fs.ReadFile(binaries, ptx)
	if err != nil {
		t.Fatal(err)
	}
	fresh := &Device{major: d.major, minor: d.minor}
	start := time.Now()
	if err := d.do("load", func() error { return fresh.loadKernels(fstest.MapFS{ptx: {Data: data}}) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("compiled in %v", time.Since(start))
	for _, k := range kernels {
		if has := fresh.functions[k.index] != nil; has != isPortable(k) {
			t.Errorf("kernel %s: %v", k.name, has)
		}
	}
}

// TestEveryImageHasEveryKernel looks the names that the stages launch up in the compiled code of every architecture.
func TestEveryImageHasEveryKernel(t *testing.T) {
	names, err := fs.Glob(binaries, "kernels/bin/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sm_80.cubin", "sm_86.cubin", "sm_89.cubin", "sm_90a.cubin", "sm_100a.cubin", "sm_120.cubin", "compute_80.ptx"} {
		if _, err := fs.Stat(binaries, "kernels/bin/"+want+".gz"); err != nil {
			t.Error(err)
		}
	}
	for _, name := range names {
		packed, err := fs.ReadFile(binaries, name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		code, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		has := func(k string) bool { return bytes.Contains(code, []byte(".entry "+k+"(")) }
		if strings.HasSuffix(name, ".cubin.gz") {
			has = func(k string) bool { return bytes.Contains(code, []byte("\x00.text."+k+"\x00")) }
		}
		for _, k := range kernels {
			if want := isPortable(k) || strings.Contains(name, "sm_90a"); has(k.name) != want {
				t.Errorf("%s has a kernel %s: %v, want %v", name, k.name, !want, want)
			}
		}
	}
}

// isPortable reports whether a kernel is for every architecture and not for compute capability 9.0 alone.
func isPortable(k *kernel) bool { return !strings.HasSuffix(k.name, "_sm90") }
