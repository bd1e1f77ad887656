package cpu_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
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

func TestVariantsAreRegisteredBestFirst(t *testing.T) {
	if forced := os.Getenv("MOE_CPU"); forced != "" {
		t.Skipf("MOE_CPU=%s forces a variant", forced)
	}
	if got, want := names(backend.Backends("cpu")), names(cpu.Variants()); !slices.Equal(got, want) {
		t.Fatalf("registered %v, want %v", got, want)
	}
}

// TestForcedVariants starts this test's program anew for each value of MOE_CPU and looks at what is registered there.
func TestForcedVariants(t *testing.T) {
	if os.Getenv("MOE_CPU_CHILD") != "" {
		t.Logf("registered=%s", strings.Join(names(backend.Backends("cpu")), ","))
		return
	}
	all := names(cpu.Variants())
	for _, c := range []struct {
		forced string
		may    []string // what may be registered, in this order
		warned bool
	}{
		{"go", []string{"cpu/go"}, false},
		{"avx2", []string{"cpu/avx2", "cpu/go"}, false},
		{"avx512", []string{"cpu/avx512", "cpu/avx2", "cpu/go"}, false},
		{"avx512bf16", []string{"cpu/avx512bf16", "cpu/avx512", "cpu/avx2", "cpu/go"}, false},
		{"sse", all, true},
	} {
		child := exec.Command(os.Args[0], "-test.run=^TestForcedVariants$", "-test.v")
		child.Env = append(os.Environ(), "MOE_CPU_CHILD=1", "MOE_CPU="+c.forced)
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("MOE_CPU=%s: %v\n%s", c.forced, err, out)
		}
		want := slices.DeleteFunc(slices.Clone(c.may), func(name string) bool { return !slices.Contains(all, name) })
		if line := "registered=" + strings.Join(want, ",") + "\n"; !strings.Contains(string(out), line) {
			t.Errorf("MOE_CPU=%s: want %q in\n%s", c.forced, line, out)
		}
		if got := strings.Contains(string(out), "is ignored"); got != c.warned {
			t.Errorf("MOE_CPU=%s: warned %v, want %v:\n%s", c.forced, got, c.warned, out)
		}
	}
}
