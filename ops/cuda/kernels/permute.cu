// Permute: rows[r] = x[RowSlot[r]/K], zero bytes where RowSlot[r] is −1. Whole rows of bytes, of any dtype and width.
//
// Shapes   x (T,width) bytes → rows (R,width) bytes; a second pair x2, rows2 of width2 (the scales of a quantized x) moves in
//          the same launch: width2 ≤ 512, a multiple of 4 as the pointers are, 0 if there is none. RowSlot (R), SlotRow (T,K)
//          int32.
// Moves    permute_gather: 2·R·width bytes; permute_scatter: (tokens here + R)·width bytes, each token is read once.
// Grid     blocks of 256 threads, a warp has a unit: one of the c chunks of a row, 1024 bytes in permute_gather and 2048 in
//          permute_scatter. In the kernels of these names with _two behind them the last chunk's warp takes the second pair.
//          permute_gather   (⌈R/8⌉, c) blocks. A unit copies a chunk of a row. One load less in a row of dependent ones, and
//                           all of x is fetched into the L2 before the kernel in front has ended: for few tokens, which the
//                           L2 holds for their other rows.
//          permute_scatter  ⌈T·c/8⌉ + ⌈⌈R/G⌉·c/8⌉ blocks. The first read a chunk of a token and store it once for each slot
//                           that is here. The others check RowSlot and zero the chunks of G rows, G ≤ 32. Where the two tables
//                           of a plan contradict each other RowSlot decides: a scattering warp skips a row that is not its
//                           own, a checking warp copies a row that has no slot.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy of 1 GiB: 3026 GB/s), captured graph, bf16: H = 4096, K = 2 / H = 2048, K = 8 / H = 7168, 32 of
//          256 experts here, R exact: T = 1: 1.2/1.3/1.2 µs; T = 4096: 36.2/52.7/36.1 µs, 92/94/90%, a copy of as many bytes
//          about 35/52/34; T = 16384: 140/217/137 µs, 95/92/94%. FP8 with scales: T = 4096: 19.4/28.1/20.0 µs, 88/92/84%;
//          T = 16384: 74.8/119/73.4 µs, 92/86/91%. R = T·K for the last, seven eighths of it padding, T = 4096: 167 µs, 101%.
// Faults   RowSlot[r] outside [−1,T·K): the row is zeroed.
#include "common.cuh"
namespace permute {

struct Params {
  u8* rows; const u8* x; i64 width;
  u8* rows2; const u8* x2; i64 width2;
  const i32* rowSlot; const i32* slotRow;
  i64 tokens, slots, rowCount, group;  // G
  Fault* fault;
};

constexpr int kWarps = 8;

// A thread moves kUnroll words at a time; with words of 16 bytes a warp moves a chunk.
constexpr int kGather = 2, kScatter = 4;
template <int kUnroll> constexpr i64 kChunk = 32 * 16 * kUnroll;

// With kManyRows rows a token and more a scattering warp asks for the same chunk of the token kAhead further to be brought into
// the L2: among many writes a read takes long, but what is fetched much earlier is gone again.
constexpr i64 kAhead = 128, kManyRows = 4;

// Second is the part of a row of the second pair that a lane moves, loaded beside the first pair's.
struct Second {
  static constexpr int kWords = 4;
  u8* rows;
  i64 width;  // 0 in the warps of other chunks than the last
  u32 v[kWords];

