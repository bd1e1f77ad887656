// RMSNorm: out[t] = w ⊙ x[t] / √(Σ_i x[t,i]²/H + eps), in float32 (float64 for f64), rounded once.
//
// Shapes   x (T,H) → out (T,H) of one dtype f32, f64, bf16, f16; w (H) of any of these.
// Moves    2·T·H·size bytes, and w.
// Grid     T blocks, a row each, of up to 1024 threads, one for two packs of 16 bytes, which stay in registers between the
//          two passes; what a longer row has more is read again. Single numbers where H·size is no multiple of 16, or w has
//          neither x's dtype nor f32.
//          rmsnorm_<dtype>      for many rows: so few registers that an SM holds 64 warps.
//          rmsnorm_<dtype>_few  reads w beside x, and so waits once: for few rows, and for rows of 4 KiB and less, whose
//                               blocks of 128 threads leave registers enough.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy of 1 GiB: 3026 GB/s), captured graph, bf16 with w in f32, as a kernel for these dtypes alone:
//          T = 4096: 13.3 µs at H = 2048, 24.4 at 4096, 41.1 at 7168: 83/91/94%, a copy of as many bytes about 12/24/41 µs;
//          T = 1: 1.3/1.4/1.7 µs. On an H200, w in f32: 18.4 µs at H = 4096, 31.2 at 7168: 96/95% of a copy of as many bytes; 10.2 µs
//          at 2048, 97%, as few with 128 threads.
#include "common.cuh"
namespace rmsnorm {

struct Params { void* out; const void* x; const void* w; i64 tokens, width, weightDtype; double eps; };

constexpr int kThreads = 1024, kKept = 2;  // threads at most

// block_sum gives every thread the sum, added in an order that the number of warps fixes.
template <class A> __device__ A block_sum(A x) {
  __shared__ A part[kThreads / 32];
  x = warp_sum(x);
  if (lane_id() == 0) part[warp_id()] = x;
  __syncthreads();
  return warp_sum(lane_id() < blockDim.x / 32 ? part[lane_id()] : A(0));
}

// weights reads N elements of w, from one on.
template <class W, class A, int N> __device__ __forceinline__ void weights(A (&by)[N], const Params& p, i64 from) {
  if constexpr (kIsVoid<W>) {
#pragma unroll
    for (int j = 0; j < N; j++) by[j] = load_any<A>(p.w, p.weightDtype, from + j);
  } else {
    constexpr int M = N < kPack<W> ? N : kPack<W>;
#pragma unroll
    for (int j = 0; j < N; j += M) {
      const Pack<W, M> w = Pack<W, M>::load(static_cast<const W*>(p.w) + from + j);
#pragma unroll
      for (int i = 0; i < M; i++) by[j + i] = A(widen(w.v[i]));
    }
  }
}

template <class T, class W, int N, bool kFew> __device__ void row(const Params& p, const T* x, T* out) {
  using A = Acc<T>;
  const u32 first = threadIdx.x * N, step = blockDim.x * N, near = u32(min(p.width, i64(kKept * step)));
  Pack<T, N> kept[kKept];
  A squares = 0;
  auto add = [&](const Pack<T, N>& v) {
#pragma unroll
    for (int j = 0; j < N; j++) squares += A(widen(v.v[j])) * A(widen(v.v[j]));
  };
#pragma unroll
  for (int i = 0; i < kKept; i++)
    if (first + i * step < near) kept[i] = Pack<T, N>::load(x + first + i * step);
  A by[kKept][N];
  if constexpr (kFew) {
#pragma unroll
    for (int i = 0; i < kKept; i++)
      if (first + i * step < near) weights<W>(by[i], p, first + i * step);
  }
#pragma unroll
  for (int i = 0; i < kKept; i++)
    if (first + i * step < near) add(kept[i]);
  for (i64 at = i64(first) + kKept * step; at < p.width; at += step) add(Pack<T, N>::load(x + at));

  const A factor = 1 / sqrt_of(block_sum(squares) / A(p.width) + A(p.eps));
  auto scale = [&](Pack<T, N>& v, const A (&by)[N], i64 at) {
#pragma unroll
    for (int j = 0; j < N; j++) v.v[j] = narrow<T>(A(widen(v.v[j])) * factor * by[j]);
    v.store(out + at);
  };
#pragma unroll
  for (int i = 0; i < kKept; i++) {
    if (first + i * step >= near) break;
    if constexpr (!kFew) weights<W>(by[i], p, first + i * step);
    scale(kept[i], by[i], first + i * step);
  }
  for (i64 at = i64(first) + kKept * step; at < p.width; at += step) {
    Pack<T, N> v = Pack<T, N>::load(x + at);
    weights<W>(by[0], p, at);
    scale(v, by[0], at);
  }
}

template <class T, class W, bool kFew> __device__ void by_alignment(const Params& p) {
  const T* x = static_cast<const T*>(p.x) + i64(blockIdx.x) * p.width;
  T* out = static_cast<T*>(p.out) + i64(blockIdx.x) * p.width;
  const u64 bits = bits_of(p.x) | bits_of(p.out) | bits_of(p.w) | u64(p.width * sizeof(T));
  if constexpr (!kIsVoid<W>)
    if (aligned16(bits)) return row<T, W, kPack<T>, kFew>(p, x, out);
  row<T, W, 1, kFew>(p, x, out);
}

template <class T, bool kFew> __device__ void rmsnorm(const Params& p) {
  if (p.weightDtype == Traits<T>::code) by_alignment<T, T, kFew>(p);
  else if (Traits<T>::code != kF32 && p.weightDtype == kF32) by_alignment<T, float, kFew>(p);
  else by_alignment<T, void, kFew>(p);
}

// Blocks of kThreads an SM where it holds 2048 threads: 32 registers a thread.
#if __CUDA_ARCH__ == 800 || __CUDA_ARCH__ == 900 || __CUDA_ARCH__ == 1000
constexpr int kBlocks = 2;
#else
constexpr int kBlocks = 1;
#endif

#define KERNEL(name, T)                                                                                           \
  extern "C" __global__ void __launch_bounds__(kThreads, sizeof(T) == 2 ? kBlocks : 1)                            \
  rmsnorm_##name(const __grid_constant__ Params p) {                                                              \
    begin();                                                                                                      \
    rmsnorm<T, false>(p);                                                                                         \
  }                                                                                                               \
  extern "C" __global__ void __launch_bounds__(kThreads) rmsnorm_##name##_few(const __grid_constant__ Params p) { \
    begin();                                                                                                      \
    rmsnorm<T, true>(p);                                                                                          \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace rmsnorm
