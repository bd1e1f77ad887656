package checkpoint

import (
	"fmt"
	"math"
	"strings"
)

// Config is the architecture of a Mixtral model, from a checkpoint's
// config.json. The names in parentheses are the file's.
type Config struct {
	VocabSize        int // tokens (vocab_size)
	HiddenSize       int // H, the width of the residual stream (hidden_size)
	IntermediateSize int // F, the width of one expert (intermediate_size)
	NumLayers        int // decoder layers (num_hidden_layers)
	NumHeads         int // query heads (num_attention_heads)
	NumKVHeads       int // key and value heads, a divisor of NumHeads (num_key_value_heads)
	HeadDim          int // width of one head, even (head_dim)
	NumExperts       int // E, experts of a layer (num_local_experts)
	TopK             int // K, experts of a token (num_experts_per_tok)

	NormEps       float64 // ε of the RMS norms (rms_norm_eps)
	RopeTheta     float64 // base of the rotary embedding (rope_theta)
	MaxPositions  int     // the longest sequence trained for (max_position_embeddings)
	SlidingWindow int     // positions a token attends to, itself included; 0 for no limit (sliding_window)
	TieEmbeddings bool    // lm_head is the embedding (tie_word_embeddings)

	BOS []int // ids that begin a text, may be empty (bos_token_id)
	EOS []int // ids that end a text, may be empty (eos_token_id)

	// DType is what the weights were saved as, by its safetensors name;
	// empty if the file does not say. The tensors themselves decide.
	DType DType
}

// DefaultConfig returns what a config.json without a single field means: the
// defaults of the family in the transformers library, which are the values of
// Mixtral 8x7B but for max_position_embeddings.
func DefaultConfig() Config {
	return Config{
		VocabSize: 32000, HiddenSize: 4096, IntermediateSize: 14336, NumLayers: 32,
		NumHeads: 32, NumKVHeads: 8, HeadDim: 128, NumExperts: 8, TopK: 2,
		NormEps: 1e-5, RopeTheta: 1e6, MaxPositions: 4096 * 32,
		BOS: []int{1}, EOS: []int{2},
	}
}

// The largest sizes Validate accepts: far beyond every known model, and small
// enough that heads·width, 2·F and layers·experts do not overflow an int and
// the tensors of a model can be listed.
const (
	maxWidth     = 1 << 24 // vocabulary, hidden and intermediate size
	maxHeads     = 1 << 14
	maxHeadDim   = 1 << 14
	maxLayers    = 1 << 12
	maxExperts   = 1 << 16
	maxBlocks    = 1 << 20 // layers·experts
	maxPositions = 1 << 30
	maxList      = 1 << 10 // elements of a list
)

// Validate returns an error, wrapping ErrConfig, that names the first field
// that is out of range or contradicts another one, and its value.
func (c *Config) Validate() error {
	sizes := []struct {
		field      string
		value, max int
	}{
		{"vocab_size", c.VocabSize, maxWidth},
		{"hidden_size", c.HiddenSize, maxWidth},
		{"intermediate_size", c.IntermediateSize, maxWidth},
		{"num_hidden_layers", c.NumLayers, maxLayers},
		{"num_attention_heads", c.NumHeads, maxHeads},
		{"num_key_value_heads", c.NumKVHeads, maxHeads},
		{"head_dim", c.HeadDim, maxHeadDim},
		{"num_local_experts", c.NumExperts, maxExperts},
		{"num_experts_per_tok", c.TopK, maxExperts},
		{"max_position_embeddings", c.MaxPositions, maxPositions},
	}
	for _, s := range sizes {
		if s.value < 1 || s.value > s.max {
			return invalid("%s is %d, want 1 to %d", s.field, s.value, s.max)
		}
	}
	switch {
	case c.NumHeads%c.NumKVHeads != 0:
		return invalid("num_attention_heads %d is no multiple of num_key_value_heads %d", c.NumHeads, c.NumKVHeads)
	case c.HeadDim%2 != 0:
		return invalid("head_dim is %d, the rotary embedding needs an even one", c.HeadDim)
	case c.TopK > c.NumExperts:
		return invalid("num_experts_per_tok %d exceeds num_local_experts %d", c.TopK, c.NumExperts)
	case c.NumLayers*c.NumExperts > maxBlocks:
		return invalid("num_hidden_layers %d times num_local_experts %d exceeds %d", c.NumLayers, c.NumExperts, maxBlocks)
	case c.SlidingWindow < 0 || c.SlidingWindow > maxPositions:
		return invalid("sliding_window is %d, want null or 1 to %d", c.SlidingWindow, maxPositions)
	case !(c.NormEps > 0 && c.NormEps <= 1):
		return invalid("rms_norm_eps is %v, want more than 0 and at most 1", c.NormEps)
	case !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 0):
		return invalid("rope_theta is %v, want a positive number", c.RopeTheta)
	case c.DType != "" && !c.DType.isWeight():
		return invalid("dtype is %s, want one of %v", quote(c.DType), weightTypes)
	}
	if err := c.validateIDs("bos_token_id", c.BOS); err != nil {
		return err
	}
	return c.validateIDs("eos_token_id", c.EOS)
}

// validateIDs checks a field of token ids.
func (c *Config) validateIDs(field string, ids []int) error {
	if len(ids) > maxList {
		return invalid("%s has %d ids, at most %d are supported", field, len(ids), maxList)
	}
	for _, id := range ids {
		if id < 0 || id >= c.VocabSize {
			return invalid("%s is %d, outside the vocabulary of %d", field, id, c.VocabSize)
		}
	}
	return nil
}

// invalid makes an ErrConfig.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}

// unsupported makes an ErrUnsupported about a field.
func unsupported(field, got string, known ...string) error {
	return fmt.Errorf("%w: %s is %s, known: %s", ErrUnsupported, field, got, strings.Join(known, ", "))
}