  __device__ __forceinline__ bool has(int i) const { return (lane_id() + 32 * i) * 4 < width; }
  __device__ __forceinline__ Second(const Params& p, i64 token, bool last) : rows(p.rows2), width(last ? p.width2 : 0) {
    const u32* x = reinterpret_cast<const u32*>(p.x2 + token * width) + lane_id();
#pragma unroll
    for (int i = 0; i < kWords; i++) v[i] = token >= 0 && has(i) ? x[32 * i] : 0;
  }
  __device__ __forceinline__ void store(i64 row) const {
    u32* to = reinterpret_cast<u32*>(rows + row * width) + lane_id();
#pragma unroll
    for (int i = 0; i < kWords; i++)
      if (has(i)) to[32 * i] = v[i];
  }
};
// None stands for it where there is no second pair.
struct None {
  i64 width;
  __device__ __forceinline__ None(const Params&, i64, bool) {}
  __device__ __forceinline__ void store(i64) const {}
};

// own_row is row if slot's place is there by both tables, −1 otherwise.
__device__ __forceinline__ i32 own_row(const Params& p, i64 slot, i32 row) {
  return row >= 0 && row < p.rowCount && p.rowSlot[row] == slot ? row : -1;
}

// Rows moves the bytes [from,to) of rows. Word is the widest access that keeps every row aligned.
template <class Word, int kUnroll> struct Rows {
  static constexpr int N = sizeof(Word);
  // scatter copies a token to the rows of its slots, of which the lane's has row mine. It is for more than the L2 holds, so what
  // it reads and writes need not stay there.
  template <class Other> __device__ static void scatter(const Params& p, i64 token, i32 mine, i64 from, i64 to, Other other) {
    const u8* src = p.x + token * p.width;
    for (i64 base = from; base < to; base += 32 * N * kUnroll) {
      const i64 at = base + lane_id() * N;
      Word v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++)
        if (at + u * 32 * N < to) v[u] = __ldcs(reinterpret_cast<const Word*>(src + at + u * 32 * N));
      i64 slot = token * p.slots + lane_id();
      i32 row = own_row(p, slot, mine);
      for (i64 k = 0;;) {
        for (u32 here = __ballot_sync(~0u, row >= 0); here != 0; here &= here - 1) {
          const i64 r = __shfl_sync(~0u, row, __ffs(here) - 1);
          u8* dst = p.rows + r * p.width + at;
#pragma unroll
          for (int u = 0; u < kUnroll; u++)
            if (at + u * 32 * N < to) __stcs(reinterpret_cast<Word*>(dst + u * 32 * N), v[u]);
          other.store(r);
        }
        k += 32, slot += 32;
        if (k >= p.slots) break;
        row = k + lane_id() < p.slots ? own_row(p, slot, p.slotRow[slot]) : -1;
      }
      other.width = 0;
    }
  }
  // copy copies a token to one row, or clears the row if the token is −1.
  __device__ static void copy(const Params& p, i64 token, i64 row, i64 from, i64 to) {
    const u8* src = p.x + token * p.width;
    u8* dst = p.rows + row * p.width;
    for (i64 at = from + lane_id() * i64(N); at < to; at += 32 * N * kUnroll) {
      Word v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        const i64 i = at + u * 32 * i64(N);
        v[u] = Word{};
        if (token >= 0 && i < to) v[u] = *reinterpret_cast<const Word*>(src + i);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        const i64 i = at + u * 32 * i64(N);
        if (i < to) *reinterpret_cast<Word*>(dst + i) = v[u];
      }
    }
  }
};

template <int kUnroll, class F> __device__ __forceinline__ void by_alignment(const Params& p, F&& f) {
  const u64 bits = bits_of(p.x) | bits_of(p.rows) | u64(p.width);
  if ((bits & 15) == 0) f(Rows<uint4, kUnroll>{});
  else if ((bits & 7) == 0) f(Rows<u64, kUnroll>{});
  else if ((bits & 3) == 0) f(Rows<u32, kUnroll>{});
  else if ((bits & 1) == 0) f(Rows<u16, kUnroll>{});
  else f(Rows<u8, kUnroll>{});
}

// copy_chunk copies a chunk of a token to one row; −1 for zeros.
template <int kUnroll, class Other> __device__ __forceinline__ void copy_chunk(const Params& p, i64 token, i64 row, i64 chunk) {
  const i64 from = chunk * kChunk<kUnroll>, to = min(from + kChunk<kUnroll>, p.width);
  const Other other(p, token, to == p.width);
  by_alignment<kUnroll>(p, [&](auto w) { w.copy(p, token, row, from, to); });
  other.store(row);
}

// token_of is the token of a row, −1 for padding.
__device__ __forceinline__ i64 token_of(const Params& p, i64 row, i32 slot, bool first) {
  if (slot == -1) return -1;
  if (slot >= 0 && slot < p.tokens * p.slots) return u32(slot) / u32(p.slots);
  if (first) report(p.fault, kPermute, kBadTable, row, 0, slot, p.tokens * p.slots);
  return -1;
}

