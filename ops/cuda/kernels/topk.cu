// TopK: ids[t,·] are the experts of the K largest logits of token t, largest first; of equal logits the lower id, −0 equal to
// +0, NaN after every number.
//
// Shapes   logits (T,E) f32, f64, bf16, f16 → ids (T,K) int32, K ≤ E.
// Moves    T·(E·size + 4·K) bytes.
// Grid     ⌈T/8⌉ blocks of 256 threads, a warp a token. Up to 512 experts a thread keeps its logits in registers as integers
//          in the order of the logits, and each of K rounds takes a maximum over the warp: for logits of 16 bits one of logit
//          and id together, for f32 one of the logits and among its holders the lowest id. For more experts, and for f64,
//          each round reads the logits again and skips what is not after the last choice.
// Bound    latency of the rounds for small T, else memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: T = 1: 2.0 µs; T = 128, E = 256, K = 8: 2.1; T = 16384, K =
//          8: 6.9 at E = 128, 9.9 at E = 256: the rounds' chain of dependent instructions, not the memory.
#include "common.cuh"
namespace topk {

struct Params { i32* ids; const void* logits; i64 tokens, experts, slots; };

// A key orders logits as unsigned integers: 1 for NaN, 0 for what has been taken.
__device__ __forceinline__ u32 key_of(float x) {
  const u32 b = __float_as_uint(x + 0.0f);  // −0 becomes +0
  return x != x ? 1u : b ^ (u32(i32(b) >> 31) | 0x80000000u);
}
__device__ __forceinline__ u64 key_of(double x) {
  const u64 b = u64(__double_as_longlong(x + 0.0));
  return x != x ? 1ull : b ^ (u64(i64(b) >> 63) | 0x8000000000000000ull);
}

// write_round keeps the choice of round k in lane k%32 and writes 32 of them at once.
__device__ __forceinline__ void write_round(int slots, i32* ids, int k, i32 id, i32& mine) {
  if ((k & 31) == lane_id()) mine = id;
  if ((k & 31) == 31 || k == slots - 1) {
    if ((k & ~31) + lane_id() <= k) ids[(k & ~31) + lane_id()] = mine;
  }
}

// For 16 bits. A key of 26 bits is logit and id, so that no two are the same. The largest below the last choice is the largest
// difference to it modulo 2³²: what is below it wraps around. A thread has V experts side by side.
template <class T, int V> __device__ void narrow_keys(const Params& p, const T* logits, i32* ids) {
  constexpr u32 kInfinity = Traits<T>::code == kBF16 ? 0x7f80 : 0x7c00;
  const int experts = int(p.experts), slots = int(p.slots), first = lane_id() * V;
  Pack<T, V> x;
  if (V > 1 && V <= 8 && experts % V == 0 && bits_of(p.logits) % (2 * V) == 0) {
    if (first < experts) x = Pack<T, V>::load(logits + first);
  } else {
#pragma unroll
    for (int j = 0; j < V; j++)
      if (first + j < experts) x.v[j] = logits[first + j];
  }
  u32 key[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    const u32 b = x.v[j].bits, magnitude = b & 0x7fff;
    // −magnitude for negative logits, so that −0 equals +0; then from 1 on, 0 for NaN.
    const i32 order = i16(b) < 0 ? -i32(magnitude) : i32(magnitude);
    key[j] = (magnitude > kInfinity ? 0 : u32(order + 0x8000)) << 10 | u32(1023 - first - j);
    if (first + j >= experts) key[j] = 0;
  }
  u32 last = 1u << 26;
  i32 mine = 0;
  for (int k = 0; k < slots; k++) {
    u32 best = key[0] - last;
#pragma unroll
    for (int j = 1; j < V; j++) best = max(best, key[j] - last);
    last += __reduce_max_sync(~0u, best);
    write_round(slots, ids, k, 1023 - i32(last & 1023), mine);
  }
}

template <class T, int V> __device__ void wide_keys(const Params& p, const T* logits, i32* ids) {
  u32 key[V];
#pragma unroll
  for (int j = 0; j < V; j++) {
    const int e = lane_id() + 32 * j;
    key[j] = e < p.experts ? key_of(widen(logits[e])) : 0;
  }
  i32 mine = 0;
  for (int k = 0; k < p.slots; k++) {
    u32 best = key[0];
    int at = 0;
#pragma unroll
    for (int j = 1; j < V; j++)
      if (key[j] > best) best = key[j], at = j;
    const u32 top = __reduce_max_sync(~0u, best);
    const u32 id = __reduce_min_sync(~0u, best == top ? u32(lane_id() + 32 * at) : ~0u);
    if ((id & 31) == lane_id()) {
#pragma unroll
      for (int j = 0; j < V; j++)
        if (j == at) key[j] = 0;
    }
    write_round(int(p.slots), ids, k, i32(id), mine);
  }
}

template <class T, int V> __device__ void in_registers(const Params& p, const T* logits, i32* ids) {
  if constexpr (sizeof(T) == 2) narrow_keys<T, V>(p, logits, ids);
  else wide_keys<T, V>(p, logits, ids);
}

template <class T> __device__ void by_rounds(const Params& p, const T* logits, i32* ids) {
  u64 lastKey = ~0ull;
  i64 lastId = -1;
  for (i64 k = 0; k < p.slots; k++) {
    u64 best = 0;
    i64 at = 0x7fffffffffffffffll;
    for (i64 e = lane_id(); e < p.experts; e += 32) {
      const u64 key = key_of(widen(logits[e]));
      const bool after = key < lastKey || (key == lastKey && e > lastId);
      if (after && key > best) best = key, at = e;
    }
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
      const u64 key = __shfl_xor_sync(~0u, best, d);
      const i64 id = __shfl_xor_sync(~0u, at, d);
      if (key > best || (key == best && id < at)) best = key, at = id;
    }
    if (lane_id() == 0) ids[k] = i32(at);
    lastKey = best, lastId = at;
  }
}

template <class T> __device__ void token(const Params& p, i64 t) {
  const T* logits = static_cast<const T*>(p.logits) + t * p.experts;
  i32* ids = p.ids + t * p.slots;
  if constexpr (sizeof(T) < 8) {
    if (p.experts <= 32) return in_registers<T, 1>(p, logits, ids);
    if (p.experts <= 128) return in_registers<T, 4>(p, logits, ids);
    if (p.experts <= 256) return in_registers<T, 8>(p, logits, ids);
    if (p.experts <= 512) return in_registers<T, 16>(p, logits, ids);
  }
  by_rounds<T>(p, logits, ids);
}

template <class T> __device__ void topk(const Params& p) {
  const i64 t = i64(blockIdx.x) * 8 + warp_id();
  if (t < p.tokens) token<T>(p, t);
}

#define KERNEL(name, T)                                                                                \
  extern "C" __global__ void __launch_bounds__(256, 6) topk_##name(const __grid_constant__ Params p) { \
    begin();                                                                                           \
    topk<T>(p);                                                                                        \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace topk
