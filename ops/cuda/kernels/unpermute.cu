// Unpermute: y[t] = Σ_k gates[t,k] · rows[SlotRow[t,k]], k ascending, in float32 (float64 for f64). A slot of row −1 adds
// nothing, whatever its gate is.
//
// Shapes   rows (R,H), y (T,H) of one dtype f32, f64, bf16, f16; gates (T,K) f32; SlotRow (T,K) int32.
// Moves    (rows here + T)·H·size bytes.
// Grid     ⌈⌈T/G⌉·⌈H·size/1024⌉/4⌉ blocks of 128 threads; a warp has a chunk of G tokens, two packs of 16 bytes a thread. Single
//          numbers where H·size is no multiple of 16. G = 1 but for
//          unpermute_<dtype>_many  takes the rows of G tokens as one list and reads four at once, 6 blocks an SM: for many tokens.
//                                  Where most slots are not here, the rows of one token leave too few bytes in flight.
//          unpermute_<dtype>_few   reads four slots at once: for few tokens of more than two slots.
//          unpermute_<dtype>       reads two slots at once, 8 blocks an SM: in between.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy of 1 GiB: 3026 GB/s), captured graph, bf16, shapes as permute.cu: T = 1: 1.5/2.1/1.6
//          µs; T = 4096: 35.8/54.0/43.7 µs, 97/95/93% of a copy of as many bytes; T = 16384: 135/206/163 µs, 100/97/96%.
// Faults   SlotRow[t,k] outside [−1,R): the slot adds nothing.
#include "common.cuh"
namespace unpermute {

struct Params {
  void* y; const void* rows; const float* gates; const i32* slotRow;
  i64 tokens, slots, rowCount, width;
  i64 group;  // G
  Fault* fault;
};

constexpr int kWarps = 4, kUnroll = 2, kListed = 4;

// Slot is a lane's: the row, −1 if the slot is not here, and the gate.
struct Slot { i32 row; float gate; };

__device__ __forceinline__ Slot load_slot(const Params& p, i64 slot) {
  Slot s = {p.slotRow[slot], p.gates[slot]};
  if (s.row < -1 || s.row >= p.rowCount) {
    report(p.fault, kUnpermute, kBadTable, slot, 0, s.row, p.rowCount);
    s.row = -1;
  }
  return s;
}

// add_slots takes the first S of the lanes here, or as many as there are, and adds the rows of their slots to sum; stride lies
// between rows, and a thread has width numbers of the chunk from its place on. before(lane) is called before a slot is added.
template <int S, class T, int N, class F>
__device__ __forceinline__ void add_slots(Acc<T> (&sum)[kUnroll][N], u32& here, Slot mine, const T* rows, i64 stride, int width,
                                          F before) {
  Pack<T, N> x[S][kUnroll];
  Acc<T> gate[S];
  int lane[S];
#pragma unroll
  for (int s = 0; s < S; s++) {
    const bool is = here != 0;
    lane[s] = __ffs(here) - 1;
    const T* row = rows + i64(__shfl_sync(~0u, mine.row, lane[s])) * stride;
    gate[s] = __shfl_sync(~0u, mine.gate, lane[s]);
#pragma unroll
    for (int u = 0; u < kUnroll; u++)
      if (is && u * 32 * N < width) x[s][u] = Pack<T, N>::load(row + u * 32 * N);
    here &= here - 1;
  }
#pragma unroll
  for (int s = 0; s < S; s++) {
    if (lane[s] < 0) break;
    before(lane[s]);
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
      Slot mine = {-1, 0};
      if (k + lane_id() < p.slots) mine = load_slot(p, t * p.slots + k + lane_id());
      u32 here = __ballot_sync(~0u, mine.row >= 0);
      while (here != 0) add_slots<S>(sum, here, mine, rows + at, p.width, i32(to - at), [](int) {});
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

// Sums are a warp's, of one token after the other.
template <class T, int N> struct Sums {
  T* y;       // the thread's place in the token's row
  i32 width;  // numbers of the chunk from there on
  int left;   // tokens that are not stored
  u32 end;    // the first slot of the next token, counted from the first token's
  Acc<T> of[kUnroll][N];

  __device__ __forceinline__ bool has(int u) const { return u * 32 * N < width; }
  // next stores the token and begins the one behind it.
  __device__ __forceinline__ void next(const Params& p) {
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      Pack<T, N> out;
#pragma unroll
      for (int j = 0; j < N; j++) out.v[j] = narrow<T>(of[u][j]), of[u][j] = 0;
      if (has(u)) out.store(y + u * 32 * N);
    }
    y += p.width, left--, end += u32(p.slots);
  }
};

// list makes the chunk [from,to) of so many tokens.
template <class T, int N> __device__ __forceinline__ void list(const Params& p, i64 first, int count, i64 from, i64 to) {
  const i64 at = from + lane_id() * N;
  const T* rows = static_cast<const T*>(p.rows) + at;
  Sums<T, N> sums = {static_cast<T*>(p.y) + first * p.width + at, i32(to - at), count, u32(p.slots), {}};
  const u32 firstSlot = u32(first * p.slots), slots = u32(count * p.slots);
  for (u32 base = 0; base < slots; base += 32) {
    Slot mine = {-1, 0};
    if (base + lane_id() < slots) mine = load_slot(p, firstSlot + base + lane_id());
    u32 here = __ballot_sync(~0u, mine.row >= 0);
    auto before = [&](int lane) {
      while (base + lane >= sums.end) sums.next(p);
    };
    while (here != 0) add_slots<kListed>(sums.of, here, mine, rows, p.width, sums.width, before);
  }
  while (sums.left > 0) sums.next(p);
}

// unpermute runs a warp's chunk: of one token, S slots at once, or with S = 0 of G tokens.
template <class T, int S> __device__ void unpermute(const Params& p) {
  constexpr i64 chunk = 32 * kPack<T> * kUnroll;
  const i64 group = S == 0 ? p.group : 1;
  const i64 chunks = ceil_div(p.width, chunk), unit = i64(blockIdx.x) * kWarps + warp_id();
  if (unit >= ceil_div(p.tokens, group) * chunks) return;
  const Unit at = split_unit(unit, chunks);
  const i64 first = at.row * group, from = at.chunk * chunk, to = min(from + chunk, p.width);
  const bool packs = aligned16(bits_of(p.y) | bits_of(p.rows) | u64(p.width * sizeof(T)));
  if constexpr (S > 0) {
    if (packs) token<T, kPack<T>, S>(p, first, from, to);
    else token<T, 1, S>(p, first, from, to);
  } else {
    const int count = int(min(group, p.tokens - first));
    if (packs) list<T, kPack<T>>(p, first, count, from, to);
    else
      for (i64 i = from; i < to; i += 32 * kUnroll) list<T, 1>(p, first, count, i, min(i + 32 * kUnroll, to));
  }
}

#define KERNEL(name, T, S, blocks)                                                                                       \
  extern "C" __global__ void __launch_bounds__(32 * kWarps, blocks) unpermute_##name(const __grid_constant__ Params p) { \
    begin();                                                                                                             \
    unpermute<T, S>(p);                                                                                                  \
  }
#define KERNELS(name, T) KERNEL(name, T, 2, 8) KERNEL(name##_few, T, 4, 6) KERNEL(name##_many, T, 0, 6)
FOR_FLOATS(KERNELS)
#undef KERNELS
#undef KERNEL
}  // namespace unpermute
