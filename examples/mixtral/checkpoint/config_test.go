package checkpoint

import (
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// config returns a small config.json with these members changed: `"a":1` sets
// a, `-a` takes it out.
func config(changes ...string) []byte {
	members := map[string]string{
		"model_type": `"mixtral"`, "vocab_size": "16", "hidden_size": "12", "intermediate_size": "5",
		"num_hidden_layers": "2", "num_attention_heads": "6", "num_key_value_heads": "3",
		"num_local_experts": "4", "num_experts_per_tok": "2",
	}
	for _, change := range changes {
		if name, ok := strings.CutPrefix(change, "-"); ok {
			delete(members, name)
			continue
		}
		name, value, _ := strings.Cut(change, ":")
		members[strings.Trim(name, `"`)] = value
	}
	var parts []string
	for name, value := range members {
		parts = append(parts, fmt.Sprintf("%q: %s", name, value))
	}
	return []byte("{" + strings.Join(parts, ",\n") + "}\n")
}

func TestReadConfigGolden(t *testing.T) {
	for name, want := range map[string]Config{
		"public-f32": {
			VocabSize: 600, HiddenSize: 64, IntermediateSize: 128, NumLayers: 2, NumHeads: 4, NumKVHeads: 2,
			HeadDim: 16, NumExperts: 4, TopK: 2, NormEps: 1e-5, RopeTheta: 1e6, MaxPositions: 512,
			BOS: []int{1}, EOS: []int{2}, DType: F32,
		},
		"public-bf16-sharded": {
			VocabSize: 512, HiddenSize: 128, IntermediateSize: 224, NumLayers: 3, NumHeads: 8, NumKVHeads: 2,
			HeadDim: 16, NumExperts: 8, TopK: 2, NormEps: 1e-5, RopeTheta: 1e6, MaxPositions: 512,
			BOS: []int{1}, EOS: []int{2}, DType: BF16,
		},
	} {
		got, err := ReadConfig(golden + name + "/" + ConfigName)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: got %+v, error %v, want %+v", name, got, err, want)
		}
	}
}

func TestReadConfigRefuses(t *testing.T) {
	fsys := fstest.MapFS{"bad": {Data: config(`"vocab_size":0`)}, "big": {Data: make([]byte, maxConfig+1)}}
	_, err := ReadConfigFS(fsys, "absent")
	wantError(t, err, fs.ErrNotExist, "absent")
	_, err = ReadConfigFS(fsys, "bad")
	wantError(t, err, ErrConfig, "bad", "vocab_size is 0")
	_, err = ReadConfigFS(fsys, "big")
	wantError(t, err, ErrFormat, "big", "16000001 bytes")
	_, err = ReadConfig(t.TempDir())
	wantError(t, err, ErrFormat, "not a regular file")
}

func TestParseConfigDefaults(t *testing.T) {
	all := `"vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads head_dim
		max_position_embeddings num_experts_per_tok num_local_experts num_experts rms_norm_eps tie_word_embeddings
		rope_theta rope_scaling rope_parameters sliding_window hidden_act dtype torch_dtype attention_bias
		norm_topk_prob partial_rotary_factor quantization_config architectures`
	text := `{"model_type":"mixtral"`
	for _, name := range strings.Fields(strings.Trim(all, `"`)) {
		text += fmt.Sprintf(",%q:null", name)
	}
	for _, text := range []string{
		`{"model_type":"mixtral"}`, `{"architectures":["MixtralForCausalLM"],"model_type":null}`, text + "}",
	} {
		got, err := ParseConfig([]byte(text))
		if err != nil || !reflect.DeepEqual(*got, DefaultConfig()) {
			t.Errorf("%s: got %+v, error %v", text, got, err)
		}
	}
}

