//go:build cu && linux && cgo

package cuda

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// On a machine without a driver the tests run again in a process with the one of testdata, whose GPU runs no kernel.
const (
	standInVariable = "MOE_STANDIN"      // set in that process
	openVariable    = "MOE_STANDIN_OPEN" // set to have a process tell what Open returns, and nothing else
)

func TestMain(m *testing.M) {
	switch _, err := Count(); {
	case os.Getenv(openVariable) != "":
		fmt.Print(tellOpen())
		os.Exit(0)
	case !errors.Is(err, ErrNoDriver) || os.Getenv(standInVariable) != "":
		os.Exit(m.Run())
	}
	folder, err := os.MkdirTemp("", "standin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := runWithStandIn(m, folder)
	os.RemoveAll(folder)
	os.Exit(code)
}

// runWithStandIn builds the driver of testdata and runs the tests in a process that loads it. Where it cannot be built, as on
// a machine that has the test's binary alone, they run without a device.
func runWithStandIn(m *testing.M, folder string) int {
	compiler := os.Getenv("CC")
	if compiler == "" {
		compiler = "cc"
	}
	build := exec.Command(compiler, "-shared", "-fPIC", "-pthread", "-o", filepath.Join(folder, "libcuda.so.1"), filepath.Join("testdata", "driver.c"))
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "no stand-in for the driver: %v\n%s", err, out)
		return m.Run()
	}
	test := exec.Command(os.Args[0], os.Args[1:]...)
	test.Env = append(os.Environ(), standInVariable+"=1", "LD_LIBRARY_PATH="+folder)
	test.Stdin, test.Stdout, test.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := test.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// computingDevice is testDevice for tests whose results kernels compute.
func computingDevice(t testing.TB) *Device {
	t.Helper()
	d := testDevice(t)
	if os.Getenv(standInVariable) != "" {
		t.Skip("this test needs a GPU: the driver's stand-in runs no kernels")
	}
	return d
}

// tellOpen is Open's error and which errors of this package it is.
func tellOpen() string {
	_, err := Open(0)
	var is []string
	for name, sentinel := range map[string]error{
		"ErrNoDriver": ErrNoDriver, "ErrNoDevice": ErrNoDevice, "ErrDriverTooOld": ErrDriverTooOld, "ErrDeviceTooOld": ErrDeviceTooOld,
	} {
		if errors.Is(err, sentinel) {
			is = append(is, name)
		}
	}
	return fmt.Sprintf("%v %v", is, err)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	if os.Getenv(standInVariable) == "" {
		t.Skip("the driver here is no stand-in that could be made to fail")
	}
	for _, c := range []struct{ env, want, text string }{
		{"LD_LIBRARY_PATH=", "[ErrNoDriver]", "libcuda.so.1"},
		{"STANDIN_INIT=999", "[ErrNoDriver]", "Unknown"},
		{"STANDIN_INIT=100", "[ErrNoDevice]", "finds no GPU"},
		{"STANDIN_DEVICES=0", "[ErrNoDevice]", "device 0"},
		{"STANDIN_VERSION=11040", "[ErrDriverTooOld]", "CUDA 11.4, want 12.0"},
		{"STANDIN_MAJOR=7", "[ErrDeviceTooOld]", "stand-in has compute capability 7.0, want 8.0"},
		{"STANDIN_MAJOR=9", "[]", "<nil>"},
	} {
		open := exec.Command(os.Args[0])
		open.Env = append(os.Environ(), openVariable+"=1", c.env)
		out, err := open.CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), c.want+" ") || !strings.Contains(string(out), c.text) {
			t.Errorf("%s: Open told %q (%v), want %s and %q", c.env, out, err, c.want, c.text)
		}
	}
}