template <class Other> __device__ __forceinline__ void gather(const Params& p) {
  const i64 thread = (i64(blockIdx.y) * gridDim.x + blockIdx.x) * blockDim.x + threadIdx.x;
  const i64 threads = i64(gridDim.x) * gridDim.y * blockDim.x;
  fetch(p.rowSlot, 4 * p.rowCount, thread, threads);
  fetch(p.x, p.tokens * p.width, thread, threads);
  fetch(p.x2, p.tokens * p.width2, thread, threads);
  begin();
  const i64 row = i64(blockIdx.x) * kWarps + warp_id();
  if (row >= p.rowCount) return;
  copy_chunk<kGather, Other>(p, token_of(p, row, p.rowSlot[row], blockIdx.y == 0 && lane_id() == 0), row, blockIdx.y);
}

template <class Other> __device__ __forceinline__ void scatter_chunk(const Params& p, i64 token, i64 chunk) {
  const i64 first = token * p.slots;
  const bool has = lane_id() < p.slots;
  const i32 mine = has ? p.slotRow[first + lane_id()] : -1;
  const bool fetches = has && p.rowCount >= kManyRows * p.tokens && token + kAhead < p.tokens;
  const i32 ahead = fetches ? p.slotRow[first + kAhead * p.slots + lane_id()] : -1;
  bool here = mine >= 0;
  for (i64 k = 32 + lane_id(); k < p.slots; k += 32) here |= p.slotRow[first + k] >= 0;
  const i64 from = chunk * kChunk<kScatter>, to = min(from + kChunk<kScatter>, p.width);
  if (__any_sync(~0u, ahead >= 0)) fetch(p.x + (token + kAhead) * p.width + from, to - from, lane_id(), 32);
  if (!__any_sync(~0u, here)) return;
  const Other other(p, token, to == p.width);
  by_alignment<kScatter>(p, [&](auto w) { w.scatter(p, token, mine, from, to, other); });
}

template <class Other> __device__ __forceinline__ void check_group(const Params& p, const Unit& at) {
  const i64 r = at.row * p.group + lane_id();
  i64 token = -1;
  bool stray = false;  // no scattering warp writes this row
  if (lane_id() < p.group && r < p.rowCount) {
    const i32 slot = p.rowSlot[r];
    token = token_of(p, r, slot, at.chunk == 0);
    stray = token < 0 || p.slotRow[slot] != r;
  }
  for (u32 m = __ballot_sync(~0u, stray); m != 0; m &= m - 1) {
    const int l = __ffs(m) - 1;
    copy_chunk<kScatter, Other>(p, __shfl_sync(~0u, token, l), at.row * p.group + l, at.chunk);
  }
}

template <class Other> __device__ __forceinline__ void scatter(const Params& p) {
  const i64 chunks = ceil_div(p.width, kChunk<kScatter>), scatterBlocks = ceil_div(p.tokens * chunks, kWarps);
  if (blockIdx.x < scatterBlocks) {
    const i64 unit = i64(blockIdx.x) * kWarps + warp_id();
    if (unit >= p.tokens * chunks) return;
    const Unit at = split_unit(unit, chunks);
    scatter_chunk<Other>(p, at.row, at.chunk);
  } else {
    check_group<Other>(p, split_unit((blockIdx.x - scatterBlocks) * kWarps + warp_id(), chunks));
  }
}

#define KERNELS(suffix, Other)                                                                                             \
  extern "C" __global__ void __launch_bounds__(32 * kWarps) permute_gather##suffix(const __grid_constant__ Params p) {     \
    gather<Other>(p);                                                                                                      \
  }                                                                                                                        \
  extern "C" __global__ void __launch_bounds__(32 * kWarps, 4) permute_scatter##suffix(const __grid_constant__ Params p) { \
    begin();                                                                                                               \
    scatter<Other>(p);                                                                                                     \
  }
KERNELS(, None)
KERNELS(_two, Second)
#undef KERNELS
}  // namespace permute
