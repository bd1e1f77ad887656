// Package cpu computes the stages of package backend on the host. Importing it registers its backends:
//
//	import _ "github.com/gorgonia/moe/ops/cpu"
//
// Plain Go, [Go], computes every stage on every GOARCH and is the specification that the other variants are held to. On amd64 and
// arm64 there are, on vector instructions and for float32 and bfloat16, the products, GroupedMatMul and Linear, the fused Experts,
// Permute, Unpermute, SwiGLU, Quantize, RMSNorm, Rotary, Attention and Add. On amd64 the variants are cpu/avx2 (AVX2, FMA and
// F16C), cpu/avx512 (AVX-512F), cpu/avx512vnni (AVX-512 VNNI, for weights in blocks), cpu/avx512bf16 (AVX-512 BF16, too) and, on
// Linux, cpu/amxbf16 (AMX, too): importing the package asks the kernel for leave to use AMX's tiles where the CPU has some. On arm64
// it is cpu/neon, which is tested under an emulator only and whose speed is not measured. A variant leaves what it lacks to the next
// lesser one.
//
// The environment variable MOE_CPU = go, avx2, avx512, avx512vnni, avx512bf16 or amxbf16, on arm64 go or neon, forces a variant, as
// far as the CPU has it: it comes first and none that needs more of the CPU is used. Without it cpu/avx512bf16 comes first only where
// its instruction is fast, which it is not on CPUs with AMX.
//
// Once warm, a stage allocates nothing, but for the products of plain Go with a weight in FP8 or a stack, which allocate the list
// of what they multiply, and the error of a variant that leaves its operands to the next. On amd64 Permute, Unpermute, Add,
// RMSNorm and Rotary write outputs that no cache holds past the caches. Loops are shared by the caller and up to GOMAXPROCS−1
// goroutines, which stay awake for 40 µs after a loop and then sleep.
//
// All stages are deterministic: the same operands give the same bits, whatever GOMAXPROCS is. Sums run in float32, in float64 for
// float64 operands; two variants may differ by the order of their sums. A row of a product with a packed weight has the same bits
// whatever other rows there are; with a weight that is not packed up to 16 rows are summed in another order than more are.
//
// float32 numbers meet bfloat16 ones by widening the latter, which loses nothing. cpu/avx512bf16 and cpu/amxbf16 multiply two
// bfloat16 operands with the CPU's own instructions for that, which take denormals for zero. The former rounds the sum of each two
// products. The latter adds up 16 products with even and 16 with odd indices, then both sums, then that to the sum so far; with other
// operands, or up to 16 rows and a weight that is not packed, it does what cpu/avx512 does.
//
// [Sgemm] and [Sgemv] are the general products of BLAS on the same kernels; package blas puts them in Gorgonia's place for such.
//
// Weights of float16 and in blocks (backend.BlockQuantized) meet float32 or bfloat16 rows by becoming float32, which loses nothing:
// in registers for up to 8 rows (16 with AVX-512, 12 with NEON), a few rows of the weight at a time for up to 16, in panels for more.
// So the result is that of the numbers that the weight stands for, up to the order of sums. If the scale of a block is not finite,
// neither are the results of its row.
//
// Blocks are multiplied in whole numbers where that is faster: by cpu/avx2 and with AVX-512 VNNI for up to 16 rows of an expert, those
// of backend.Q4_0 also by cpu/avx512 for a single one and, as its instructions count, by cpu/neon for up to 12. A row of x is then rounded as
// backend.BlockQuantized says. A row with a NaN, an infinity or a block whose largest magnitude is above 2¹⁰⁰ or below 2⁻⁸⁰, but not
// 0, is multiplied in float32, whatever the others are.
//
// A weight that is used more than once is best packed once (PackWeight), in the order in which the vector kernels read it: a
// product with many rows then need not reorder it each time.
package cpu

// Go is the backend in plain Go. It has no state, and every stage but the fused Experts, which the op then composes, and
// PackWeight, as it reads every weight where it lies.
type Go struct{}

// Name is "cpu/go".
func (Go) Name() string { return "cpu/go" }
