package main

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// call runs the command in this process.
func call(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	status = run(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// succeed is call for a command that must succeed; it returns what that printed.
func succeed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	status, stdout, stderr := call(t, stdin, args...)
	if status != exitOK {
		t.Fatalf("%q: exit status %d: %s", args, status, stderr)
	}
	return stdout
}

func TestPrompt(t *testing.T) {
	// The continuation keeps the space that begins it: prompt and answer together are the text.
	for _, c := range []struct{ stdin, prompt, want string }{
		{"", "roman 1949 =", " MCMXLIX\n"},
		{"roman 1949 =", "-", " MCMXLIX\n"},
		{"roman 1949 =\n", "-", " MCMXLIX\n"},
		{"roman 1949 =\r\n", "-", " MCMXLIX\n"},
	} {
		if got := succeed(t, c.stdin, "-prompt", c.prompt); got != c.want {
			t.Errorf("-prompt %q: %q, want %q", c.prompt, got, c.want)
		}
	}
}

func TestPromptReportsSpeed(t *testing.T) {
	_, _, stderr := call(t, "", "-prompt", "words 7 =", "-n", "2")
	if !strings.HasPrefix(stderr, "prompt: 9 tokens in ") || !strings.Contains(stderr, "; answer: 1 step in ") ||
		strings.Count(stderr, "tokens/s") != 2 {
		t.Errorf("stderr is %q", stderr)
	}
}

func TestPromptLengths(t *testing.T) {
	whole := succeed(t, "", "-prompt", "words 4207 =")
	if got := succeed(t, "", "-prompt", "words 4207 =", "-n", "0"); got != "\n" {
		t.Errorf("-n 0 prints %q, want an empty line", got)
	}
	got := succeed(t, "", "-prompt", "words 4207 =", "-n", "3")
	if got = strings.TrimSuffix(got, "\n"); len(got) < 3 || !strings.HasPrefix(whole, got) || len(got) >= len(whole)-1 {
		t.Errorf("-n 3 prints %q, want a part of %q", got, whole)
	}
}

// A model that never ends its text, on a context of 40: what fits is printed, and a note says why it stops.
func TestPromptFillsContext(t *testing.T) {
	dir := copyOf(t, "testdata/golden/public-f32")
	edit(t, filepath.Join(dir, "config.json"), `"max_position_embeddings": 512`, `"max_position_embeddings": 40`)
	edit(t, filepath.Join(dir, "config.json"), `"eos_token_id": 2`, `"eos_token_id": null`)
	status, _, stderr := call(t, "", "-model", dir, "-prompt", "Hello world", "-n", "1000")
	if status != exitOK || !strings.Contains(stderr, "the context of 40 tokens is full\n") ||
		!strings.Contains(stderr, "prompt: 10 tokens") || !strings.Contains(stderr, "answer: 29 steps") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestSampledPrompt(t *testing.T) {
	args := []string{"-model", "testdata/golden/public-f32", "-prompt", "Hello", "-n", "30", "-temperature", "5", "-seed"}
	first, again, other := succeed(t, "", append(args, "1")...), succeed(t, "", append(args, "1")...), succeed(t, "", append(args, "2")...)
	if first != again {
		t.Errorf("the same seed gives %q and %q", first, again)
	}
	if first == other {
		t.Errorf("seeds 1 and 2 both give %q", first)
	}
	// A nucleus of the one likeliest token is the greedy choice, whatever the temperature.
	narrow := succeed(t, "", append(args[:len(args)-1:len(args)-1], "-top-p", "1e-9")...)
	if greedy := succeed(t, "", args[:6]...); narrow != greedy {
		t.Errorf("-top-p 1e-9 gives %q, greedy %q", narrow, greedy)
	}
}

func TestInterruptedGeneration(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs strings.Builder
	status := run(ctx, []string{"-prompt", "words 7 ="}, nil, &out, &errs)
	if status != exitInterrupted || !strings.HasPrefix(errs.String(), "prompt: no tokens; answer: no steps") {
		t.Errorf("status %d, stderr %q, want %d and the speeds", status, errs.String(), exitInterrupted)
	}
	// After three texts are written, between two steps.
	ctx, cancel = context.WithCancel(context.Background())
	w := &cancelling{after: 3, cancel: cancel}
	errs.Reset()
	status = run(ctx, []string{"-prompt", "words 4207 ="}, nil, w, &errs)
	if status != exitInterrupted || !strings.Contains(errs.String(), "answer: 3 steps") || w.writes != 4 {
		t.Errorf("status %d, %d writes, stderr %q", status, w.writes, errs.String())
	}
}

// cancelling calls cancel at a Write.
type cancelling struct {
	after, writes int
	cancel        func()
}

func (c *cancelling) Write(p []byte) (int, error) {
	if c.writes++; c.writes == c.after {
		c.cancel()
	}
	return len(p), nil
}

func TestTokenizeAndBack(t *testing.T) {
	// tokenizer.json is all that is needed.
	dir := t.TempDir()
	text, err := os.ReadFile("testdata/golden/public-f32/tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	const ids = "[1,338,291,399,404,338,332,351,321,313]\n"
	for _, c := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"-tokenize", "Hello world"}, ids},
		{"Hello world", []string{"-tokenize", "-"}, ids},
		{"a\n", []string{"-tokenize", "-"}, "[1,338,310,13]\n"},
		{"", []string{"-tokenize", ""}, "[1]\n"},
		{"", []string{"-detokenize", "1,338,291,399,404,338,332,351,321,313"}, "Hello world\n"},
		{ids, []string{"-detokenize", "-"}, "Hello world\n"},
		{"", []string{"-detokenize", "[]"}, "\n"},
	} {
		if got := succeed(t, c.stdin, append(c.args, "-model", dir)...); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
	if got := succeed(t, "", "-tokenize", "sum 1 2 ="); got != "[1,372,344,336,259,276,259,277,406]\n" {
		t.Errorf("the embedded tokenizer gives %s", got)
	}
}

func TestProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.out")
	succeed(t, "", "-cpuprofile", path, "-tokenize", "sum 1 2 =")
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		t.Errorf("the profile: %v, %v", info, err)
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	text := succeed(t, "", "-h")
	flags := flagSet(new(options))
	flags.VisitAll(func(f *flag.Flag) {
		if !strings.Contains(text, " -"+f.Name+" ") {
			t.Errorf("-h does not explain -%s", f.Name)
		}
	})
	for name := range usedIn {
		if flags.Lookup(name) == nil {
			t.Errorf("usedIn names the unknown flag -%s", name)
		}
	}
}

func TestWriteErrorsAreErrors(t *testing.T) {
	for _, args := range [][]string{{}, {"-h"}, {"-prompt", "words 7 ="}, {"-ids", "1,2"}, {"-tokenize", "a"}, {"-detokenize", "3"}} {
		var errs strings.Builder
		if status := run(context.Background(), args, nil, full{}, &errs); status != exitError || errs.String() != "mixtral: no space\n" {
			t.Errorf("%q: status %d, stderr %q", args, status, errs.String())
		}
	}
}

// full is a disk without space.
type full struct{}

type fullError struct{}

func (fullError) Error() string          { return "no space" }
func (full) Write(p []byte) (int, error) { return 0, fullError{} }

// copyOf copies a checkpoint's files, not its golden outputs, to a new folder.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, e := range entries {
		if strings.Contains(e.Name(), "golden") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// edit replaces the only place where a file holds a text.
func edit(t *testing.T, path, from, to string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(data), from) != 1 {
		t.Fatalf("%s holds %q %d times", path, from, strings.Count(string(data), from))
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}
