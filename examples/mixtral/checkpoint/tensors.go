package checkpoint

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
)

// The names of the tensors outside the layers. Shapes use V for VocabSize, H
// for HiddenSize.
const (
	EmbedTokens = "model.embed_tokens.weight" // (V, H)
	FinalNorm   = "model.norm.weight"         // (H)
	LMHead      = "lm_head.weight"            // (V, H), absent if TieEmbeddings
)

// The names of a layer's tensors, to be completed by InLayer. Shapes use H, F
// and E as Config does, Q for NumHeads·HeadDim, J for NumKVHeads·HeadDim.
const (
	InputNorm         = "input_layernorm.weight"          // (H)
	PostAttentionNorm = "post_attention_layernorm.weight" // (H)
	QProj             = "self_attn.q_proj.weight"         // (Q, H)
	KProj             = "self_attn.k_proj.weight"         // (J, H)
	VProj             = "self_attn.v_proj.weight"         // (J, H)
	OProj             = "self_attn.o_proj.weight"         // (H, Q)

	// The router and experts in the layout PerExpert; see Expert.
	Gate = "block_sparse_moe.gate.weight" // (E, H)

	// The router and experts in the layout Stacked. In GateUp the F rows of
	// an expert's w1 come first, then those of its w3.
	StackedGate   = "mlp.gate.weight"          // (E, H)
	StackedGateUp = "mlp.experts.gate_up_proj" // (E, 2F, H)
	StackedDown   = "mlp.experts.down_proj"    // (E, H, F)
)

// InLayer returns the full name of a layer's tensor.
func InLayer(layer int, name string) string {
	return "model.layers." + strconv.Itoa(layer) + "." + name
}

// Expert returns the name, within its layer, of an expert's matrix in the
// layout PerExpert: "w1" is the gate and "w3" the up projection (F, H), "w2"
// the down projection (H, F).
func Expert(expert int, matrix string) string {
	return "block_sparse_moe.experts." + strconv.Itoa(expert) + "." + matrix + ".weight"
}

// Layout is how a checkpoint names and cuts the weights of its experts.
type Layout int

const (
	// PerExpert is a tensor for each matrix of each expert, as published
	// and as save_pretrained writes it.
	PerExpert Layout = iota
	// Stacked is one tensor for each kind of matrix with the experts as its
	// first dimension: the names inside a version 5 model, as
	// save_pretrained writes them with save_original_format=False.
	Stacked
)

// String returns the layout's name.
func (l Layout) String() string {
	switch l {
	case PerExpert:
		return "per-expert"
	case Stacked:
		return "stacked"
	}
	return "Layout(" + strconv.Itoa(int(l)) + ")"
}

// Tensors yields the name and shape of every tensor that a checkpoint of this
// model has in the given layout: the embedding, the layers in order, the final
// norm, and lm_head unless it is tied. The config must be valid; an unknown
// layout yields nothing.
func (c *Config) Tensors(layout Layout) iter.Seq2[string, []int] {
	return func(yield func(string, []int) bool) {
		if layout != PerExpert && layout != Stacked {
			return
		}
		if !yield(EmbedTokens, []int{c.VocabSize, c.HiddenSize}) {
			return
		}
		for layer := range c.NumLayers {
			inLayer := func(name string, shape ...int) bool { return yield(InLayer(layer, name), shape) }
			if !c.attentionTensors(inLayer) || !c.expertTensors(layout, inLayer) {
				return
			}
		}
		if yield(FinalNorm, []int{c.HiddenSize}) && !c.TieEmbeddings {
			yield(LMHead, []int{c.VocabSize, c.HiddenSize})
		}
	}
}

// attentionTensors yields a layer's norms and projections until yield returns
// false, and returns what it returned last.
func (c *Config) attentionTensors(yield func(name string, shape ...int) bool) bool {
	h, q, j := c.HiddenSize, c.NumHeads*c.HeadDim, c.NumKVHeads*c.HeadDim
	return yield(InputNorm, h) && yield(PostAttentionNorm, h) &&
		yield(QProj, q, h) && yield(KProj, j, h) && yield(VProj, j, h) && yield(OProj, h, q)
}

// expertTensors does the same for a layer's router and experts.
func (c *Config) expertTensors(layout Layout, yield func(name string, shape ...int) bool) bool {
	h, f, e := c.HiddenSize, c.IntermediateSize, c.NumExperts
	if layout == Stacked {
		return yield(StackedGate, e, h) && yield(StackedGateUp, e, 2*f, h) && yield(StackedDown, e, h, f)
	}
	if !yield(Gate, e, h) {
		return false
	}
	for i := range e {
		if !yield(Expert(i, "w1"), f, h) || !yield(Expert(i, "w2"), h, f) || !yield(Expert(i, "w3"), f, h) {
			return false
		}
	}
	return true
}

// Source is where Check finds tensors: a *File, a *Dir, or one of the caller's.
type Source interface {
	// Tensor returns a tensor by name, or an error that wraps ErrNotFound.
	Tensor(name string) (Tensor, error)
}

// Check holds a checkpoint against the config and returns the layout it found.
// The first tensor in the order of Tensors that is missing (ErrNotFound), has
// another shape (ErrShape), or has elements that are no weights by themselves
// (ErrUnsupported: anything but F64, F32, F16 and BF16) is an error that names
// it, what it is and what it should be. Further tensors are no error. No data
// is read.
func (c *Config) Check(src Source) (Layout, error) {
	if err := c.Validate(); err != nil {
		return 0, err
	}
	layout := PerExpert
	for _, name := range []string{StackedGate, StackedGateUp, StackedDown} {
		if _, err := src.Tensor(InLayer(0, name)); err == nil {
			layout = Stacked
		}
	}
	for name, shape := range c.Tensors(layout) {
		t, err := src.Tensor(name)
		if err != nil {
			return 0, fmt.Errorf("the config asks for a tensor of shape %v: %w", shape, err)
		}
		if !slices.Equal(t.Shape, shape) {
			return 0, named(t.source, fmt.Errorf("%w: tensor %s has shape %v, the config asks for %v",
				ErrShape, quote(name), t.Shape, shape))
		}
		if !t.DType.isWeight() {
			return 0, named(t.source, fmt.Errorf("%w: tensor %s has dtype %s, a weight is one of %v",
				ErrUnsupported, quote(name), t.DType, weightTypes))
		}
	}
	return layout, nil
}
