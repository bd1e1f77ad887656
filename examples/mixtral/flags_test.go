package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string // parts of the message
	}{
		{[]string{"-foo"}, []string{"-foo"}},
		{[]string{"word"}, []string{`unexpected argument "word"`}},
		{[]string{"-n", "x", "-ids", "1"}, []string{`"x"`, "-n"}},
		{[]string{"-n", "-1", "-ids", "1"}, []string{"-n is -1"}},
		{[]string{"-n", "1048577", "-prompt", "a"}, []string{"-n is 1048577", "1048576"}},
		{[]string{"-prompt", "a", "-ids", "1"}, []string{"-prompt and -ids exclude each other"}},
		{[]string{"-tokenize", "a", "-detokenize", "1"}, []string{"-tokenize and -detokenize exclude each other"}},
		{[]string{"-model", "x"}, []string{"-model needs -prompt or -ids or -tokenize or -detokenize"}},
		{[]string{"-n", "3"}, []string{"-n needs -prompt or -ids"}},
		{[]string{"-dump", "x"}, []string{"-dump needs -ids"}},
		{[]string{"-dump", "x", "-prompt", "a"}, []string{"-dump has no meaning with -prompt"}},
		{[]string{"-load", "-tokenize", "a"}, []string{"-load has no meaning with -tokenize"}},
		{[]string{"-dump", "", "-ids", "1"}, []string{"-dump is empty"}},
		{[]string{"-model", "", "-ids", "1"}, []string{"-model is empty"}},
		{[]string{"-ids", ""}, []string{"-ids is empty"}},
		{[]string{"-temperature", "-1", "-prompt", "a"}, []string{"-temperature is -1"}},
		{[]string{"-temperature", "NaN", "-prompt", "a"}, []string{"-temperature is NaN"}},
		{[]string{"-temperature", "Inf", "-prompt", "a"}, []string{"-temperature is +Inf"}},
		{[]string{"-temperature", "1", "-top-p", "0", "-prompt", "a"}, []string{"-top-p is 0"}},
		{[]string{"-temperature", "1", "-top-p", "1.5", "-prompt", "a"}, []string{"-top-p is 1.5"}},
		{[]string{"-top-p", "0.5", "-prompt", "a"}, []string{"-top-p 0.5 needs a -temperature"}},
		{[]string{"-temperature", "1", "-ids", "1", "-dump", "x"}, []string{"-dump and -temperature 1 exclude each other"}},
		{[]string{"-device", "cuda"}, []string{`-device is "cuda"`, "auto", "cpu"}},
		{[]string{"-cpuprofile", "no/such/folder", "-tokenize", "a"}, []string{"-cpuprofile", "no/such/folder"}},
	} {
		status, stdout, stderr := call(t, "", c.args...)
		if status != exitError || stdout != "" {
			t.Errorf("%q: status %d, stdout %q", c.args, status, stdout)
		}
		checkLine(t, stderr, c.want...)
	}
}

// checkLine holds that stderr is one line of the command with all the parts.
func checkLine(t *testing.T, stderr string, parts ...string) {
	t.Helper()
	stderr = filepath.ToSlash(stderr)
	if !strings.HasPrefix(stderr, "mixtral: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("stderr is %q, want one line", stderr)
	}
	for _, part := range parts {
		if !strings.Contains(stderr, filepath.ToSlash(part)) {
			t.Errorf("stderr is %q, want %q in it", stderr, part)
		}
	}
}

func TestParseIDs(t *testing.T) {
	for text, want := range map[string][]int32{
		"5":            {5},
		"5,6,7":        {5, 6, 7},
		"[5, 6,7]\n":   {5, 6, 7},
		" 0 , 1 ":      {0, 1},
		"2147483647":   {1<<31 - 1},
		"[ ]":          nil,
		"[1,338,310]":  {1, 338, 310},
		"\t1,\n2\n,3 ": {1, 2, 3},
	} {
		if got, err := parseIDs(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("parseIDs(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "x", "1,", ",1", "1,,2", "-1", "1.5", "2147483648", "1 2", "[1", "1]", "[1,]", "[[1]]", "+1", "0x1"} {
		if got, err := parseIDs(text); err == nil {
			t.Errorf("parseIDs(%q) = %v, want an error", text, got)
		}
	}
}
