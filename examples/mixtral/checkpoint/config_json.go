package checkpoint

import (
	"encoding/json"
	"fmt"
	"io/fs"
)

// What this package knows of the model families of the transformers library.
const (
	modelType    = "mixtral"
	architecture = "MixtralForCausalLM"
)

const maxConfig = 16_000_000 // bytes of a config.json

// ReadConfig reads the config.json at path; see ParseConfig.
func ReadConfig(path string) (*Config, error) {
	return place{}.config(path)
}

// ReadConfigFS is ReadConfig for the file called name in fsys.
func ReadConfigFS(fsys fs.FS, name string) (*Config, error) {
	return place{fsys: fsys}.config(name)
}

func (p place) config(name string) (*Config, error) {
	text, err := p.read(name, maxConfig)
	if err != nil {
		return nil, named(p.label(name), err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, named(p.label(name), err)
	}
	return c, nil
}

// ParseConfig reads the text of a config.json, as version 4 or 5 of the
// transformers library writes it, and validates it.
//
// A field that is missing or null has the value of DefaultConfig, except that
// null means "as many as num_attention_heads" for num_key_value_heads, "none"
// for bos_token_id and eos_token_id; and head_dim, null or missing, is
// hidden_size / num_attention_heads. The base of the rotary embedding is taken
// from rope_scaling or else rope_parameters, then from rope_theta at the top.
//
// Fields that only matter in training are not read. A field that asks for
// what the family does not have (another activation, RoPE type or architecture,
// quantised weights, biases) is ErrUnsupported; a wrong type or value is
// ErrConfig; broken JSON or a name that comes twice is ErrFormat.
func ParseConfig(text []byte) (*Config, error) {
	c, err := parseConfig(text)
	if err != nil {
		return nil, named(ConfigName, err)
	}
	return c, nil
}

func parseConfig(text []byte) (*Config, error) {
	f, err := parseFields(text)
	if err != nil {
		return nil, err
	}
	if err := f.checkFamily(); err != nil {
		return nil, err
	}
	c := DefaultConfig()
	f.int("vocab_size", &c.VocabSize)
	f.int("hidden_size", &c.HiddenSize)
	f.int("intermediate_size", &c.IntermediateSize)
	f.int("num_hidden_layers", &c.NumLayers)
	f.int("num_attention_heads", &c.NumHeads)
	f.int("max_position_embeddings", &c.MaxPositions)
	f.int("num_experts_per_tok", &c.TopK)
	f.float("rms_norm_eps", &c.NormEps)
	f.bool("tie_word_embeddings", &c.TieEmbeddings)
	f.experts(&c)
	f.heads(&c)
	f.window(&c)
	f.ids("bos_token_id", &c.BOS)
	f.ids("eos_token_id", &c.EOS)
	f.dtype(&c)
	f.rope(&c)
	if f.err != nil {
		return nil, f.err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// checkFamily refuses a model that computes something else than Mixtral does.
func (f *fields) checkFamily() error {
	family, archs := "", []string(nil)
	f.string("model_type", &family)
	if value := f.values["architectures"]; !isNull(value) {
		err := walkArray(value, maxList, func(value json.RawMessage) error {
			name, err := parseString(value)
			archs = append(archs, name)
			return err
		})
		if err != nil {
			f.fail(invalid("architectures is %s, want a list of strings", quote(value)))
		}
	}
	if f.err != nil {
		return f.err
	}
	if family == "" && len(archs) == 0 {
		return invalid("neither model_type nor architectures says what model this is")
	}
	if family != "" && family != modelType {
		return unsupported("model_type", quote(family), modelType)
	}
	for _, name := range archs {
		if name != architecture {
			return unsupported("architectures", quote(name), architecture)
		}
	}
	return f.checkVariant()
}

// checkVariant refuses fields that would change the computation if the family
// had them: ignoring one would give wrong numbers without a word.
func (f *fields) checkVariant() error {
	act, bias, normalised, rotated := "silu", false, true, 1.0
	f.string("hidden_act", &act)
	f.bool("attention_bias", &bias)
	f.bool("norm_topk_prob", &normalised)
	f.float("partial_rotary_factor", &rotated)
	switch {
	case f.err != nil:
		return f.err
	case act != "silu":
		return unsupported("hidden_act", quote(act), "silu")
	case bias:
		return unsupported("attention_bias", "true", "false")
	case !normalised:
		return unsupported("norm_topk_prob", "false", "true (the family always normalises the gates)")
	case rotated != 1:
		return unsupported("partial_rotary_factor", fmt.Sprint(rotated), "1")
	}
	if value := f.values["quantization_config"]; !isNull(value) {
		return unsupported("quantization_config", quote(value), "null")
	}
	return nil
}

// experts reads num_local_experts, which num_experts is another name of.
func (f *fields) experts(c *Config) {
	f.int("num_experts", &c.NumExperts)
	other := c.NumExperts
	f.int("num_local_experts", &c.NumExperts)
	if !isNull(f.values["num_experts"]) && c.NumExperts != other {
		f.fail(invalid("num_local_experts %d and num_experts %d differ", c.NumExperts, other))
	}
}

// heads reads num_key_value_heads and head_dim, whose null depends on fields
// read before.
func (f *fields) heads(c *Config) {
	if string(f.values["num_key_value_heads"]) == "null" {
		c.NumKVHeads = c.NumHeads
	}
	f.int("num_key_value_heads", &c.NumKVHeads)
	if isNull(f.values["head_dim"]) && c.NumHeads > 0 {
		c.HeadDim = c.HiddenSize / c.NumHeads
		if c.HiddenSize%c.NumHeads != 0 {
			f.fail(invalid("hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim",
				c.HiddenSize, c.NumHeads))
		}
	}
	f.int("head_dim", &c.HeadDim)
}

// window reads sliding_window: null means none, so 0 must not.
func (f *fields) window(c *Config) {
	f.int("sliding_window", &c.SlidingWindow)
	if !isNull(f.values["sliding_window"]) && c.SlidingWindow == 0 {
		f.fail(invalid("sliding_window is 0, want null or a positive number"))
	}
}

// dtype reads dtype, which torch_dtype is the older name of.
func (f *fields) dtype(c *Config) {
	var older, newer string
	f.string("torch_dtype", &older)
	f.string("dtype", &newer)
	if older != "" && newer != "" && older != newer {
		f.fail(invalid("dtype %s and torch_dtype %s differ", quote(newer), quote(older)))
		return
	}
	if newer == "" {
		newer = older
	}
	switch newer {
	case "":
	case "float64":
		c.DType = F64
	case "float32":
		c.DType = F32
	case "float16":
		c.DType = F16
	case "bfloat16":
		c.DType = BF16
	default:
		f.fail(unsupported("dtype", quote(newer), "float64", "float32", "float16", "bfloat16"))
	}
}

// rope reads the rotary embedding's parameters.
func (f *fields) rope(c *Config) {
	f.float("rope_theta", &c.RopeTheta)
	name := "rope_scaling"
	if value := string(f.values[name]); isNull(f.values[name]) || value == "{}" {
		name = "rope_parameters"
	}
	if f.err != nil || isNull(f.values[name]) {
		return
	}
	if f.values[name][0] != '{' {
		f.fail(invalid("%s is %s, want an object", name, quote(f.values[name])))
		return
	}
	r, err := parseFields(f.values[name])
	if err != nil {
		f.fail(fmt.Errorf("%s: %w", name, err))
		return
	}
	kind, partial := "default", 1.0
	r.string("type", &kind)
	r.string("rope_type", &kind)
	r.float("rope_theta", &c.RopeTheta)
	r.float("partial_rotary_factor", &partial)
	switch {
	case r.err != nil:
		f.fail(fmt.Errorf("%s: %w", name, r.err))
		return
	case kind != "default":
		f.fail(unsupported(name+": rope_type", quote(kind), "default"))
		return
	case partial != 1:
		f.fail(unsupported(name+": partial_rotary_factor", fmt.Sprint(partial), "1"))
		return
	}
	for _, field := range r.order {
		switch field {
		case "type", "rope_type", "rope_theta", "partial_rotary_factor":
		default:
			if !isNull(r.values[field]) {
				f.fail(unsupported(name+": field", quote(field), "rope_type", "rope_theta", "partial_rotary_factor"))
				return
			}
		}
	}
}
