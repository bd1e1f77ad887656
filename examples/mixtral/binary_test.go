package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"
)

// build compiles the command.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mixtral")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func TestBinary(t *testing.T) {
	path := build(t)
	t.Run("exit status and messages", func(t *testing.T) { checkMessages(t, path) })
	t.Run("interrupt", func(t *testing.T) { checkInterrupt(t, path) })
}

func checkMessages(t *testing.T, path string) {
	for _, c := range []struct {
		args           []string
		status         int
		stdout, stderr string // regular expressions of the whole
	}{
		{nil, 0, `(?s)tasks .* -seed \d+\n(  \w+ .* = .*  \((right|wrong, .*)\)\n){11}\d+ of 11 right; prompt: .* tokens/s\)\n`, ``},
		{[]string{"-h"}, 0, `(?s)mixtral runs a Mixtral model.*Examples.*`, ``},
		{[]string{"-prompt", "roman 1949 ="}, 0, ` MCMXLIX\n`, `prompt: .* tokens/s\); answer: .* tokens/s\)\n`},
		{[]string{"-tokenize", "roman 1949 ="}, 0, `\[1(,\d+)+\]\n`, ``},
		{[]string{"-model", "no/such/folder", "-prompt", "a"}, 1, ``, `mixtral: .*no.such.folder.*\n`},
		{[]string{"-device", "tpu"}, 1, ``, `mixtral: -device is "tpu", this program has: auto, cpu\n`},
		{[]string{"-nonsense"}, 1, ``, `mixtral: .*-nonsense.*\n`},
	} {
		cmd := exec.Command(path, c.args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		if got := cmd.ProcessState.ExitCode(); got != c.status {
			t.Errorf("%q: exit status %d, want %d", c.args, got, c.status)
		}
		for stream, x := range map[string]struct{ got, want string }{"stdout": {stdout.String(), c.stdout}, "stderr": {stderr.String(), c.stderr}} {
			if !regexp.MustCompile(`^` + x.want + `$`).MatchString(x.got) {
				t.Errorf("%q: %s is\n%s\nwant %s", c.args, stream, x.got, x.want)
			}
		}
	}
}

func checkInterrupt(t *testing.T, path string) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot send an interrupt to another one on Windows")
	}
	dir := copyOf(t, "testdata/golden/public-f32")
	edit(t, filepath.Join(dir, "config.json"), `"max_position_embeddings": 512`, `"max_position_embeddings": 1000000`)
	edit(t, filepath.Join(dir, "config.json"), `"eos_token_id": 2`, `"eos_token_id": null`)
	cmd := exec.Command(path, "-model", dir, "-prompt", "Hello", "-n", "100000")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	if _, err := stdout.Read(make([]byte, 1)); err != nil { // it is generating
		t.Error(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(stdout); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // its error is the exit status, which is looked at next
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted || !regexp.MustCompile(`^prompt: .*; answer: .*\n$`).MatchString(stderr.String()) {
		t.Errorf("exit status %d, stderr %q", status, stderr.String())
	}
}
