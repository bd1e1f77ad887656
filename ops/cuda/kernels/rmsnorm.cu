// RMSNorm: out[t] = w ⊙ x[t] / √(Σ_i x[t,i]²/H + eps), in float32 (float64 for f64), rounded once.
//
// Shapes   x (T,H) → out (T,H) of one dtype f32, f64, bf16, f16; w (H) of any of these.
// Moves    2·T·H·size bytes, and w.
// Grid     T blocks of clamp(32·⌈H·size/2048⌉, 32, 256) threads, a row each; 256 without packs. The first four packs of 16 bytes of a thread stay in registers between the two
//          passes; what a longer row has more is read again. Single numbers where H·size is no multiple of 16.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: T = 4096: 14.1 µs at H = 2048, 24.9 at 4096, 41.7 at 7168:
//          99/112/117%.
#include "common.cuh"
namespace rmsnorm {

struct Params { void* out; const void* x; const void* w; i64 tokens, width, weightDtype; double eps; };

constexpr int kThreads = 256, kKept = 4;  // threads at most

template <class A> __device__ A block_sum(A x) {
  __shared__ A part[kThreads / 32];
  x = warp_sum(x);
  if (lane_id() == 0) part[warp_id()] = x;
  __syncthreads();
  return warp_sum(lane_id() < blockDim.x / 32 ? part[lane_id()] : A(0));
}

template <class T, class W, int N> __device__ void row(const Params& p, const T* x, T* out) {
  using A = Acc<T>;
  const int threads = blockDim.x;
  Pack<T, N> kept[kKept];
  A squares = 0;
  auto add = [&](const Pack<T, N>& v) {
#pragma unroll
    for (int j = 0; j < N; j++) squares += A(widen(v.v[j])) * A(widen(v.v[j]));
  };
#pragma unroll
  for (int i = 0; i < kKept; i++) {
    const i64 at = (threadIdx.x + i * threads) * i64(N);
    if (at < p.width) kept[i] = Pack<T, N>::load(x + at);
  }
#pragma unroll
  for (int i = 0; i < kKept; i++)
    if ((threadIdx.x + i * threads) * i64(N) < p.width) add(kept[i]);
  for (i64 at = (threadIdx.x + kKept * threads) * i64(N); at < p.width; at += threads * N) add(Pack<T, N>::load(x + at));

  const A factor = 1 / sqrt_of(block_sum(squares) / A(p.width) + A(p.eps));
  auto scale = [&](Pack<T, N>& v, i64 at) {
    A by[N];
    if constexpr (kIsVoid<W>) {
#pragma unroll
      for (int j = 0; j < N; j++) by[j] = load_any<A>(p.w, p.weightDtype, at + j);
    } else {
      const Pack<W, N> w = Pack<W, N>::load(static_cast<const W*>(p.w) + at);
#pragma unroll
      for (int j = 0; j < N; j++) by[j] = widen(w.v[j]);
    }
#pragma unroll
    for (int j = 0; j < N; j++) v.v[j] = narrow<T>(A(widen(v.v[j])) * factor * by[j]);
    v.store(out + at);
  };
#pragma unroll
  for (int i = 0; i < kKept; i++) {
    const i64 at = (threadIdx.x + i * threads) * i64(N);
    if (at < p.width) scale(kept[i], at);
  }
  for (i64 at = (threadIdx.x + kKept * threads) * i64(N); at < p.width; at += threads * N) {
    Pack<T, N> v = Pack<T, N>::load(x + at);
    scale(v, at);
  }
}

template <class T, class W> __device__ void by_alignment(const Params& p) {
  const T* x = static_cast<const T*>(p.x) + i64(blockIdx.x) * p.width;
  T* out = static_cast<T*>(p.out) + i64(blockIdx.x) * p.width;
  if (aligned16(bits_of(p.x) | bits_of(p.out) | bits_of(p.w) | u64(p.width * sizeof(T)))) row<T, W, kPack<T>>(p, x, out);
  else row<T, W, 1>(p, x, out);
}

template <class T> __device__ void rmsnorm(const Params& p) {
  if (p.weightDtype == Traits<T>::code) by_alignment<T, T>(p);
  else by_alignment<T, void>(p);
}

#define KERNEL(name, T)                                                                                     \
  extern "C" __global__ void __launch_bounds__(kThreads) rmsnorm_##name(const __grid_constant__ Params p) { \
    begin();                                                                                                \
    rmsnorm<T>(p);                                                                                          \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace rmsnorm
