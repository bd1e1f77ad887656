// SwiGLU: out[r,j] = silu(x[r,j]) · x[r,F+j], silu(v) = v/(1+e^−v), in float32 (float64 for f64), rounded once.
//
// Shapes   x (R,2F) → out (R,F) of one dtype f32, f64, bf16, f16.
// Moves    3·R·F·size bytes.
// Grid     ⌈R·⌈F·size/1024⌉/8⌉ blocks of 256 threads; a warp has a chunk of a row, two packs of 16 bytes of each half a
//          thread. Single numbers where F·size is no multiple of 16.
// Bound    memory bandwidth; about 25 instructions an element stay below it.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: R = 8192, F = 14336: 233 µs, 125%; R = 32768, F = 768: 54 to
//          61 µs, 103 to 115%.
#include "common.cuh"
namespace swiglu {

struct Params { void* out; const void* x; i64 rows, width; };

constexpr int kWarps = 8, kUnroll = 2;

// The exponent is never positive, so that nothing overflows; the quotient of an infinite v is as in the formula.
template <class A> __device__ __forceinline__ A silu(A v) {
  const A e = exp_of(v < 0 ? v : -v);
  return v < 0 ? v * (e / (1 + e)) : v / (1 + e);
}
// For results of 16 bits: the approximate exponential and quotient are good for 22 bits.
__device__ __forceinline__ float silu_fast(float v) {
  const float e = __expf(v < 0 ? v : -v);
  return v * __fdividef(v < 0 ? e : 1.0f, 1 + e);
}
template <class T> __device__ __forceinline__ T product(T gate, T up) {
  if constexpr (sizeof(T) == 2) return narrow<T>(silu_fast(widen(gate)) * widen(up));
  else return silu(gate) * up;
}

template <class T, int N> __device__ void run(T* out, const T* gate, const T* up, i64 from, i64 to) {
  for (i64 at = from + lane_id() * N; at < to; at += 32 * N * kUnroll) {
    Pack<T, N> g[kUnroll], u[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; i++)
      if (at + i * 32 * N < to) g[i] = Pack<T, N>::load(gate + at + i * 32 * N), u[i] = Pack<T, N>::load(up + at + i * 32 * N);
#pragma unroll
    for (int i = 0; i < kUnroll; i++) {
      if (at + i * 32 * N >= to) break;
#pragma unroll
      for (int j = 0; j < N; j++) g[i].v[j] = product(g[i].v[j], u[i].v[j]);
      g[i].store(out + at + i * 32 * N);
    }
  }
}

template <class T> __device__ void swiglu(const Params& p) {
  constexpr i64 chunk = 32 * kPack<T> * kUnroll;
  const i64 chunks = ceil_div(p.width, chunk), unit = i64(blockIdx.x) * kWarps + warp_id();
  if (unit >= p.rows * chunks) return;
  const Unit at = split_unit(unit, chunks);
  const i64 from = at.chunk * chunk, to = min(from + chunk, p.width);
  const T* gate = static_cast<const T*>(p.x) + at.row * 2 * p.width;
  T* out = static_cast<T*>(p.out) + at.row * p.width;
  if (aligned16(bits_of(p.x) | bits_of(p.out) | u64(p.width * sizeof(T)))) run<T, kPack<T>>(out, gate, gate + p.width, from, to);
  else run<T, 1>(out, gate, gate + p.width, from, to);
}

#define KERNEL(name, T)                                                                                       \
  extern "C" __global__ void __launch_bounds__(32 * kWarps) swiglu_##name(const __grid_constant__ Params p) { \
    begin();                                                                                                  \
    swiglu<T>(p);                                                                                             \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace swiglu
