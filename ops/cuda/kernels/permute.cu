// Permute: rows[r] = x[RowSlot[r]/K], zero bytes where RowSlot[r] is −1. Whole rows of bytes, of any dtype and width.
//
// Shapes   x (T,width) bytes → rows (R,width) bytes; a second pair x2, rows2 of width2 (the scales of a quantized x) moves in
//          the same launch, width2 = 0 if there is none. RowSlot (R), SlotRow (T,K) int32.
// Moves    gather: 2·R·width bytes; scatter: (tokens here + R)·width bytes, each token is read once.
// Grid     blocks of 256 threads, a warp has a unit. With c = ⌈width/2048⌉ + ⌈width2/2048⌉ chunks of a row:
//          gather  (⌈R/8⌉, c) blocks. A unit copies a chunk of a row. One load less in a row of dependent ones: for few tokens,
//                  which the L2 holds for their other rows.
//          scatter ⌈T·c/8⌉ + ⌈⌈R/8⌉·c/8⌉ blocks. The first read a chunk of a token and store it once for each slot that is
//                  here. The others check RowSlot and zero the chunks of eight rows. Where the two tables of a plan contradict
//                  each other RowSlot decides: a scattering warp skips a row that is not its own, a checking warp copies a
//                  row that has no slot.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: H = 4096, K = 2 / H = 2048, K = 8 / H = 7168, 32 of 256
//          experts here: T = 1: 1.4/1.6/1.5 µs; T = 4096: 38.6/59.4/38.6 µs, 108/105/105%; T = 16384: 112/106/111%. FP8 with
//          scales, T = 4096: 99/98/96%. With padding to A = 128, T = 4096: 105 to 107%.
// Faults   RowSlot[r] outside [−1,T·K): the row is zeroed.
#include "common.cuh"
namespace permute {

struct Params {
  void* rows; const void* x; i64 width;
  void* rows2; const void* x2; i64 width2;
  const i32* rowSlot; const i32* slotRow;
  i64 tokens, slots, rowCount;
  i64 gather;  // 1: gather, 0: scatter
  Fault* fault;
};

constexpr int kWarps = 8, kUnroll = 4, kRowsOfWarp = 8;
constexpr i64 kChunk = 32 * 16 * kUnroll;

// Word is the widest access that keeps every row aligned.
template <class Word> struct Rows {
  // scatter copies [from,to) of a row to the same place of the rows of slots first … first+count−1.
  __device__ static void scatter(const Params& p, u8* rows, const u8* src, i64 width, i64 from, i64 to, i64 first) {
    constexpr int N = sizeof(Word);
    for (i64 at = from + lane_id() * N; at < to + lane_id() * N; at += 32 * N * kUnroll) {
      Word v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++)
        if (at + u * 32 * N < to) v[u] = *reinterpret_cast<const Word*>(src + at + u * 32 * N);
      for (i64 k = 0; k < p.slots; k += 32) {
        i32 mine = -1;
        if (k + lane_id() < p.slots) {
          mine = p.slotRow[first + k + lane_id()];
          if (mine < 0 || mine >= p.rowCount || p.rowSlot[mine] != first + k + lane_id()) mine = -1;
        }
        for (u32 here = __ballot_sync(~0u, mine >= 0); here != 0; here &= here - 1) {
          u8* dst = rows + i64(__shfl_sync(~0u, mine, __ffs(here) - 1)) * width;
#pragma unroll
          for (int u = 0; u < kUnroll; u++)
            if (at + u * 32 * N < to) *reinterpret_cast<Word*>(dst + at + u * 32 * N) = v[u];
        }
      }
    }
  }
  // copy copies [from,to) of a row, or clears it if src is null.
  __device__ static void copy(u8* dst, const u8* src, i64 from, i64 to) {
    for (i64 at = from + lane_id() * i64(sizeof(Word)); at < to; at += 32 * sizeof(Word) * kUnroll) {
      Word v[kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        const i64 i = at + u * 32 * i64(sizeof(Word));
        v[u] = Word{};
        if (src != nullptr && i < to) v[u] = *reinterpret_cast<const Word*>(src + i);
      }
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        const i64 i = at + u * 32 * i64(sizeof(Word));
        if (i < to) *reinterpret_cast<Word*>(dst + i) = v[u];
      }
    }
  }
};

