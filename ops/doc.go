// Package ops holds the stages of a Mixture-of-Experts layer as ops of a Gorgonia graph, one a file, and the ops that a
// decoder needs around it. Import a backend beside it, or no op can run:
//
//	import (
//		"github.com/gorgonia/moe/ops"
//		_ "github.com/gorgonia/moe/ops/cpu"
//	)
//
// # The data's way
//
//	x (T,H) ── Linear with Wg (E,H) ──▶ logits (T,E) ── TopK ──▶ ids (T,K) ── Gates ──▶ gates (T,K)
//	ids ── Plan ──▶ plan: where every routed row goes
//	x, plan ── Permute ──▶ rows (R,H), expert by expert
//	rows ── GroupedMatMul, W13 (E,2F,H) ──▶ (R,2F) ── SwiGLU ──▶ (R,F) ── GroupedMatMul, W2 (E,H,F) ──▶ (R,H)
//	rows, gates, plan ── Unpermute ──▶ y (T,H)
//
// T tokens, H hidden width, F width of an expert, E experts, K experts a token, R rows of the permuted matrix (padding
// included), A alignment of an expert's segment of rows. Experts is the last three lines as one node.
//
// Every op comes twice: under its name for a graph, and with Eval in front for values, without a graph. Both run the same
// code. An op runs on the device that holds any of its inputs, on the CPU if none does; ToDevice and ToHost move a value
// between them.
//
// Bad input is an error that names the op, what it got and what it wants, and wraps one of the sentinel errors of package backend; no
// op panics. Sizes that do not fit are an ErrShape, dtypes an ErrDtype, hyper-parameters out of range an ErrParameter, values of a
// kind that the op cannot read an ErrValue: while the graph is built, as far as that knows them, or when it runs. What only the data
// can tell is said at each op. After an error outputs are undefined.
//
// Every op is deterministic: on one backend the same inputs give the same bits, whatever the number of cores. No op writes to
// its inputs, CacheAppend's cache excepted, and no output shares memory with one unless the op says so. A host tensor may have any
// order of memory, only a masked one is refused; parts of other values, the keys of a cache or the blocks of a stack, are contiguous.
//
// The ops are made for Gorgonia's TapeMachine. A LispMachine runs them forward; going backwards is an error. The machines'
// WithNaNWatch and WithInfWatch know no other values than tensors and panic on a plan.
//
// # Counterparts
//
// The permute and unpermute of vLLM for DeepGEMM (module deep_gemm_utils), function by function:
//
//	deepgemm_moe_permute                Plan, Permute           any alignment; padding rows are −1 and zero; deterministic order
//	deepgemm_unpermute_and_reduce       Unpermute               any T and H; slots that are not here add nothing
//	ep_scatter                          Permute                 rows of any dtype and width, 64-bit offsets
//	_fwd_kernel_ep_scatter_1            Plan                    counts, offsets and row→expert table; padding marked −1, not left as expert 0
//	_fwd_kernel_ep_scatter_2            Permute                 rows in token order, where atomics gave a new order each run
//	ep_gather, _fwd_kernel_ep_gather    Unpermute               H need not be a multiple of 1024; reads no row of another rank
//	apply_expert_map                    Plan's expertMap        ids and map checked: an id out of range is an error, not a wild read
//	compute_aligned_M                   backend.RowBound        tight: min(E, T·K) segments at most, not E·(A−1) rows more
//	expert_num_tokens_round_up_and_sum  backend.RowsForCounts   overflow checked
//	round_up_128                        PlanConfig.Align        one number for allocation and kernel
//	deep_gemm_block_shape               PlanConfig.Align, backend.QuantBlock   parameters, no probe of another library
//	aq_scale, aq_scale_out              Permute of a Quantized  codes and scales travel with one plan; H need not be a multiple of 128
package ops
