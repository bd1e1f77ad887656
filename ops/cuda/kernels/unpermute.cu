// Unpermute: y[t] = Σ_k gates[t,k] · rows[SlotRow[t,k]], k ascending, in float32 (float64 for f64). A slot of row −1 adds
// nothing, whatever its gate is.
//
// Shapes   rows (R,H), y (T,H) of one dtype f32, f64, bf16, f16; gates (T,K) f32; SlotRow (T,K) int32.
// Moves    (rows here + T)·H·size bytes.
// Grid     ⌈T·⌈H·size/1024⌉/4⌉ blocks of 128 threads; a warp has a chunk of a token, two packs of 16 bytes a thread, and
//          reads two slots at once. Single numbers where H·size is no multiple of 16.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: shapes as permute.cu: T = 1: 1.7/2.6/1.7 µs; T = 4096:
//          38.4/57.4/50.4 µs, 109/109/97%; T = 16384: 117/117/106%.
// Faults   SlotRow[t,k] outside [−1,R): the slot adds nothing.
#include "common.cuh"
namespace unpermute {

struct Params {
  void* y; const void* rows; const float* gates; const i32* slotRow;
  i64 tokens, slots, rowCount, width;
  Fault* fault;
};

constexpr int kWarps = 4, kUnroll = 2, kAtOnce = 2;

template <class T, int N, int S>
__device__ __forceinline__ void add_slots(Acc<T> (&sum)[kUnroll][N], const T* const (&row)[S], const Acc<T> (&gate)[S], i64 at, i64 to) {
  Pack<T, N> x[S][kUnroll];
#pragma unroll
  for (int s = 0; s < S; s++)
#pragma unroll
    for (int u = 0; u < kUnroll; u++)
      if (at + u * 32 * N < to) x[s][u] = Pack<T, N>::load(row[s] + at + u * 32 * N);
#pragma unroll
  for (int s = 0; s < S; s++)
#pragma unroll
    for (int u = 0; u < kUnroll; u++)
#pragma unroll
      for (int j = 0; j < N; j++) sum[u][j] += gate[s] * Acc<T>(widen(x[s][u].v[j]));
}

template <class T, int N> __device__ void token(const Params& p, i64 t, i64 from, i64 to) {
  const T* rows = static_cast<const T*>(p.rows);
  T* y = static_cast<T*>(p.y) + t * p.width;
  for (i64 base = from; base < to; base += 32 * N * kUnroll) {
    const i64 at = base + lane_id() * N;
    Acc<T> sum[kUnroll][N] = {};
    for (i64 k = 0; k < p.slots; k += 32) {
      i32 mine = -1;
      float weight = 0;
      if (k + lane_id() < p.slots) {
        mine = p.slotRow[t * p.slots + k + lane_id()];
        weight = p.gates[t * p.slots + k + lane_id()];
        if (mine < -1 || mine >= p.rowCount) {
          report(p.fault, kUnpermute, kBadTable, t * p.slots + k + lane_id(), 0, mine, p.rowCount);
          mine = -1;
        }
      }
      u32 here = __ballot_sync(~0u, mine >= 0);
      auto next = [&](const T*& row, Acc<T>& gate) {
        const int l = __ffs(here) - 1;
        here &= here - 1;
        row = rows + i64(__shfl_sync(~0u, mine, l)) * p.width;
        gate = __shfl_sync(~0u, weight, l);
      };
      while (__popc(here) >= kAtOnce) {
        const T* row[kAtOnce];
        Acc<T> gate[kAtOnce];
#pragma unroll
        for (int s = 0; s < kAtOnce; s++) next(row[s], gate[s]);
        add_slots<T, N, kAtOnce>(sum, row, gate, at, to);
      }
      while (here != 0) {
        const T* row[1];
        Acc<T> gate[1];
        next(row[0], gate[0]);
        add_slots<T, N, 1>(sum, row, gate, at, to);
      }
    }
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      if (at + u * 32 * N >= to) break;
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; j++) out.v[j] = narrow<T>(sum[u][j]);
      out.store(y + at + u * 32 * N);
    }
  }
}

template <class T> __device__ void unpermute(const Params& p) {
  constexpr i64 chunk = 32 * kPack<T> * kUnroll;
  const i64 chunks = ceil_div(p.width, chunk), unit = i64(blockIdx.x) * kWarps + warp_id();
  if (unit >= p.tokens * chunks) return;
  const Unit at = split_unit(unit, chunks);
  const i64 from = at.chunk * chunk, to = min(from + chunk, p.width);
  if (aligned16(bits_of(p.y) | bits_of(p.rows) | u64(p.width * sizeof(T)))) token<T, kPack<T>>(p, at.row, from, to);
  else token<T, 1>(p, at.row, from, to);
}

#define KERNEL(name, T)                                                                                             \
  extern "C" __global__ void __launch_bounds__(32 * kWarps, 7) unpermute_##name(const __grid_constant__ Params p) { \
    begin();                                                                                                        \
    unpermute<T>(p);                                                                                                \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace unpermute
