// Gates: a softmax of the logits at the chosen experts, by mode.
//
//   0  exp(l_k − m) / Σ_j exp(l_j − m), j over the chosen slots and m their maximum
//   1  the same with j over all E experts and m the maximum of all
//   2  as 0, but NaN where one of all E logits is NaN or +Inf
//
// A slot of id −1 has gate 0 and is none of the chosen. In float32, float64 for f64 logits.
//
// Shapes   logits (T,E) f32, f64, bf16, f16, ids (T,K) int32 → gates (T,K) f32.
// Moves    T·K·(size + 8) bytes, with T·E·size more for modes 1 and 2.
// Grid     mode 0 with K ≤ 8: ⌈T/16⌉ blocks of 128 threads, 8 threads a token. Else ⌈T/4⌉ blocks of 128 threads, a warp a token.
// Bound    latency for small T, else memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: mode 0, K = 8: 1.7 µs at T = 128, E = 256; 3.9 at T = 16384.
// Faults   ids[t,k] outside [−1,E): its gate is 0.
#include "common.cuh"
namespace gates {

struct Params { float* gates; const void* logits; const i32* ids; i64 tokens, experts, slots, mode; Fault* fault; };

// few_slots is mode 0 for K ≤ 8.
template <class T> __device__ void few_slots(const Params& p) {
  using A = Acc<T>;
  const i64 t = i64(blockIdx.x) * 16 + threadIdx.x / 8, k = threadIdx.x % 8, at = t * p.slots + k;
  const bool exists = t < p.tokens && k < p.slots;
  i32 id = exists ? p.ids[at] : -1;
  if (id < -1 || id >= p.experts) {
    report(p.fault, kGates, kBadExpert, t, k, id, p.experts);
    id = -1;
  }
  const A inf = A(__int_as_float(0x7f800000));
  const A l = id >= 0 ? A(widen(static_cast<const T*>(p.logits)[t * p.experts + id])) : -inf;
  A m = l;
#pragma unroll
  for (int d = 4; d > 0; d /= 2) m = max(m, __shfl_xor_sync(~0u, m, d));
  const A e = id >= 0 ? exp_of(l - m) : A(0);
  A sum = e;
#pragma unroll
  for (int d = 4; d > 0; d /= 2) sum += __shfl_xor_sync(~0u, sum, d);
  if (exists) p.gates[at] = id >= 0 ? float(e / sum) : 0.0f;
}

template <class T> __device__ void any_slots(const Params& p) {
  using A = Acc<T>;
  const i64 t = i64(blockIdx.x) * 4 + warp_id();
  if (t >= p.tokens) return;
  const T* logits = static_cast<const T*>(p.logits) + t * p.experts;
  const i32* ids = p.ids + t * p.slots;
  const A inf = A(__int_as_float(0x7f800000)), nan = A(__int_as_float(0x7fc00000));

  auto id_at = [&](i64 k) -> i32 {
    const i32 id = ids[k];
    if (id >= -1 && id < p.experts) return id;
    report(p.fault, kGates, kBadExpert, t, k, id, p.experts);
    return -1;
  };
  // A NaN gets past the maximum, and shows in the sum.
  A m = -inf, all = -inf;
  bool isNaN = false;
  if (p.mode != 1)
    for (i64 k = lane_id(); k < p.slots; k += 32) {
      const i32 id = id_at(k);
      if (id >= 0) m = max(m, A(widen(logits[id])));
    }
  if (p.mode != 0) {
    for (i64 e = lane_id(); e < p.experts; e += 32) {
      const A l = widen(logits[e]);
      isNaN |= l != l;
      all = max(all, l);
    }
    all = warp_max(all);
  }
  m = p.mode == 1 ? all : warp_max(m);
  if (p.mode == 2 && (__any_sync(~0u, isNaN) || all == inf)) m = nan;

  A sum = 0;
  if (p.mode == 1) {
    for (i64 e = lane_id(); e < p.experts; e += 32) sum += exp_of(A(widen(logits[e])) - m);
  } else {
    for (i64 k = lane_id(); k < p.slots; k += 32) {
      const i32 id = ids[k];
      if (id >= 0 && id < p.experts) sum += exp_of(A(widen(logits[id])) - m);
    }
  }
  sum = warp_sum(sum);
  for (i64 k = lane_id(); k < p.slots; k += 32) {
    const i32 id = p.mode == 1 ? id_at(k) : ids[k];
    p.gates[t * p.slots + k] = id >= 0 && id < p.experts ? float(exp_of(A(widen(logits[id])) - m) / sum) : 0.0f;
  }
}

#define KERNEL(name, T)                                                                              \
  extern "C" __global__ void __launch_bounds__(128) gates_##name(const __grid_constant__ Params p) { \
    begin();                                                                                         \
    if (p.mode == 0 && p.slots <= 8) few_slots<T>(p);                                                \
    else any_slots<T>(p);                                                                            \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace gates
