// CacheAppend: Keys[positions[t]] = keys[t], Values[positions[t]] = values[t], converted to the cache's dtype. Of two tokens
// at one position the later stays.
//
// Shapes   keys, values (T,W), W = KVHeads·D; positions (T) int32; the cache's Keys and Values (Capacity,W). Any pair of f32,
//          f64, bf16, f16.
// Moves    2·T·W·(size of the rows + size of the cache) bytes; positions are read T times, from cache.
// Grid     T blocks of 128 threads.
// Bound    memory bandwidth; latency for one token.
// Faults   positions[t] outside [0,Capacity): the token is left out.
#include "common.cuh"
namespace cacheappend {

struct Params {
  void *cacheKeys, *cacheValues;
  const void *keys, *values;
  const i32* positions;
  i64 tokens, width, capacity;
  Fault* fault;
};

template <class From, class To, int N> __device__ void copy(To* dst, const From* src, i64 width) {
  for (i64 at = threadIdx.x * N; at < width; at += blockDim.x * N) {
    const Pack<From, N> x = Pack<From, N>::load(src + at);
    Pack<To, N> y;
#pragma unroll
    for (int j = 0; j < N; j++) y.v[j] = narrow<To>(widen(x.v[j]));
    y.store(dst + at);
  }
}

template <class From, class To> __device__ void append(const Params& p) {
  const i64 t = blockIdx.x, position = p.positions[t];
  if (position < 0 || position >= p.capacity) {
    if (threadIdx.x == 0) report(p.fault, kCacheAppend, kBadIndex, t, 0, position, p.capacity);
    return;
  }
  bool later = false;
  for (i64 u = t + 1 + threadIdx.x; u < p.tokens; u += blockDim.x) later |= p.positions[u] == position;
  if (__syncthreads_or(later)) return;
  const bool packs = p.width % 8 == 0 && aligned16(bits_of(p.cacheKeys) | bits_of(p.cacheValues) | bits_of(p.keys) | bits_of(p.values));
  auto row = [&](void* cache, const void* rows) {
    To* dst = static_cast<To*>(cache) + position * p.width;
    const From* src = static_cast<const From*>(rows) + t * p.width;
    if (packs) copy<From, To, 4>(dst, src, p.width);
    else copy<From, To, 1>(dst, src, p.width);
  };
  row(p.cacheKeys, p.keys);
  row(p.cacheValues, p.values);
}

#define KERNEL(from, From, to, To)                                                                                \
  extern "C" __global__ void __launch_bounds__(128) cacheappend_##from##_##to(const __grid_constant__ Params p) { \
    begin();                                                                                                      \
    append<From, To>(p);                                                                                          \
  }
#define KERNELS(to, To) \
  KERNEL(f32, float, to, To) KERNEL(f64, double, to, To) KERNEL(bf16, bf16, to, To) KERNEL(f16, f16, to, To)
FOR_FLOATS(KERNELS)
#undef KERNELS
#undef KERNEL
}  // namespace cacheappend
