// Package backend is the contract between the graph ops of package ops and the code that computes them.
//
// An op says what is computed: hyper-parameters, types, shapes. A backend computes it: it implements one small interface
// for each stage it has, and registers itself for a kind of device. This package imports neither an op nor a backend, so a
// backend may live outside this module; the suite in package conformance holds it to the same numbers as ours.
//
// # The data's way
//
//	x (T,H) ─ Linear with Wg (E,H) → logits (T,E) ─ TopK → ids (T,K) ─ Gates(logits, ids) → gates (T,K)
//	ids, expert map ─ Plan → where every routed row goes
//	x, plan ─ Permute → rows (R,H), expert by expert
//	rows ─ GroupedMatMul with W13 (E,2F,H) → (R,2F) ─ SwiGLU → (R,F) ─ GroupedMatMul with W2 (E,H,F) → (R,H)
//	rows, gates, plan ─ Unpermute → y (T,H)
//
// T tokens, H hidden width, F width of an expert, E experts, K experts a token, R rows of the permuted matrix,
// A alignment of an expert's segment of rows.
//
// # Values and devices
//
// A [Value] is gorgonia.Value. Host values are *tensor.Dense; a backend for another device brings its own type, which says
// where it lives through [Located]. Values of several parts ([Plan], [Quantized], [ExpertStack]) are [Composite]: moving
// one to a device moves its parts, and nobody but the composite asks what they mean.
//
// A stage receives its destination first, as copy does: allocated by the op through [Device.New], of the right dtype and
// shape, contiguous, overlapping no source, its contents undefined. Sources are on the same device and contiguous; their
// dtypes and shapes have been checked by the op as far as the graph knows them. What only the data can tell (an expert id
// out of range) is the stage's to check, with the errors of this package.
//
// # Choosing a backend
//
// [Register] adds a backend for a kind of device with a priority; [Dispatch] calls the best one that implements the stage
// and does not decline the operands with [ErrUnsupported]. A new kernel, device or quantised format is one new folder and
// its registration.
//
// # What comes later and where it fits
//
// Fusion is a stage: [Experts] is defined as Permute, GroupedMatMul, SwiGLU, GroupedMatMul, Unpermute in a row. A backend
// that can gather rows in its loads and reduce in its epilogue implements Experts; for the others the op runs the stages.
//
// A packed weight, made by [PackWeight], is a Value that keeps its logical dtype and shape and implements [Packed]. Its backend
// recognises its own type, the others decline it; if nobody takes it, the op unpacks it and asks again.
//
// Gradients are stages again. With g the gradient of the output: Permute's is Unpermute of g with unit gates; Unpermute's
// is Permute of g scaled by gates, and for the gates the dot of g's row with the expert's row; GroupedMatMul's is
// GroupedMatMul with each expert's matrix transposed for the rows, and a grouped outer product (R,N)ᵀ(R,H) → (E,N,H) for
// the weights. Each new stage is a new interface here, which today's backends simply lack; what a gradient needs from the
// forward pass (plan, gates, rows) are nodes of the graph already, for no op keeps state.
//
// Several devices: a [Plan] made with an expert map is one rank's share, with −1 for every row that is another's. Moving
// rows between ranks is two more stages in front of and behind that share, over a communicator that is a Value of the
// graph (no op or backend holds a global for it).
package backend
