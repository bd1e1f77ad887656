// Embedding: out[t] = table[ids[t]], converted to out's dtype (from f64 to 16 bits through float32).
//
// Shapes   table (V,H), ids (T) int32 → out (T,H); any pair of f32, f64, bf16, f16.
// Moves    T·H·(size of table's dtype + size of out's) bytes.
// Grid     ⌈T·⌈H/512⌉/4⌉ blocks of 128 threads; a warp has 512 numbers of a token. Packs of four numbers where both rows and
//          pointers allow it.
// Bound    memory bandwidth.
// Faults   ids[t] outside [0,V): the row is zero.
#include "common.cuh"
namespace embedding {

struct Params { void* out; const void* table; const i32* ids; i64 tokens, rows, width; Fault* fault; };

constexpr i64 kChunk = 512;

template <class From, class To, int N> __device__ void copy(To* out, const From* row, i64 from, i64 to, bool found) {
#pragma unroll 4
  for (i64 at = from + lane_id() * N; at < to; at += 32 * N) {
    Pack<To, N> y;
    if (found) {
      const Pack<From, N> x = Pack<From, N>::load(row + at);
#pragma unroll
      for (int j = 0; j < N; j++) y.v[j] = narrow<To>(widen(x.v[j]));
    } else {
#pragma unroll
      for (int j = 0; j < N; j++) y.v[j] = narrow<To>(0.0f);
    }
    y.store(out + at);
  }
}

template <class From, class To> __device__ void embedding(const Params& p) {
  const i64 chunks = ceil_div(p.width, kChunk), unit = i64(blockIdx.x) * 4 + warp_id();
  if (unit >= p.tokens * chunks) return;
  const Unit at = split_unit(unit, chunks);
  const i64 from = at.chunk * kChunk, to = min(from + kChunk, p.width);
  const i64 id = p.ids[at.row];
  const bool found = id >= 0 && id < p.rows;
  if (!found && at.chunk == 0 && lane_id() == 0) report(p.fault, kEmbedding, kBadIndex, at.row, 0, id, p.rows);
  const From* row = static_cast<const From*>(p.table) + (found ? id * p.width : 0);
  To* out = static_cast<To*>(p.out) + at.row * p.width;
  if (aligned16(bits_of(p.table) | bits_of(p.out)) && p.width % 8 == 0) copy<From, To, 4>(out, row, from, to, found);
  else copy<From, To, 1>(out, row, from, to, found);
}

#define KERNEL(from, From, to, To)                                                                              \
  extern "C" __global__ void __launch_bounds__(128) embedding_##from##_##to(const __grid_constant__ Params p) { \
    begin();                                                                                                    \
    embedding<From, To>(p);                                                                                     \
  }
#define KERNELS(to, To) \
  KERNEL(f32, float, to, To) KERNEL(f64, double, to, To) KERNEL(bf16, bf16, to, To) KERNEL(f16, f16, to, To)
FOR_FLOATS(KERNELS)
#undef KERNELS
#undef KERNEL
}  // namespace embedding
