package checkpoint

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
)

// tiny has one layer, two experts, and a different number for every size.
var tiny = Config{
	VocabSize: 11, HiddenSize: 6, IntermediateSize: 5, NumLayers: 1, NumHeads: 4, NumKVHeads: 2, HeadDim: 2,
	NumExperts: 3, TopK: 2, NormEps: 1e-5, RopeTheta: 1e6, MaxPositions: 8,
}

// zeros returns the tensors a checkpoint of c has, without those named.
func zeros(c *Config, layout Layout, dtype DType, without ...string) []Tensor {
	var tensors []Tensor
	for name, shape := range c.Tensors(layout) {
		if slices.Contains(without, name) {
			continue
		}
		size := dtype.Bits() / 8
		for _, n := range shape {
			size *= n
		}
		tensors = append(tensors, Tensor{Name: name, DType: dtype, Shape: shape, Data: make([]byte, size)})
	}
	return tensors
}

func parsed(t *testing.T, tensors ...Tensor) *File {
	t.Helper()
	f, err := Parse(mustWrite(t, tensors...))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTensors(t *testing.T) {
	common := []string{
		"model.embed_tokens.weight [11 6]",
		"model.layers.0.input_layernorm.weight [6]",
		"model.layers.0.post_attention_layernorm.weight [6]",
		"model.layers.0.self_attn.q_proj.weight [8 6]",
		"model.layers.0.self_attn.k_proj.weight [4 6]",
		"model.layers.0.self_attn.v_proj.weight [4 6]",
		"model.layers.0.self_attn.o_proj.weight [6 8]",
	}
	last := []string{"model.norm.weight [6]", "lm_head.weight [11 6]"}
	perExpert := []string{"model.layers.0.block_sparse_moe.gate.weight [3 6]"}
	for e := range 3 {
		prefix := fmt.Sprintf("model.layers.0.block_sparse_moe.experts.%d.", e)
		perExpert = append(perExpert, prefix+"w1.weight [5 6]", prefix+"w2.weight [6 5]", prefix+"w3.weight [5 6]")
	}
	stacked := []string{
		"model.layers.0.mlp.gate.weight [3 6]",
		"model.layers.0.mlp.experts.gate_up_proj [3 10 6]",
		"model.layers.0.mlp.experts.down_proj [3 6 5]",
	}
	tied := tiny
	tied.TieEmbeddings = true
	for _, c := range []struct {
		config Config
		layout Layout
		want   []string
	}{
		{tiny, PerExpert, slices.Concat(common, perExpert, last)},
		{tiny, Stacked, slices.Concat(common, stacked, last)},
		{tied, Stacked, slices.Concat(common, stacked, last[:1])},
		{tiny, Layout(7), nil},
	} {
		var got []string
		for name, shape := range c.config.Tensors(c.layout) {
			got = append(got, fmt.Sprint(name, " ", shape))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.layout, got, c.want)
		}
	}
}

func TestTensorsStopsEarly(t *testing.T) {
	for _, layout := range []Layout{PerExpert, Stacked} {
		all := len(zeros(&tiny, layout, F32))
		for stop := 1; stop <= all; stop++ {
			n := 0
			for range tiny.Tensors(layout) {
				if n++; n == stop {
					break
				}
			}
			if n != stop {
				t.Errorf("%s: %d tensors after a break at %d", layout, n, stop)
			}
		}
	}
}

func TestCheckGolden(t *testing.T) {
	for _, name := range []string{"public-f32", "public-bf16-sharded"} {
		c, err := ReadConfig(golden + name + "/" + ConfigName)
		if err != nil {
			t.Fatal(err)
		}
		d, err := OpenDir(golden + name)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if layout, err := c.Check(d); err != nil || layout != PerExpert {
			t.Errorf("%s: layout %s, error %v", name, layout, err)
		}
		if want := len(zeros(c, PerExpert, F32)); len(d.Names()) != want {
			t.Errorf("%s: the checkpoint has %d tensors, the config asks for %d", name, len(d.Names()), want)
		}
	}
}

func TestCheckFindsLayout(t *testing.T) {
	for _, want := range []Layout{PerExpert, Stacked} {
		for _, dtype := range []DType{F64, F32, F16, BF16} {
			got, err := tiny.Check(parsed(t, zeros(&tiny, want, dtype)...))
			if err != nil || got != want {
				t.Errorf("%s %s: got %s, error %v", want, dtype, got, err)
			}
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	for _, layout := range []Layout{PerExpert, Stacked} {
		for name, shape := range tiny.Tensors(layout) {
			_, err := tiny.Check(parsed(t, zeros(&tiny, layout, F32, name)...))
			wantError(t, err, ErrNotFound, quote(name), fmt.Sprint(shape))

			wrong := append([]int{1}, shape...)
			tensors := zeros(&tiny, layout, F32)
			i := slices.IndexFunc(tensors, func(x Tensor) bool { return x.Name == name })
			tensors[i].Shape = wrong
			_, err = tiny.Check(parsed(t, tensors...))
			wantError(t, err, ErrShape, quote(name), fmt.Sprint(wrong), fmt.Sprint(shape), "safetensors data")
		}
	}
	_, err := tiny.Check(parsed(t, zeros(&tiny, PerExpert, F8E4M3)...))
	wantError(t, err, ErrUnsupported, EmbedTokens, "F8_E4M3", "BF16")
	broken := tiny
	broken.NumLayers = math.MaxInt32
	_, err = broken.Check(parsed(t))
	wantError(t, err, ErrConfig, "num_hidden_layers")
}

// brokenSource fails for every tensor; otherSource answers with one of its own.
type brokenSource struct{ err error }

func (s brokenSource) Tensor(string) (Tensor, error) { return Tensor{}, s.err }

type otherSource struct{}

func (otherSource) Tensor(name string) (Tensor, error) {
	return Tensor{Name: name, DType: F32, Shape: []int{1}}, nil
}

func TestCheckOwnSource(t *testing.T) {
	failure := errors.New("no connection")
	_, err := tiny.Check(brokenSource{failure})
	wantError(t, err, failure, "[11 6]")
	_, err = tiny.Check(otherSource{})
	wantError(t, err, ErrShape, EmbedTokens, "[1]", "[11 6]")
}

func TestLayoutString(t *testing.T) {
	for layout, want := range map[Layout]string{PerExpert: "per-expert", Stacked: "stacked", -1: "Layout(-1)"} {
		if got := layout.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
