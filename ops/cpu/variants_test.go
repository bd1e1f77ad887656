package cpu_test

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gorgonia/moe/ops/backend"
	"github.com/gorgonia/moe/ops/cpu"
)

func names(list []backend.Backend) []string {
	var out []string
	for _, b := range list {
		out = append(out, b.Name())
	}
	return out
}

// TestVariantsAreRegistered holds what is registered to what the value of MOE_CPU says under which the test runs.
func TestVariantsAreRegistered(t *testing.T) {
	want := names(cpu.Variants())
	if limit := slices.Index(cpu.Levels, os.Getenv("MOE_CPU")); limit >= 0 {
		may := slices.Clone(cpu.Levels[:limit+1])
		slices.Reverse(may)
		want = nil
		for _, level := range may {
			if name := "cpu/" + level; slices.Contains(names(cpu.Variants()), name) {
				want = append(want, name)
			}
		}
	}
	if got := names(backend.Backends("cpu")); !slices.Equal(got, want) {
		t.Fatalf("registered %v, want %v", got, want)
	}
}

// TestForcedVariants starts this test's program anew for each value of MOE_CPU, and one that is none, to run the test above.
func TestForcedVariants(t *testing.T) {
	for _, forced := range append([]string{"sse"}, cpu.Levels...) {
		child := exec.Command(os.Args[0], "-test.run=^TestVariantsAreRegistered$", "-test.v")
		child.Env = append(os.Environ(), "MOE_CPU="+forced)
		out, err := child.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skipf("this system runs the test's program in an emulator: %v", err)
		}
		if err != nil || !strings.Contains(string(out), "PASS: TestVariantsAreRegistered") {
			t.Errorf("MOE_CPU=%s: %v\n%s", forced, err, out)
		}
		if got, want := strings.Contains(string(out), "is ignored"), forced == "sse"; got != want {
			t.Errorf("MOE_CPU=%s: warned %v, want %v:\n%s", forced, got, want, out)
		}
	}
}
