// Unpermute: y[t] = Σ_k gates[t,k] · rows[SlotRow[t,k]], k ascending, in float32 (float64 for f64). A slot of row −1 adds
// nothing, whatever its gate is.
//
// Shapes   rows (R,H), y (T,H) of one dtype f32, f64, bf16, f16; gates (T,K) f32; SlotRow (T,K) int32.
// Moves    (rows here + T)·H·size bytes.
// Grid     ⌈T·⌈H·size/1024⌉/4⌉ blocks of 128 threads; a warp has a chunk of a token, two packs of 16 bytes a thread. Single
//          numbers where H·size is no multiple of 16.
//          unpermute_<dtype>      reads two slots at once, 8 blocks an SM: for many tokens, where blocks hide the latency.
//          unpermute_<dtype>_few  reads four slots at once: for few tokens of more than two slots.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy of 1 GiB: 3026 GB/s), captured graph, bf16, shapes as permute.cu: T = 1: 1.6/2.3/1.7 µs; T =
//          4096: 35.5/53.2/44.4 µs, 94/94/88%; T = 16384: 135/203/168 µs, 99/98/92%.
// Faults   SlotRow[t,k] outside [−1,R): the slot adds nothing.
#include "common.cuh"
namespace unpermute {

struct Params {
  void* y; const void* rows; const float* gates; const i32* slotRow;
  i64 tokens, slots, rowCount, width;
  Fault* fault;
};

constexpr int kWarps = 4, kUnroll = 2;

// Next takes the slots that are here one by one.
struct Next { u32 here; i32 mine; float weight; };

// add_slots adds the next S slots, or as many as there are.
template <class T, int N, int S>
__device__ __forceinline__ void add_slots(Acc<T> (&sum)[kUnroll][N], Next& next, const T* rows, i64 width, i64 at, i64 to) {
  const T* row[S];
  Acc<T> gate[S];
  bool is[S];
#pragma unroll
  for (int s = 0; s < S; s++) {
    is[s] = next.here != 0;
    const int l = is[s] ? __ffs(next.here) - 1 : 0;
    next.here &= next.here - 1;
    row[s] = rows + i64(__shfl_sync(~0u, next.mine, l)) * width;
    gate[s] = __shfl_sync(~0u, next.weight, l);
  }
  Pack<T, N> x[S][kUnroll];
#pragma unroll
  for (int s = 0; s < S; s++)
#pragma unroll
    for (int u = 0; u < kUnroll; u++)
      if (is[s] && at + u * 32 * N < to) x[s][u] = Pack<T, N>::load(row[s] + at + u * 32 * N);
#pragma unroll
  for (int s = 0; s < S; s++) {
    if (!is[s]) continue;
#pragma unroll
    for (int u = 0; u < kUnroll; u++)
#pragma unroll
      for (int j = 0; j < N; j++) sum[u][j] += gate[s] * Acc<T>(widen(x[s][u].v[j]));
  }
}

template <class T, int N, int S> __device__ void token(const Params& p, i64 t, i64 from, i64 to) {
  const T* rows = static_cast<const T*>(p.rows);
  T* y = static_cast<T*>(p.y) + t * p.width;
  for (i64 base = from; base < to; base += 32 * N * kUnroll) {
    const i64 at = base + lane_id() * N;
    Acc<T> sum[kUnroll][N] = {};
    for (i64 k = 0; k < p.slots; k += 32) {
      Next next = {0, -1, 0};
      if (k + lane_id() < p.slots) {
        const i64 slot = t * p.slots + k + lane_id();
        next.mine = p.slotRow[slot], next.weight = p.gates[slot];
        if (next.mine < -1 || next.mine >= p.rowCount) {
          report(p.fault, kUnpermute, kBadTable, slot, 0, next.mine, p.rowCount);
          next.mine = -1;
        }
      }
      next.here = __ballot_sync(~0u, next.mine >= 0);
      while (next.here != 0) add_slots<T, N, S>(sum, next, rows, p.width, at, to);
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

template <class T, int S> __device__ void unpermute(const Params& p) {
  constexpr i64 chunk = 32 * kPack<T> * kUnroll;
  const i64 chunks = ceil_div(p.width, chunk), unit = i64(blockIdx.x) * kWarps + warp_id();
  if (unit >= p.tokens * chunks) return;
  const Unit at = split_unit(unit, chunks);
  const i64 from = at.chunk * chunk, to = min(from + chunk, p.width);
  if (aligned16(bits_of(p.y) | bits_of(p.rows) | u64(p.width * sizeof(T)))) token<T, kPack<T>, S>(p, at.row, from, to);
  else token<T, 1, S>(p, at.row, from, to);
}

#define KERNEL(name, T)                                                                                                   \
  extern "C" __global__ void __launch_bounds__(32 * kWarps, 8) unpermute_##name(const __grid_constant__ Params p) {       \
    begin();                                                                                                              \
    unpermute<T, 2>(p);                                                                                                   \
  }                                                                                                                       \
  extern "C" __global__ void __launch_bounds__(32 * kWarps, 6) unpermute_##name##_few(const __grid_constant__ Params p) { \
    begin();                                                                                                              \
    unpermute<T, 4>(p);                                                                                                   \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
}  // namespace unpermute
