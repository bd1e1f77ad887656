package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// parse reads flags and fails the test if they are refused.
func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o, err := parseOptions(args)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// caseNames are the names of all cases.
func caseNames(o *options) []string {
	var s []string
	for c := range o.cases() {
		s = append(s, c.String())
	}
	return s
}

func TestFlags(t *testing.T) {
	o := parse(t, "-work", "permute,groupedmatmul-w2", "-shape", "mixtral,qwen3", "-tokens", "3,1", "-dtype", "bf16,fp8",
		"-activations", "f16", "-routing", "hot", "-context", "7", "-layers", "4", "-align", "8", "-rows", "exact", "-cpus", "1", "-time", "20ms", "-pause", "3s", "-json", "-ceilings")
	if o.activations != f16 || o.routing.name != "hot" || o.context != 7 || o.layers != 4 || o.align != 8 || o.rows != exactRows || o.cpus != 1 ||
		o.budget != 20*time.Millisecond || o.pause != 3*time.Second || !o.json || !o.ceilings || o.device == nil || o.device.Kind() != "cpu" {
		t.Errorf("options %+v", o)
	}
	want := []string{
		"permute mixtral T=3 -", "permute mixtral T=1 -",
		"groupedmatmul-w2 mixtral T=3 bf16", "groupedmatmul-w2 mixtral T=1 bf16",
		"groupedmatmul-w2 mixtral T=3 fp8", "groupedmatmul-w2 mixtral T=1 fp8",
		"permute qwen3 T=3 -", "permute qwen3 T=1 -",
		"groupedmatmul-w2 qwen3 T=3 bf16", "groupedmatmul-w2 qwen3 T=1 bf16",
		"groupedmatmul-w2 qwen3 T=3 fp8", "groupedmatmul-w2 qwen3 T=1 fp8",
	}
	if got := caseNames(o); !slices.Equal(got, want) {
		t.Errorf("cases\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDefaultFlags(t *testing.T) {
	want := []string{"experts mixtral T=1 f32", "experts mixtral T=8 f32", "experts mixtral T=64 f32", "experts mixtral T=512 f32"}
	if got := caseNames(parse(t)); !slices.Equal(got, want) {
		t.Errorf("cases %q, want %q", got, want)
	}
}

func TestWorksByName(t *testing.T) {
	for list, want := range map[string]string{
		"groupedmatmul":                  "groupedmatmul-w13, groupedmatmul-w2, groupedmatmul-ffn",
		"layer":                          "layer",
		"quantize,add,plan":              "quantize, add, plan",
		"add,add":                        "add",
		"groupedmatmul-w2,groupedmatmul": "groupedmatmul-w2, groupedmatmul-w13, groupedmatmul-ffn",
		"all":                            names(works, func(w work) string { return w.name }),
	} {
		got, err := selectWorks(list)
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if s := names(got, func(w *work) string { return w.name }); s != want {
			t.Errorf("%s: %s, want %s", list, s, want)
		}
	}
}

func TestFlagsRefuse(t *testing.T) {
	for args, want := range map[string]string{
		"-work nothing":               "groupedmatmul-ffn",
		"-work permut":                "permute",
		"-shape big":                  "mixtral",
		"-tokens 1,,2":                "whole number",
		"-tokens 0":                   "whole number",
		"-tokens 2147483648":          "from 1 to 2147483647",
		"-dtype f33":                  "f32, bf16, f16, fp8",
		"-activations int":            "f32, bf16, f16, fp8",
		"-backend tpu":                "want one of cpu",
		"-routing fair":               "balanced, uniform, hot or a JSON file",
		"-context -1":                 "≥ 0",
		"-layers 0":                   "≥ 1",
		"-align 0":                    "≥ 1",
		"-rows 12":                    "want bound or exact",
		"-time -1s":                   "≥ 0",
		"-pause -1s":                  "≥ 0",
		"-time soon":                  "time",
		"-frequency 3":                "frequency",
		"permute":                     "want flags only",
		"-work linear -dtype fp8":     "nothing to measure",
		"-work add -activations fp8":  "nothing to measure",
		"-work peer -activations f16": "nothing to measure",
	} {
		if _, err := parseOptions(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", args, err, want)
		}
	}
}

func TestHelpAndReadmeNameEveryWork(t *testing.T) {
	if _, err := parseOptions([]string{"-h"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: error %v, want flag.ErrHelp", err)
	}
	var text bytes.Buffer
	if code := run([]string{"-h"}, &text, &text); code != 0 {
		t.Errorf("-h exits with %d", code)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		for _, s := range []string{w.name, w.what, string(w.flops), string(w.bytes)} {
			if !strings.Contains(text.String(), s) {
				t.Errorf("-h does not say %q", s)
			}
		}
		flops := string(w.flops)
		if flops == "" {
			flops = "–"
		}
		if line := "| `" + w.name + "` | " + w.what + " | " + flops + " | " + string(w.bytes) + " |"; !bytes.Contains(readme, []byte(line)) {
			t.Errorf("README.md has no line\n%s", line)
		}
	}
}