func TestParseConfigFields(t *testing.T) {
	for _, c := range []struct {
		change []string
		get    func(c *Config) any
		want   any
	}{
		{nil, func(c *Config) any { return c.HeadDim }, 2},
		{[]string{`"head_dim":8`}, func(c *Config) any { return c.HeadDim }, 8},
		{[]string{`"num_key_value_heads":null`}, func(c *Config) any { return c.NumKVHeads }, 6},
		{[]string{`-num_key_value_heads`, `"num_attention_heads":16`, `"hidden_size":32`}, func(c *Config) any { return c.NumKVHeads }, 8},
		{[]string{`"tie_word_embeddings":true`}, func(c *Config) any { return c.TieEmbeddings }, true},
		{[]string{`"sliding_window":4096`}, func(c *Config) any { return c.SlidingWindow }, 4096},
		{[]string{`"bos_token_id":null`}, func(c *Config) any { return len(c.BOS) }, 0},
		{[]string{`"eos_token_id":null`}, func(c *Config) any { return len(c.EOS) }, 0},
		{[]string{`"eos_token_id":[]`}, func(c *Config) any { return len(c.EOS) }, 0},
		{[]string{`"eos_token_id":0`}, func(c *Config) any { return fmt.Sprint(c.EOS) }, "[0]"},
		{[]string{`"eos_token_id":[3, 15]`}, func(c *Config) any { return fmt.Sprint(c.EOS) }, "[3 15]"},
		{[]string{`"bos_token_id":[5]`}, func(c *Config) any { return fmt.Sprint(c.BOS) }, "[5]"},
		{[]string{`"rms_norm_eps":1e-6`}, func(c *Config) any { return c.NormEps }, 1e-6},
		{[]string{`"rope_theta":10000`}, func(c *Config) any { return c.RopeTheta }, 1e4},
		{[]string{`"rope_parameters":{"rope_theta":5e5,"rope_type":"default"}`}, func(c *Config) any { return c.RopeTheta }, 5e5},
		{[]string{`"rope_parameters":{"rope_theta":5e5}`, `"rope_theta":1e4`}, func(c *Config) any { return c.RopeTheta }, 5e5},
		{[]string{`"rope_parameters":{"rope_type":null}`, `"rope_theta":1e4`}, func(c *Config) any { return c.RopeTheta }, 1e4},
		{[]string{`"rope_parameters":{"rope_theta":3}`, `"rope_scaling":{"type":"default","rope_theta":7}`}, func(c *Config) any { return c.RopeTheta }, 7.},
		{[]string{`"rope_parameters":{"rope_theta":3}`, `"rope_scaling":{}`}, func(c *Config) any { return c.RopeTheta }, 3.},
		{[]string{`"rope_parameters":{"rope_type":"default","type":"linear","factor":null,"partial_rotary_factor":1.0}`}, func(c *Config) any { return c.RopeTheta }, 1e6},
		{[]string{`"num_experts":6`, `-num_local_experts`}, func(c *Config) any { return c.NumExperts }, 6},
		{[]string{`"num_experts":4`}, func(c *Config) any { return c.NumExperts }, 4},
		{[]string{`"torch_dtype":"float16"`}, func(c *Config) any { return c.DType }, F16},
		{[]string{`"torch_dtype":"float64"`, `"dtype":"float64"`}, func(c *Config) any { return c.DType }, F64},
		{[]string{`"norm_topk_prob":true`, `"attention_bias":false`}, func(c *Config) any { return c.TopK }, 2},
		{[]string{`"unknown":{"a":[1]}`}, func(c *Config) any { return c.VocabSize }, 16},
	} {
		got, err := ParseConfig(config(c.change...))
		if err != nil {
			t.Errorf("%q: %v", c.change, err)
		} else if c.get(got) != c.want {
			t.Errorf("%q: got %v, want %v", c.change, c.get(got), c.want)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for _, c := range []struct {
		change string
		want   error
		parts  []string
	}{
		{`-model_type`, ErrConfig, []string{"model_type", "architectures"}},
		{`"model_type":"llama"`, ErrUnsupported, []string{"model_type", `"llama"`, "mixtral"}},
		{`"model_type":7`, ErrConfig, []string{"model_type", `"7"`}},
		{`"architectures":["LlamaForCausalLM"]`, ErrUnsupported, []string{"architectures", `"LlamaForCausalLM"`, "MixtralForCausalLM"}},
		{`"architectures":["MixtralForCausalLM","X"]`, ErrUnsupported, []string{`"X"`}},
		{`"architectures":"MixtralForCausalLM"`, ErrConfig, []string{"architectures", "list"}},
		{`"architectures":[1]`, ErrConfig, []string{"architectures"}},
		{`"hidden_act":"gelu"`, ErrUnsupported, []string{"hidden_act", `"gelu"`, "silu"}},
		{`"attention_bias":true`, ErrUnsupported, []string{"attention_bias"}},
		{`"norm_topk_prob":false`, ErrUnsupported, []string{"norm_topk_prob"}},
		{`"norm_topk_prob":1`, ErrConfig, []string{"norm_topk_prob", `"1"`}},
		{`"quantization_config":{"quant_method":"awq"}`, ErrUnsupported, []string{"quantization_config", "awq"}},
		{`"partial_rotary_factor":0.5`, ErrUnsupported, []string{"partial_rotary_factor", "0.5"}},
		{`"rope_scaling":{"type":"linear","factor":2.0}`, ErrUnsupported, []string{"rope_scaling", "rope_type", `"linear"`, "default"}},
		{`"rope_parameters":{"rope_type":"yarn"}`, ErrUnsupported, []string{"rope_parameters", "rope_type", `"yarn"`}},
		{`"rope_parameters":{"rope_type":"default","factor":2}`, ErrUnsupported, []string{"rope_parameters", `"factor"`}},
		{`"rope_parameters":{"full_attention":{"rope_theta":1}}`, ErrUnsupported, []string{"rope_parameters", `"full_attention"`}},
		{`"rope_parameters":{"partial_rotary_factor":0.5}`, ErrUnsupported, []string{"rope_parameters", "partial_rotary_factor", "0.5"}},
		{`"rope_parameters":{"rope_theta":"x"}`, ErrConfig, []string{"rope_parameters", "rope_theta"}},
		{`"rope_parameters":{"rope_theta":-1}`, ErrConfig, []string{"rope_theta is -1"}},
		{`"rope_parameters":{"rope_theta":1,"rope_theta":1}`, ErrFormat, []string{"rope_parameters", `"rope_theta" appears twice`}},
		{`"rope_parameters":[1]`, ErrConfig, []string{"rope_parameters", "object"}},
		{`"rope_theta":0`, ErrConfig, []string{"rope_theta is 0"}},
		{`"rope_theta":1e400`, ErrConfig, []string{"rope_theta", "1e400"}},
		{`"rms_norm_eps":0`, ErrConfig, []string{"rms_norm_eps is 0"}},
		{`"rms_norm_eps":1.5`, ErrConfig, []string{"rms_norm_eps is 1.5"}},
		{`"rms_norm_eps":"NaN"`, ErrConfig, []string{"rms_norm_eps", "NaN"}},
		{`"vocab_size":0`, ErrConfig, []string{"vocab_size is 0"}},
		{`"vocab_size":16777217`, ErrConfig, []string{"vocab_size is 16777217"}},
		{`"vocab_size":1.5`, ErrConfig, []string{"vocab_size", `"1.5"`}},
		{`"vocab_size":"16"`, ErrConfig, []string{"vocab_size", "integer"}},
		{`"vocab_size":99999999999999999999`, ErrConfig, []string{"vocab_size", "99999999999999999999"}},
		{`"hidden_size":-12`, ErrConfig, []string{"hidden_size is -12"}},
		{`"hidden_size":13`, ErrConfig, []string{"hidden_size 13", "num_attention_heads 6"}},
		{`"hidden_size":18`, ErrConfig, []string{"head_dim is 3", "even"}},
		{`"intermediate_size":0`, ErrConfig, []string{"intermediate_size is 0"}},
		{`"num_hidden_layers":5000`, ErrConfig, []string{"num_hidden_layers is 5000"}},
		{`"num_attention_heads":0`, ErrConfig, []string{"num_attention_heads is 0"}},
		{`"num_key_value_heads":0`, ErrConfig, []string{"num_key_value_heads is 0"}},
		{`"num_key_value_heads":4`, ErrConfig, []string{"num_attention_heads 6", "num_key_value_heads 4"}},
		{`-num_key_value_heads`, ErrConfig, []string{"num_attention_heads 6", "num_key_value_heads 8"}},
		{`"head_dim":0`, ErrConfig, []string{"head_dim is 0"}},
		{`"num_local_experts":0`, ErrConfig, []string{"num_local_experts is 0"}},
		{`"num_local_experts":1`, ErrConfig, []string{"num_experts_per_tok 2", "num_local_experts 1"}},
		{`"num_experts":3`, ErrConfig, []string{"num_local_experts 4", "num_experts 3"}},
		{`"num_experts_per_tok":0`, ErrConfig, []string{"num_experts_per_tok is 0"}},
		{`"max_position_embeddings":0`, ErrConfig, []string{"max_position_embeddings is 0"}},
		{`"sliding_window":0`, ErrConfig, []string{"sliding_window is 0"}},
		{`"sliding_window":-1`, ErrConfig, []string{"sliding_window is -1"}},
		{`"tie_word_embeddings":"yes"`, ErrConfig, []string{"tie_word_embeddings", "yes"}},
		{`"bos_token_id":16`, ErrConfig, []string{"bos_token_id is 16", "16"}},
		{`"eos_token_id":-1`, ErrConfig, []string{"eos_token_id is -1"}},
		{`"eos_token_id":[1,16]`, ErrConfig, []string{"eos_token_id is 16"}},
		{`"eos_token_id":[[1]]`, ErrConfig, []string{"eos_token_id", "[[1]]"}},
		{`"eos_token_id":"</s>"`, ErrConfig, []string{"eos_token_id"}},
		{`"eos_token_id":[` + strings.Repeat("1,", 2000) + `1]`, ErrConfig, []string{"eos_token_id"}},
		{`"dtype":"int8"`, ErrUnsupported, []string{"dtype", `"int8"`, "bfloat16"}},
		{`"dtype":3`, ErrConfig, []string{"dtype", `"3"`}},
		{`"x":{`, ErrFormat, nil},
		{`"x":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000), ErrFormat, []string{"depth"}},
	} {
		got, err := ParseConfig(config(c.change))
		if got != nil {
			t.Errorf("%s: got a config beside the error", quote(c.change))
		}
		wantError(t, err, c.want, append(c.parts, ConfigName)...)
	}
	for text, part := range map[string]string{
		"": "ends early", "[]": `"{"`, "null": `"{"`, "{\"a\":\"\xff\"}": "UTF-8", "{} {}": "after the end",
		`{"model_type":"mixtral","vocab_size":1,"vocab_size":2}`: `"vocab_size" appears twice`,
	} {
		_, err := ParseConfig([]byte(text))
		wantError(t, err, ErrFormat, part)
	}
	_, err := ParseConfig(config(`"dtype":"float16"`, `"torch_dtype":"float32"`))
	wantError(t, err, ErrConfig, `"float16"`, `"float32"`)
}

func TestValidate(t *testing.T) {
	c := DefaultConfig()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(*Config){
		"rms_norm_eps is NaN":             func(c *Config) { c.NormEps = math.NaN() },
		"rope_theta is NaN":               func(c *Config) { c.RopeTheta = math.NaN() },
		"rope_theta is +Inf":              func(c *Config) { c.RopeTheta = math.Inf(1) },
		`dtype is "I8"`:                   func(c *Config) { c.DType = I8 },
		"num_local_experts 65536 exceeds": func(c *Config) { c.NumExperts = 1 << 16 },
		"bos_token_id has 2000 ids":       func(c *Config) { c.BOS = make([]int, 2000) },
	} {
		c := DefaultConfig()
		breakIt(&c)
		wantError(t, c.Validate(), ErrConfig, name)
	}
}
