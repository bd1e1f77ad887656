package decoder

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

// A step reads the weights where they are mapped: what it allocates is for its few rows of activations, whatever the dtype.
func TestAStepCopiesNoWeights(t *testing.T) {
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector makes sync.Pool drop scratch memory at random")
	}
	for _, name := range []string{"public-f32", "public-bf16-sharded"} {
		dir := filepath.Join("../testdata/golden", name)
		s := session(t, load(t, dir), 20)
		for id := range int32(2) { // the first step builds the graph
			if _, err := s.Append(id); err != nil {
				t.Fatal(err)
			}
		}
		const steps = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for id := range int32(steps) {
			if _, err := s.Append(id); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		perStep := (after.TotalAlloc - before.TotalAlloc) / steps
		t.Logf("%s: %d bytes a step, the weights have %d", name, perStep, weightBytes(t, dir))
		if most := weightBytes(t, dir) / 10; perStep > most {
			t.Errorf("%s: a step allocates %d bytes, want at most %d", name, perStep, most)
		}
	}
}

func weightBytes(t *testing.T, dir string) uint64 {
	files, err := filepath.Glob(filepath.Join(dir, "model*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no weights in %s: %v", dir, err)
	}
	var sum uint64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += uint64(info.Size())
	}
	return sum
}
