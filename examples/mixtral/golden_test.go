package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gorgonia/moe/examples/mixtral/checkpoint"
)

// goldens are checkpoints with reference outputs, and how far a logit may be from the reference.
var goldens = []struct {
	model   string // folder; empty: the embedded model
	golden  string
	largest float64
}{
	{"", "testdata/model_golden.safetensors", 2e-3},
	{"testdata/golden/public-f32", "", 1e-4},
	{"testdata/golden/public-bf16-sharded", "", 2e-3},
	{"testdata/checkpoints/tied-window-f32", "", 1e-4},
	{"testdata/checkpoints/many-experts-bf16-sharded", "", 2e-3},
	{"testdata/checkpoints/one-of-five-f16", "", 2e-3},
	{"testdata/checkpoints/stacked-bf16", "", 2e-3},
}

func TestGoldens(t *testing.T) {
	for _, c := range goldens {
		name := "embedded"
		if c.model != "" {
			name, c.golden = filepath.Base(c.model), filepath.Join(c.model, "golden.safetensors")
		}
		t.Run(name, func(t *testing.T) {
			golden := open(t, c.golden)
			inputs, greedy := int32s(t, golden, "input_ids"), int32s(t, golden, "greedy_ids")
			prompt := int32s(t, golden, "prompt_len")[0]

			want, shape := float32s(t, golden, "logits")
			got, gotShape, ids := dump(t, c.model, inputs, 0)
			if !slices.Equal(gotShape, shape) {
				t.Fatalf("logits have shape %v, want %v", gotShape, shape)
			}
			furthest := 0.0
			for i := range want {
				furthest = math.Max(furthest, math.Abs(float64(got[i]-want[i]))) // a NaN stays
			}
			t.Logf("largest difference of a logit: %.2g", furthest)
			if !(furthest <= c.largest) {
				t.Errorf("a logit is off by %g, want at most %g", furthest, c.largest)
			}
			if !slices.Equal(ids, inputs) {
				t.Errorf("-n 0 gives ids %v, want %v", ids, inputs)
			}
			_, shape, ids = dump(t, c.model, greedy[:prompt], len(greedy)-int(prompt))
			if !slices.Equal(ids, greedy) {
				t.Errorf("greedy ids are %v, want %v", ids, greedy)
			}
			if shape[0] != int(prompt) {
				t.Errorf("the dump has logits of %d positions, the prompt %d", shape[0], prompt)
			}
		})
	}
}

// Packed weights say the same, on the device that auto finds too.
func TestPackedWeightsSayTheSame(t *testing.T) {
	for _, model := range []string{"testdata/golden/public-bf16-sharded", "testdata/checkpoints/stacked-bf16"} {
		greedy := open(t, filepath.Join(model, "golden.safetensors"))
		want, n := int32s(t, greedy, "greedy_ids"), int(int32s(t, greedy, "prompt_len")[0])
		for _, device := range []string{"cpu", "auto"} {
			got := succeed(t, "", "-model", model, "-ids", joined(want[:n]), "-n", strconv.Itoa(len(want)-n), "-pack", "-device", device)
			if got != "["+joined(want)+"]\n" {
				t.Errorf("%s on %s: %q, want %v", model, device, got, want)
			}
		}
	}
}

// dump runs -ids … -n … -dump and reads the file; what is printed must be the dump's ids.
func dump(t *testing.T, model string, prompt []int32, n int) (logits []float32, shape []int, ids []int32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "out.safetensors")
	args := []string{"-ids", joined(prompt), "-n", strconv.Itoa(n), "-dump", path}
	if model != "" {
		args = append(args, "-model", model)
	}
	printed := succeed(t, "", args...)
	f := open(t, path)
	logits, shape = float32s(t, f, "logits")
	ids = int32s(t, f, "ids")
	if printed != "["+joined(ids)+"]\n" {
		t.Errorf("stdout is %q, the dump's ids are %v", printed, ids)
	}
	return logits, shape, ids
}

// joined is ids with commas between them.
func joined(ids []int32) string {
	var text []string
	for _, id := range ids {
		text = append(text, strconv.Itoa(int(id)))
	}
	return strings.Join(text, ",")
}

func open(t *testing.T, path string) *checkpoint.File {
	t.Helper()
	data, err := os.ReadFile(path) // not mapped: the temporary folder can go at any time
	if err != nil {
		t.Fatal(err)
	}
	f, err := checkpoint.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func float32s(t *testing.T, f *checkpoint.File, name string) (values []float32, shape []int) {
	t.Helper()
	x, err := f.Tensor(name)
	if err != nil || x.DType != checkpoint.F32 {
		t.Fatalf("%s: %v %v", name, x.DType, err)
	}
	for i := 0; i < len(x.Data); i += 4 {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(x.Data[i:])))
	}
	return values, x.Shape
}

func int32s(t *testing.T, f *checkpoint.File, name string) (values []int32) {
	t.Helper()
	x, err := f.Tensor(name)
	if err != nil || x.DType != checkpoint.I32 || len(x.Shape) != 1 {
		t.Fatalf("%s: %v %v %v", name, x.DType, x.Shape, err)
	}
	for i := 0; i < len(x.Data); i += 4 {
		values = append(values, int32(binary.LittleEndian.Uint32(x.Data[i:])))
	}
	return values
}