template <class F> __device__ __forceinline__ void by_alignment(const void* x, const void* rows, i64 width, F&& f) {
  const u64 bits = bits_of(x) | bits_of(rows) | u64(width);
  if ((bits & 15) == 0) f(Rows<uint4>{});
  else if ((bits & 7) == 0) f(Rows<u64>{});
  else if ((bits & 3) == 0) f(Rows<u32>{});
  else if ((bits & 1) == 0) f(Rows<u16>{});
  else f(Rows<u8>{});
}

__device__ bool any_slot_here(const Params& p, i64 first) {
  bool here = false;
  for (i64 k = lane_id(); k < p.slots; k += 32) here |= p.slotRow[first + k] >= 0;
  return __any_sync(~0u, here);
}

// Span is one chunk of the rows of one of the two pairs of tensors.
struct Span { u8* rows; const u8* x; i64 width, from, to; };
__device__ Span span_of(const Params& p, i64 chunk) {
  const i64 chunks1 = ceil_div(p.width, kChunk);
  const bool second = chunk >= chunks1;
  const i64 width = second ? p.width2 : p.width, from = (chunk - (second ? chunks1 : 0)) * kChunk;
  return {static_cast<u8*>(second ? p.rows2 : p.rows), static_cast<const u8*>(second ? p.x2 : p.x), width, from, min(from + kChunk, width)};
}

__device__ void copy_row(const Span& s, i64 row, i64 token) {
  by_alignment(s.x, s.rows, s.width, [&](auto w) {
    w.copy(s.rows + row * s.width, token < 0 ? nullptr : s.x + token * s.width, s.from, s.to);
  });
}

// token_of is the token of a row, −1 for padding.
__device__ __forceinline__ i64 token_of(const Params& p, i64 row, i32 slot, bool first) {
  if (slot == -1) return -1;
  if (slot >= 0 && slot < p.tokens * p.slots) return u32(slot) / u32(p.slots);
  if (first) report(p.fault, kPermute, kBadTable, row, 0, slot, p.tokens * p.slots);
  return -1;
}

__device__ void scatter_unit(const Params& p, const Unit& at) {
  const Span s = span_of(p, at.chunk);
  const i64 first = at.row * p.slots;
  if (p.slots > 2 && !any_slot_here(p, first)) return;
  by_alignment(s.x, s.rows, s.width, [&](auto w) { w.scatter(p, s.rows, s.x + at.row * s.width, s.width, s.from, s.to, first); });
}

__device__ void check_unit(const Params& p, const Unit& at) {
  const i64 r = at.row * kRowsOfWarp + lane_id();
  i64 token = -1;
  bool stray = false;  // no scattering warp writes this row
  if (lane_id() < kRowsOfWarp && r < p.rowCount) {
    const i32 slot = p.rowSlot[r];
    token = token_of(p, r, slot, at.chunk == 0);
    stray = token < 0 || p.slotRow[slot] != r;
  }
  const Span s = span_of(p, at.chunk);
  for (u32 m = __ballot_sync(~0u, stray); m != 0; m &= m - 1) {
    const int l = __ffs(m) - 1;
    copy_row(s, at.row * kRowsOfWarp + l, __shfl_sync(~0u, token, l));
  }
}

extern "C" __global__ void __launch_bounds__(32 * kWarps) permute_b(const __grid_constant__ Params p) {
  begin();
  if (p.gather) {
    const i64 row = i64(blockIdx.x) * kWarps + warp_id();
    if (row < p.rowCount) copy_row(span_of(p, blockIdx.y), row, token_of(p, row, p.rowSlot[row], blockIdx.y == 0 && lane_id() == 0));
    return;
  }
  const i64 chunks = ceil_div(p.width, kChunk) + ceil_div(p.width2, kChunk);
  const i64 scatterBlocks = ceil_div(p.tokens * chunks, kWarps);
  if (blockIdx.x < scatterBlocks) {
    const i64 unit = i64(blockIdx.x) * kWarps + warp_id();
    if (unit < p.tokens * chunks) scatter_unit(p, split_unit(unit, chunks));
    return;
  }
  check_unit(p, split_unit((blockIdx.x - scatterBlocks) * kWarps + warp_id(), chunks));
}
}  // namespace permute
