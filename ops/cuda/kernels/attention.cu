// Attention: grouped-query attention over a cache. With head h's group g = h/(heads/kvHeads) and p = positions[t]:
//
//   out[t,h] = Σ_j softmax_j(q[t,h]·K[j,g]/√D) · V[j,g],  j from max(0, p−window+1) to p (from 0 if window is 0)
//
// in float32 (float64 where the query is f64). What a row does not see does not change it, not even a NaN.
//
// Shapes   q, out (T, heads·D) of one dtype, the cache's Keys and Values (Capacity, kvHeads·D) of another; any of f32, f64,
//          bf16, f16. positions (T) int32.
// Moves    the keys and values that are seen, and q and out.
// Grid     attention_<dtype>_tiles_<M>, for q and cache both bf16 or both f16, D a multiple of 8 up to M, 64 or 128, pointers
//          aligned to 16 bytes: (⌈T·heads/kvHeads/64⌉, kvHeads, splits) blocks of 128 threads, 512·M bytes of dynamic shared
//          memory. A block has 64 pairs of token and head of one group, and walks over the positions that one of them sees in
//          steps of 64, two steps on the way. Scores and weighted sums run on tensor cores; a weight is the sum of two numbers
//          of 16 bits there, so that it has 16 bits or more of precision. Where a value in a step that not every pair sees is
//          not finite, the block computes its pairs one by one.
//          attention_<dtype>, for all others: (T·heads, splits) blocks of 128 threads, 8·(2·D+128) bytes of dynamic shared
//          memory, one pair each, in steps of 128 positions.
//          With splits > 1 the blocks share out the positions. Each writes maximum, sum and weighted values to the workspace,
//          T·heads·splits·(D+2) numbers of 4 bytes (8 for f64), and attention_<dtype>_join, T·heads blocks of 128 threads with
//          8·splits bytes of dynamic shared memory, adds them up in a fixed order.
// Bound    decoding: memory bandwidth of the cache; many tokens: tensor cores, 6·D operations a position (4·D count).
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: 32 heads of 128, 8 of the cache: one token after 512
//          positions 13 µs, after 4096 21 µs, after 32768 66 µs (2.0 TB/s of cache); 2048 tokens: 266 µs, 129 TFLOP/s.
//          The kernel of pairs alone, one token after 4096 positions: f32 with an f32 cache 60 µs, bf16 with one 130.
// Faults   positions[t] outside [0,Capacity): zeros are written.
#include "tensorcore.cuh"
namespace attention {
using namespace tensorcore;

struct Params {
  void* out; const void* q; const void* keys; const void* values;
  const i32* positions;
  i64 tokens, heads, kvHeads, headDim, capacity, window, cacheDtype, splits;
  void* partial;  // (T·heads, splits, D+2): maximum, sum, weighted values
  Fault* fault;
};

constexpr int kThreads = 128;

extern __shared__ __align__(1024) u8 scratch[];

// Range is the positions [from,to) that a token sees.
struct Range { i64 from, to; };
__device__ Range range_of(const Params& p, i64 t, bool first) {
  const i64 position = p.positions[t];
  if (position < 0 || position >= p.capacity) {
    if (first) report(p.fault, kAttention, kBadIndex, t, 0, position, p.capacity);
    return {0, 0};
  }
  return {p.window > 0 ? max(0ll, position - p.window + 1) : 0, position + 1};
}

// share_of is the part of a range that a split walks over, in whole steps.
__device__ Range share_of(const Params& p, Range r, i64 split, int step) {
  const i64 share = ceil_div(ceil_div(r.to - r.from, step), p.splits) * step, from = r.from + split * share;
  return {from, min(r.to, from + share)};
}

// The pair (t,h) is unit t·heads+h.
template <class T> __device__ T* partial_of(const Params& p, i64 unit, i64 split) {
  return static_cast<T*>(p.partial) + (unit * p.splits + split) * (p.headDim + 2);
}

template <class A> __device__ A block_reduce(A x, bool sum) {
  __shared__ A part[kThreads / 32];
  x = sum ? warp_sum(x) : warp_max(x);
  __syncthreads();
  if (lane_id() == 0) part[warp_id()] = x;
  __syncthreads();
  A y = part[0];
#pragma unroll
  for (int w = 1; w < kThreads / 32; w++) y = sum ? y + part[w] : max(y, part[w]);
  return y;
}

constexpr int kStep = 128;

// score is this thread's part of q times the key that begins at an element of the cache; eight threads share it.
template <class C, class A> __device__ __forceinline__ A score(const C* key, const A* q, int d, bool packs) {
  const int lane = threadIdx.x % 8;
  A dot = 0;
  if (packs) {
    constexpr int N = kPack<C>;
#pragma unroll 2
    for (int i = lane * N; i < d; i += 8 * N) {
      const Pack<C, N> k = Pack<C, N>::load(key + i);
#pragma unroll
      for (int n = 0; n < N; n++) dot += q[i + n] * A(widen(k.v[n]));
    }
  } else {
    for (int i = lane; i < d; i += 8) dot += q[i] * A(widen(key[i]));
  }
  return dot;
}

// weigh is sum plus so many values, stride apart, times their weights.
template <class C, class A>
__device__ __forceinline__ A weigh(const C* values, const A* weights, int count, i64 stride, A sum) {
#pragma unroll 8
  for (int j = 0; j < count; j++) sum += weights[j] * A(widen(values[j * stride]));
  return sum;
}

// with_dtype calls f with a pointer to element i of an array of C; of the dtype if C is void.
template <class C, class F> __device__ __forceinline__ auto with_dtype(const void* p, i64 dtype, i64 i, F f) {
  if constexpr (!kIsVoid<C>) return f(static_cast<const C*>(p) + i);
  switch (dtype) {
    case kF32: return f(static_cast<const float*>(p) + i);
    case kF64: return f(static_cast<const double*>(p) + i);
    case kBF16: return f(static_cast<const bf16*>(p) + i);
    default: return f(static_cast<const f16*>(p) + i);
  }
}

// attend computes one pair over a range of positions. C is the cache's dtype, void for any.
template <class T, class C> __device__ void attend(const Params& p, i64 unit, i64 split, Range r) {
  using A = Acc<T>;
  const i64 h = unit % p.heads;
  const int d = int(p.headDim);
  A *q = reinterpret_cast<A*>(scratch), *sum = q + d, *weights = sum + d;
  const i64 stride = p.kvHeads * p.headDim, column = h / (p.heads / p.kvHeads) * d;

  __syncthreads();
  for (int i = threadIdx.x; i < d; i += kThreads) q[i] = widen(static_cast<const T*>(p.q)[unit * d + i]), sum[i] = 0;
  const A inf = A(__int_as_float(0x7f800000)), root = sqrt_of(A(d));
  A most = -inf, total = 0;
  const bool packs = d % 8 == 0 && aligned16(bits_of(p.keys));
  for (i64 base = r.from; base < r.to; base += kStep) {
    const int count = int(min(i64(kStep), r.to - base));
    __syncthreads();
    // Scores: a quarter of a warp a key.
    for (int j = threadIdx.x / 8; j < kStep; j += kThreads / 8) {
      A dot = 0;
      if (j < count)
        dot = with_dtype<C>(p.keys, p.cacheDtype, (base + j) * stride + column,
                            [&](auto key) { return score(key, q, d, packs); });
#pragma unroll
      for (int s = 4; s > 0; s /= 2) dot += __shfl_xor_sync(~0u, dot, s);
      if (threadIdx.x % 8 == 0) weights[j] = j < count ? dot / root : -inf;
    }
    __syncthreads();
    const A mine = weights[threadIdx.x];
    const A now = max(most, block_reduce(mine, false));
    const A weight = threadIdx.x < count ? exp_of(mine - now) : A(0);
    weights[threadIdx.x] = weight;
    const A shrink = most == -inf ? A(0) : exp_of(most - now);
    total = total * shrink + block_reduce(weight, true);
    most = now;
    for (int i = threadIdx.x; i < d; i += kThreads) {
      const A old = sum[i] * shrink;
      sum[i] = with_dtype<C>(p.values, p.cacheDtype, base * stride + column + i,
                          [&](auto values) { return weigh(values, weights, count, stride, old); });
    }
  }
  if (p.splits == 1) {
    T* out = static_cast<T*>(p.out) + unit * d;
    for (int i = threadIdx.x; i < d; i += kThreads) out[i] = narrow<T>(total != 0 ? sum[i] / total : A(0));
    return;
  }
  A* partial = partial_of<A>(p, unit, split);
  if (threadIdx.x == 0) partial[0] = most, partial[1] = total;
  for (int i = threadIdx.x; i < d; i += kThreads) partial[2 + i] = sum[i];
}

// by_pairs is a block of attention_<dtype>.
template <class T> __device__ void by_pairs(const Params& p) {
  const i64 unit = blockIdx.x, split = blockIdx.y;
  const Range r = share_of(p, range_of(p, unit / p.heads, threadIdx.x == 0), split, kStep);
  if (p.cacheDtype == Traits<T>::code) attend<T, T>(p, unit, split, r);
  else attend<T, void>(p, unit, split, r);
}

template <class T> __device__ void join(const Params& p) {
  using A = Acc<T>;
  const i64 unit = blockIdx.x;
  const int d = int(p.headDim), splits = int(p.splits);
  A* weights = reinterpret_cast<A*>(scratch);
  A most = -A(__int_as_float(0x7f800000)), total = 0;
  for (int s = threadIdx.x; s < splits; s += kThreads) most = max(most, partial_of<A>(p, unit, s)[0]);
  most = block_reduce(most, false);
  for (int s = threadIdx.x; s < splits; s += kThreads) {
    const A* part = partial_of<A>(p, unit, s);
    weights[s] = part[1] != 0 ? exp_of(part[0] - most) : A(0);
    total += part[1] * weights[s];
  }
  total = block_reduce(total, true);  // a barrier for weights, too
  for (int i = threadIdx.x; i < d; i += kThreads) {
    A sum = 0;
#pragma unroll 8
    for (int s = 0; s < splits; s++) {
      const A x = partial_of<A>(p, unit, s)[2 + i];
      if (weights[s] != 0) sum += x * weights[s];
    }
    static_cast<T*>(p.out)[unit * d + i] = narrow<T>(total != 0 ? sum / total : A(0));
  }
}

__device__ __forceinline__ float exp2_of(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Tiles is attention on tensor cores for D ≤ kD. Warp w has the pairs 16w … 16w+15 of the block; a thread has parts of the rows
// lane/4 and lane/4+8 of them.
template <class T, int kD> struct Tiles {
  static constexpr int kKeys = 64, kPitch = kD * 2, kTile = kKeys * kPitch, kCopies = kKeys * kD / 8 / kThreads;
  static constexpr int KT = kKeys / 8, DT = kD / 8;

  const Params& p;
  i64 group, stride;
  Range all;             // what the block walks over
  i64 unit[2];           // of the thread's two pairs, −1 if there is none
  Range seen[2];
  i64 lastFrom, firstTo;  // in [lastFrom,firstTo) all pairs see everything

  __device__ explicit Tiles(const Params& p) : p(p) {
    group = blockIdx.y, stride = p.kvHeads * p.headDim;
    const i64 perGroup = p.heads / p.kvHeads;
    __shared__ i64 bounds[4];
    const i64 none = 0x7fffffffffffffffll;
    if (threadIdx.x == 0) bounds[0] = bounds[3] = none, bounds[1] = bounds[2] = 0;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const i64 pair = i64(blockIdx.x) * 64 + warp_id() * 16 + i * 8 + lane_id() / 4, t = pair / perGroup;
      unit[i] = -1, seen[i] = {0, 0};
      if (t < p.tokens) {
        unit[i] = t * p.heads + group * perGroup + (pair - t * perGroup);
        seen[i] = range_of(p, t, lane_id() % 4 == 0);
      }
      if (seen[i].to > 0 && lane_id() % 4 == 0) {
        atomicMin(&bounds[0], seen[i].from), atomicMax(&bounds[1], seen[i].to);
        atomicMax(&bounds[2], seen[i].from), atomicMin(&bounds[3], seen[i].to);
      }
    }
    __syncthreads();
    lastFrom = bounds[2], firstTo = bounds[3];
    all = share_of(p, {bounds[1] == 0 ? 0 : bounds[0], bounds[1]}, blockIdx.z, kKeys);
  }

  // fetch starts to copy the keys and values of a step into a slot.
  __device__ void fetch(i64 base, int slot) const {
    const u32 to = shared_address(scratch) + slot * 2 * kTile;
#pragma unroll
    for (int i = 0; i < kCopies; i++) {
      const int n = threadIdx.x + i * kThreads, key = n / (kD / 8), chunk = n % (kD / 8);
      const bool exists = base + key < all.to && chunk * 8 < p.headDim;
      const i64 at = exists ? (base + key) * stride + group * p.headDim + chunk * 8 : 0;
      const u32 dst = to + key * kPitch + ((chunk ^ (key & 7)) << 4);
      copy_async(dst, static_cast<const T*>(p.keys) + at, exists ? 16 : 0);
      copy_async(dst + kTile, static_cast<const T*>(p.values) + at, exists ? 16 : 0);
    }
    commit();
  }

  __device__ bool finite(int slot) const {
    constexpr u32 kExponent = Traits<T>::code == kBF16 ? 0x7f80 : 0x7c00;
    const uint4* values = reinterpret_cast<const uint4*>(scratch + slot * 2 * kTile + kTile);
    bool bad = false;
    auto check = [&](u32 x) { bad |= (x & kExponent) == kExponent || (x >> 16 & kExponent) == kExponent; };
#pragma unroll
    for (int i = threadIdx.x; i < kTile / 16; i += kThreads) check(values[i].x), check(values[i].y), check(values[i].z), check(values[i].w);
    return !__syncthreads_or(bad);
  }

  // run gives false if the block must compute its pairs one by one.
  __device__ bool run() {
    u32 q[kD / 16][4];
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int c = 0; c < kD / 8; c++) {
        const int column = c * 8 + lane_id() % 4 * 2;
        const bool exists = unit[i] >= 0 && column < p.headDim;
        const T* from = static_cast<const T*>(p.q) + unit[i] * p.headDim + column;
        q[c / 2][c % 2 * 2 + i] = exists ? *reinterpret_cast<const u32*>(from) : 0;
      }
    const float inf = __int_as_float(0x7f800000), log2e = 1.4426950408889634f;
    const float factor = log2e / sqrtf(float(p.headDim));  // scores are powers of two
    float sum[DT][4] = {}, most[2] = {-inf, -inf}, total[2] = {0, 0};
    const int lane = lane_id();
    const u32 base32 = shared_address(scratch);
    const u32 rowK = base32 + ((lane & 7) + lane / 16 * 8) * kPitch, rowV = base32 + kTile + lane % 16 * kPitch;

    int slot = 0;
    if (all.from < all.to) fetch(all.from, 0);
    for (i64 base = all.from; base < all.to; base += kKeys, slot ^= 1) {
      wait<0>();
      __syncthreads();
      const bool masked = base < lastFrom || base + kKeys > firstTo;
      if (masked && !finite(slot)) return false;
      if (base + kKeys < all.to) fetch(base + kKeys, slot ^ 1);

      float score[KT][4] = {};
#pragma unroll
      for (int c = 0; c < kD / 16; c++)
#pragma unroll
        for (int j = 0; j < KT / 2; j++) {
          u32 k[4];
          load_matrices(k, rowK + slot * 2 * kTile + j * 16 * kPitch + (((c * 2 + (lane >> 3 & 1)) ^ (lane & 7)) << 4));
          multiply<T>(score[2 * j], q[c], k[0], k[1]);
          multiply<T>(score[2 * j + 1], q[c], k[2], k[3]);
        }
      float now[2] = {most[0], most[1]};
#pragma unroll
      for (int j = 0; j < KT; j++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float& s = score[j][i];
          s *= factor;
          if (masked) {
            const i64 key = base + j * 8 + lane % 4 * 2 + (i & 1);
            if (key < seen[i / 2].from || key >= seen[i / 2].to) s = -inf;
          }
          now[i / 2] = fmaxf(now[i / 2], s);
        }
      float shift[2];
#pragma unroll
      for (int i = 0; i < 2; i++) {
        now[i] = fmaxf(now[i], __shfl_xor_sync(~0u, now[i], 1));
        now[i] = fmaxf(now[i], __shfl_xor_sync(~0u, now[i], 2));
        const float shrink = most[i] == -inf ? 0.0f : exp2_of(most[i] - now[i]);
        shift[i] = now[i] == -inf ? 0.0f : now[i];  // a row that has seen nothing yet
        most[i] = now[i];
        total[i] *= shrink;
#pragma unroll
        for (int j = 0; j < DT; j++) sum[j][2 * i] *= shrink, sum[j][2 * i + 1] *= shrink;
      }
#pragma unroll
      for (int c = 0; c < kKeys / 16; c++) {
        u32 high[4], low[4];
#pragma unroll
        for (int n = 0; n < 4; n++) {
          float* s = &score[2 * c + n / 2][n % 2 * 2];
          const float w0 = exp2_of(s[0] - shift[n % 2]), w1 = exp2_of(s[1] - shift[n % 2]);
          total[n % 2] += w0 + w1;
          high[n] = pair_of(w0, w1);
          low[n] = pair_of(w0 - low_half(high[n]), w1 - high_half(high[n]));
        }
#pragma unroll
        for (int j = 0; j < DT / 2; j++) {
          u32 v[4];
          load_transposed(v, rowV + slot * 2 * kTile + c * 16 * kPitch + (((j * 2 + lane / 16) ^ (lane & 7)) << 4));
          multiply<T>(sum[2 * j], high, v[0], v[1]);
          multiply<T>(sum[2 * j + 1], high, v[2], v[3]);
          multiply<T>(sum[2 * j], low, v[0], v[1]);
          multiply<T>(sum[2 * j + 1], low, v[2], v[3]);
        }
      }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) store(i, most[i], total[i], sum);
    return true;
  }

