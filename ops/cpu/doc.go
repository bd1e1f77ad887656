// Package cpu computes the stages of package backend on the host. Importing it registers its backends:
//
//	import _ "github.com/gorgonia/moe/ops/cpu"
//
// Plain Go, [Go], has every stage, runs on every GOARCH and is the specification that the other variants are held to. On amd64
// there are GroupedMatMul and Linear, Permute, Unpermute, Quantize, RMSNorm, Rotary, Attention and Add on vector instructions for
// float32 and bfloat16, chosen by what the CPU has:
// cpu/avx2 (AVX2 and FMA), cpu/avx512 (AVX-512F) and cpu/avx512bf16 (AVX-512 BF16). A variant leaves what it lacks to the next
// lesser one. The environment variable MOE_CPU = go, avx2, avx512 or avx512bf16 forces a variant, as far as the CPU has it: it comes
// first and none that needs more of the CPU is used. Without it cpu/avx512bf16 comes first only where its instruction is fast, which
// it is not on CPUs with AMX.
//
// Once warm, a stage allocates nothing. Permute, Unpermute, Add and RMSNorm write outputs that no cache holds past the caches.
//
// All stages are deterministic: the same operands give the same bits, whatever GOMAXPROCS is. Sums run in float32, in float64 for
// float64 operands; two variants may differ by the order of their sums. A row of a product with a packed weight has the same bits
// whatever other rows there are; with a weight that is not packed up to 16 rows are summed in another order than more are.
//
// float32 numbers meet bfloat16 ones by widening the latter, which loses nothing. cpu/avx512bf16 multiplies two bfloat16 operands
// with the CPU's own instruction for that, which takes denormals for zero and rounds the sum of each two products.
//
// A weight that is used more than once is best packed once (PackWeight), in the order in which the vector kernels read it: a
// product with many rows then need not reorder it each time.
package cpu

// Go is the backend in plain Go. It has every stage but the fused Experts and no state.
type Go struct{}

// Name is "cpu/go".
func (Go) Name() string { return "cpu/go" }
