//go:build cu && linux && cgo

package cuda

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cuda/internal/image"
)

// images are the files that devices of the compute capabilities of today run, and of two that there are not.
var images = map[[2]int]string{
	{8, 0}: "sm_80.cubin.gz", {8, 6}: "sm_86.cubin.gz", {8, 7}: "sm_86.cubin.gz", {8, 9}: "sm_89.cubin.gz", {9, 0}: "sm_90a.cubin.gz",
	{10, 0}: "sm_100a.cubin.gz", {10, 3}: "compute_80.ptx.gz", {12, 0}: "sm_120.cubin.gz", {12, 1}: "sm_120.cubin.gz",
	{13, 0}: "compute_80.ptx.gz", {20, 9}: "compute_80.ptx.gz",
}

func TestImages(t *testing.T) {
	for capability, want := range images {
		if name, _, err := image.Load(binaries, "kernels/bin", capability[0], capability[1], false); name != want || err != nil {
			t.Errorf("%v: %q, error %v, want %q", capability, name, err, want)
		}
	}
}

// TestDeviceRunsItsImage wants the device to run what was compiled for it.
func TestDeviceRunsItsImage(t *testing.T) {
	d := testDevice(t)
	want := images[[2]int{d.major, d.minor}]
	if os.Getenv(codeVariable) == "ptx" || want == "" {
		want = "compute_80.ptx.gz"
	}
	t.Logf("%s of compute capability %d.%d runs %s", d.Name(), d.major, d.minor, d.image)
	if d.image != want {
		t.Errorf("it runs %s, want %s", d.image, want)
	}
}

func TestUnknownCodeIsAnError(t *testing.T) {
	d := testDevice(t)
	t.Setenv(codeVariable, "sass")
	fresh := &Device{major: d.major, minor: d.minor}
	err := d.do("load", func() error { return fresh.loadKernels(binaries) })
	if !errors.Is(err, backend.ErrParameter) || !strings.Contains(err.Error(), codeVariable) {
		t.Errorf("error %v, want %v that names %s", err, backend.ErrParameter, codeVariable)
	}
}

// TestPTXServes has another process compute stages with the code that serves devices newer than the kernels.
func TestPTXServes(t *testing.T) {
	testDevice(t)
	standIn := os.Getenv(standInVariable) != ""
	if os.Getenv("MOE_TEST_PTX") == "" && !standIn {
		t.Skip("a driver compiles for most of a minute: set MOE_TEST_PTX to have it do so")
	}
	stages := []string{"TopK", "Plan", "Permute", "GroupedMatMul", "SwiGLU", "Unpermute", "Attention"}
	start := time.Now()
	test := exec.Command(os.Args[0], "-test.v",
		"-test.run=^(TestDeviceRunsItsImage|TestConformance)$/^cuda$/^portable$/^("+strings.Join(stages, "|")+")$")
	test.Env = append(os.Environ(), codeVariable+"=ptx")
	out, err := test.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("runs compute_80.ptx.gz")) {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("compiled and tested in %v", time.Since(start))
	for _, s := range stages {
		if !standIn && !bytes.Contains(out, []byte("--- PASS: TestConformance/cuda/portable/"+s)) {
			t.Errorf("stage %s did not run", s)
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