  __device__ static u32 pair_of(float a, float b) { return ::pair<T>(a, b); }
  __device__ static float low_half(u32 x) { return widen(T{u16(x)}); }
  __device__ static float high_half(u32 x) { return widen(T{u16(x >> 16)}); }

  __device__ void store(int i, float most, float total, const float (&sum)[DT][4]) const {
    total += __shfl_xor_sync(~0u, total, 1);
    total += __shfl_xor_sync(~0u, total, 2);
    if (unit[i] < 0) return;
    if (seen[i].to == 0) most = -__int_as_float(0x7f800000), total = 0;  // no position to look from
    float* partial = p.splits > 1 ? partial_of<float>(p, unit[i], blockIdx.z) : nullptr;
    if (partial != nullptr && lane_id() % 4 == 0) partial[0] = most * 0.6931471805599453f, partial[1] = total;
#pragma unroll
    for (int j = 0; j < DT; j++) {
      const int column = j * 8 + lane_id() % 4 * 2;
      if (column >= p.headDim) break;
      const float a = sum[j][2 * i], b = sum[j][2 * i + 1];
      if (partial != nullptr) partial[2 + column] = a, partial[3 + column] = b;  // join leaves them out if total is 0
      else
        *reinterpret_cast<u32*>(static_cast<T*>(p.out) + unit[i] * p.headDim + column) =
            total != 0 ? ::pair<T>(a / total, b / total) : 0;
    }
  }
};

