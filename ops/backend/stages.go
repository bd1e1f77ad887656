package backend

// GateMode says how logits become gates.
type GateMode int

const (
	// SoftmaxTopK is the softmax over the chosen experts' logits alone: gates[t,k] = exp(l_k) / Σ_j exp(l_j), j over the
	// chosen. It equals SoftmaxRenormalized but needs no sum over all experts. Mixtral's.
	SoftmaxTopK GateMode = iota
	// SoftmaxAll is the softmax over all E experts, read at the chosen ones; the gates of a token sum to less than 1.
	SoftmaxAll
	// SoftmaxRenormalized is SoftmaxAll divided by its sum over the chosen experts.
	SoftmaxRenormalized
)

// String is the name of the constant.
func (m GateMode) String() string {
	switch m {
	case SoftmaxTopK:
		return "SoftmaxTopK"
	case SoftmaxAll:
		return "SoftmaxAll"
	case SoftmaxRenormalized:
		return "SoftmaxRenormalized"
	}
	return "GateMode(?)"
}

// The stages. A destination comes first; see the package's doc for what a stage may rely on. F stands for a floating-point
// dtype: float32, float64, BFloat16 or Float16; every sum runs in float32 at least (float64 for float64).
type (
	// TopK chooses experts: ids (T,K) int32 are those of the K largest logits (T,E) F, largest first; of equal logits the
	// lower id first; a NaN counts as less than −Inf.
	TopK interface {
		TopK(ids, logits Value) error
	}
	// Gates weighs the chosen experts: gates (T,K) float32 from logits (T,E) F and ids (T,K) int32. A slot with id −1 has
	// gate 0 and is none of the chosen; any other id outside [0,E) is an ExpertIDError.
	Gates interface {
		Gates(gates, logits, ids Value, mode GateMode) error
	}
	// Planner fills p, whose sizes are set and whose tables are allocated, from ids (T,K) int32. expertMap, (E global)
	// int32 or nil, sends an id to the expert here (−1: not here). An id that is −1 is not here; any other out of range is
	// an ExpertIDError; more rows than p.Rows is an ErrShape. After an error the tables are undefined.
	Planner interface {
		Plan(p *Plan, ids, expertMap Value) error
	}
	// Permute copies rows to their places: rows[r] = x[RowSlot[r]/K], zero for padding. x (T,…) and rows (R,…) are of any one
	// fixed-size dtype and any width, or both Quantized with blocks one row high and of one width, whose codes and scales are
	// both moved: whole rows of bytes are copied.
	Permute interface {
		Permute(rows, x Value, p *Plan) error
	}
	// GroupedMatMul multiplies rows with their experts' matrices: out[r] = rows[r] · w[RowExpert[r]]ᵀ, zero for padding;
	// rows (R,D), w (E,N,D), out (R,N). The kinds of rows are F and Quantized, those of w are F, Quantized, BlockQuantized,
	// ExpertStack of F or BlockQuantized, and the backend's own Packed.
	GroupedMatMul interface {
		GroupedMatMul(out, rows, w Value, p *Plan) error
	}
	// SwiGLU is the gated activation: out[r,j] = silu(x[r,j]) · x[r,F+j] with silu(v) = v/(1+e^−v); x (R,2F), out (R,F).
	SwiGLU interface {
		SwiGLU(out, x Value) error
	}
	// Unpermute brings rows back and sums them: y[t] = Σ_k gates[t,k] · rows[SlotRow[t,k]], k ascending; a slot that is
	// not here adds nothing. rows (R,H) F, gates (T,K) float32, y (T,H) of the rows' dtype.
	Unpermute interface {
		Unpermute(y, rows, gates Value, p *Plan) error
	}
	// Experts is the fused whole: Permute x, GroupedMatMul w13, SwiGLU, GroupedMatMul w2, Unpermute with gates.
	Experts interface {
		Experts(y, x, gates Value, p *Plan, w13, w2 Value) error
	}
	// Quantize makes block-scaled FP8 of x (…,D) F. For each block of q: scale = max|x|/448 over its finite elements (1 if
	// that is 0), code = e4m3(x/scale); ±Inf becomes ±448 and NaN stays NaN.
	Quantize interface {
		Quantize(q *Quantized, x Value) error
	}
	// QuantizeBlocks quantises a weight: each row of q, which has a format, w's shape and memory of its own, becomes what
	// BlockFormat.Narrow makes of that row of w, (N,D) or (E,N,D) float32, BFloat16 or Float16, or an ExpertStack of such. Of the
	// elements that have no blocks the first is an ErrValue that tells its row and Narrow's error; q is then undefined.
	QuantizeBlocks interface {
		QuantizeBlocks(q *BlockQuantized, w Value) error
	}
	// RMSNorm scales rows to unit mean square: out[t] = w ⊙ x[t] / √(mean(x[t]²) + eps); x (T,H) F, w (H) F.
	RMSNorm interface {
		RMSNorm(out, x, w Value, eps float64) error
	}
	// Rotary is the rotary position embedding in the half-split order: with d = D/2 and θ_i = pos·base^(−i/d), each head's
	// pair (x_i, x_{i+d}) is turned by θ_i. x and out (T, heads·D) F, positions (T) int32.
	Rotary interface {
		Rotary(out, x, positions Value, headDim int, base float64) error
	}
	// CacheAppend writes keys and values (T, KVHeads·D), both of one dtype F, into the cache at positions (T) int32, converted to
	// the cache's dtype. Writing the same twice leaves the same cache. Of two tokens at one position the later stays.
	CacheAppend interface {
		CacheAppend(c *KVCache, keys, values, positions Value) error
	}
	// Attention is grouped-query attention over the cache. With head h's group g = h/(Heads/KVHeads) and p = positions[t]:
	// out[t,h] = Σ_j softmax_j(q[t,h]·K[j,g]/√D) · V[j,g],  j from max(0, p−window+1) to p (from 0 if window is 0). q and
	// out (T, Heads·D) F.
	Attention interface {
		Attention(out, q Value, c *KVCache, positions Value, window int) error
	}
	// Linear is a product without bias: out = x · wᵀ; x (T,D) F, w (N,D) F, BlockQuantized or the backend's own Packed, out (T,N).
	Linear interface {
		Linear(out, x, w Value) error
	}
	// PackWeight copies a weight into the order of memory that the backend reads fastest: (N,D) for Linear, (E,N,D) for
	// GroupedMatMul; w is F or an ExpertStack of F. The result has w's dtype, shape and numbers, bit by bit, and lives where w
	// does.
	PackWeight interface {
		PackWeight(w Value) (Packed, error)
	}
	// Embedding picks rows: out[t] = table[ids[t]], converted to out's dtype; table (V,H) F, ids (T) int32. An id outside
	// [0,V) is an ErrIndex.
	Embedding interface {
		Embedding(out, table, ids Value) error
	}
	// Add is the sum: out = a + b, elementwise, of one shape and dtype F. out may be a or b.
	Add interface {
		Add(out, a, b Value) error
	}
)