// one_by_one computes the pairs of a block of tiles over its positions, where values are not finite. It is rarely called, and not
// inlined it takes a third less time to compile the kernels.
template <class T> __device__ __noinline__ void one_by_one(const Params& p, Range all) {
  wait<0>();
  const i64 perGroup = p.heads / p.kvHeads;
  for (i64 n = i64(blockIdx.x) * 64; n < min((i64(blockIdx.x) + 1) * 64, p.tokens * perGroup); n++) {
    const i64 t = n / perGroup;
    const Range r = range_of(p, t, false);
    attend<T, T>(p, t * p.heads + blockIdx.y * perGroup + n % perGroup, blockIdx.z, {max(r.from, all.from), min(r.to, all.to)});
  }
}

template <class T, int kD> __device__ void by_tiles(const Params& p) {
  Tiles<T, kD> tiles(p);
  if (!tiles.run()) one_by_one<T>(p, tiles.all);
}

#define KERNEL(name, T)                                                                                              \
  extern "C" __global__ void __launch_bounds__(kThreads) attention_##name(const __grid_constant__ Params p) {        \
    begin();                                                                                                         \
    by_pairs<T>(p);                                                                                                  \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(kThreads) attention_##name##_join(const __grid_constant__ Params p) { \
    begin();                                                                                                         \
    join<T>(p);                                                                                                      \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
#define KERNEL(name, T, D)                                                                                                  \
  extern "C" __global__ void __launch_bounds__(kThreads) attention_##name##_tiles_##D(const __grid_constant__ Params p) { \
    begin();                                                                                                              \
    by_tiles<T, D>(p);                                                                                                    \
  }
#define KERNELS(name, T) KERNEL(name, T, 64) KERNEL(name, T, 128)
KERNELS(bf16, bf16)
KERNELS(f16, f16)
#undef KERNELS
#undef KERNEL
}  // namespace attention
