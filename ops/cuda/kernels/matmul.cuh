// What all matrix products share: operands, the tile a block works on, the store of results.
//
// A product is out[r] = x[r] · w[e]ᵀ for the rows r of each expert e and zero for padding rows; a linear layer has one expert
// with all rows. The rows of an expert's segment are cut into tiles of M rows, the columns into tiles of N. Blocks are
// numbered expert by expert, in an expert by groups of up to 16 tiles of rows, in a group column by column: blocks that run at
// the same time share weights and rows in the L2.
#pragma once
#include "common.cuh"

namespace matmul {

struct Params {
  void* out; const void* x; const void* w;
  i64 rows, width, depth, experts;  // R, N, D, E
  const i32 *offsets, *counts;      // null for a linear layer
  // The weight as a stack of blocks: blocks[e·blockCount+b] holds the rows blockRows[b] … blockRows[b+1]−1 of expert e.
  const void* const* blocks;
  const i64* blockRows;
  i64 blockCount;  // 0 if w is one array (E,N,D)
  i64 xDtype, wDtype, outDtype;
  // Scales of e4m3 codes, null without: x has blocks of xBlockRows×xBlockCols, w of wBlockRows×wBlockCols within an expert.
  const float *xScales, *wScales;
  i64 xBlockRows, xBlockCols, wBlockRows, wBlockCols;
  Fault* fault;
};

// Tile is a block's share: rows row … row+count−1 of an expert, of which the first valid hold data and the rest are padding.
struct Tile { i64 expert, row, column; int count, valid; };

// find_tile gives the tile of this block, false if there is none. All threads call it.
__device__ inline bool find_tile(const Params& p, int M, int N, Tile& tile) {
  const i64 columns = ceil_div(p.width, N);
  i64 expert = 0, begin = 0, length = p.rows, count = p.rows, first = 0;
  if (p.offsets != nullptr) {
    const i64 wanted = blockIdx.x / u32(columns);
    i64 tilesBefore = 0;
    bool found = false;
    for (i64 base = 0; base <= p.experts && !found; base += 32) {
      const i64 e = base + lane_id();
      i64 from = 0, len = 0, n = 0;
      if (e <= p.experts) {
        from = p.offsets[e];
        len = (e < p.experts ? p.offsets[e + 1] : p.rows) - from;
        n = e < p.experts ? p.counts[e] : 0;
        if (from < 0 || len < 0 || from + len > p.rows || n < 0 || n > len) {
          report(p.fault, kGroupedMatMul, kBadTable, e, 0, from, p.rows);
          len = n = 0;
        }
      }
      const i64 tiles = i64(u32(len + M - 1) / u32(M));
      i64 sum = tiles;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) {
        const i64 y = __shfl_up_sync(~0u, sum, d);
        if (lane_id() >= d) sum += y;
      }
      const u32 over = __ballot_sync(~0u, tilesBefore + sum > wanted);
      if (over != 0) {
        const int l = __ffs(over) - 1;
        found = true;
        expert = base + l;
        first = __shfl_sync(~0u, tilesBefore + sum - tiles, l);
        begin = __shfl_sync(~0u, from, l), length = __shfl_sync(~0u, len, l), count = __shfl_sync(~0u, n, l);
      } else {
        tilesBefore += __shfl_sync(~0u, sum, 31);
      }
    }
    if (!found) return false;
  }
  const i64 tiles = ceil_div(length, M), groups = ceil_div(tiles, 16), size = groups == 0 ? 1 : ceil_div(tiles, groups), local = blockIdx.x - first * columns;
  const i64 group = local / (size * columns), inGroup = local % (size * columns);
  const i64 high = min(size, tiles - group * size);
  if (high <= 0) return false;
  const i64 m = (group * size + inGroup % high) * M;
  tile = {expert, begin + m, inGroup / high * N, int(min(i64(M), length - m)), int(max(0ll, min(i64(M), count - m)))};
  return true;
}

__device__ __forceinline__ i64 size_of(i64 dtype) { return dtype == kF64 ? 8 : dtype == kF32 ? 4 : dtype == kE4M3 ? 1 : 2; }

// weight_row is the address of row n of expert e.
__device__ inline const void* weight_row(const Params& p, i64 e, i64 n, i64 size) {
  if (p.blockCount == 0) return static_cast<const u8*>(p.w) + (e * p.width + n) * p.depth * size;
  i64 b = 0;
  while (n >= p.blockRows[b + 1]) b++;
  return static_cast<const u8*>(p.blocks[e * p.blockCount + b]) + (n - p.blockRows[b]) * p.depth * size;
}

// store_pair stores two neighbours of a row, as one access where both exist and are aligned.
template <class A> __device__ __forceinline__ void store_pair(const Params& p, i64 row, i64 column, A a, A b) {
  const i64 at = row * p.width + column;
  if (p.outDtype != kF64 && (at & 1) == 0 && column + 1 < p.width) {
    if (p.outDtype == kBF16) static_cast<u32*>(p.out)[at / 2] = pair<bf16>(float(a), float(b));
    else if (p.outDtype == kF16) static_cast<u32*>(p.out)[at / 2] = pair<f16>(float(a), float(b));
    else static_cast<float2*>(p.out)[at / 2] = make_float2(float(a), float(b));
    return;
  }
  if (column < p.width) store_any<A>(p.out, p.outDtype, at, a);
  if (column + 1 < p.width) store_any<A>(p.out, p.outDtype, at + 1, b);
}

// store_fragments stores what a warp holds of a tile: MT×NT results of a matrix instruction, of 16 rows and 8 columns each, from
// row wm and column wn of the tile on. Rows behind the valid ones get zeros. Four lanes hold the 8 columns of a row. Of 16 bits
// they trade four such parts for one whole part each, 16 bytes that are stored at once; otherwise, or where rows are not aligned
// for that, each stores its pair. Where rows of odd width split the pairs, a loop stores them from a copy in local memory: such
// stores of every dtype, unrolled, were half of a kernel's code and of the time to compile it.
template <int MT, int NT>
__device__ __forceinline__ void store_fragments(const Params& p, const Tile& tile, int wm, int wn, const float (&sum)[MT][NT][4]) {
  static_assert(NT % 4 == 0);
  const int lane = lane_id(), quarter = lane % 4;
  const bool parts = (p.outDtype == kBF16 || p.outDtype == kF16) && p.width % 8 == 0 && aligned16(bits_of(p.out));
  const bool pairs = !parts && p.width % 2 == 0 && aligned16(bits_of(p.out));
  auto pair_of = [&](const float (&x)[2]) { return p.outDtype == kBF16 ? pair<bf16>(x[0], x[1]) : pair<f16>(x[0], x[1]); };
  const int left = int(min(p.width - tile.column, 1ll << 30)) - wn;  // columns from wn on
  if (!parts && !pairs) {
    float copy[MT * NT * 4];
#pragma unroll
    for (int i = 0; i < MT * NT * 4; i++) copy[i] = sum[i / 4 / NT][i / 4 % NT][i % 4];
#pragma unroll 1
    for (int i = 0; i < MT * NT * 2; i++) {
      const int r = wm + i / 2 / NT * 16 + i % 2 * 8 + lane / 4;
      const i64 row = tile.row + r, column = tile.column + wn + i / 2 % NT * 8 + quarter * 2;
      const bool valid = r < tile.valid;
      if (r < tile.count) store_pair(p, row, column, valid ? copy[2 * i] : 0.0f, valid ? copy[2 * i + 1] : 0.0f);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < MT; i++)
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int r = wm + i * 16 + half * 8 + lane / 4;
      const bool valid = r < tile.valid, exists = r < tile.count;
      const i64 at = (tile.row + r) * p.width + tile.column + wn;
      float x[NT][2];
#pragma unroll
      for (int j = 0; j < NT; j++) x[j][0] = valid ? sum[i][j][2 * half] : 0.0f, x[j][1] = valid ? sum[i][j][2 * half + 1] : 0.0f;
      if (pairs) {
#pragma unroll
        for (int j = 0; j < NT; j++)
          if (exists && j * 8 + quarter * 2 < left) {
            const i64 to = (at + j * 8 + quarter * 2) / 2;
            if (p.outDtype == kF32) static_cast<float2*>(p.out)[to] = make_float2(x[j][0], x[j][1]);
            else if (p.outDtype == kF64) static_cast<double2*>(p.out)[to] = make_double2(x[j][0], x[j][1]);
            else static_cast<u32*>(p.out)[to] = pair_of(x[j]);
          }
        continue;
      }
#pragma unroll
      for (int j = 0; j < NT; j += 4) {
        u32 part[4];
#pragma unroll
        for (int k = 0; k < 4; k++) part[k] = pair_of(x[j + k]);
#pragma unroll
        for (int d = 1; d < 4; d *= 2)
#pragma unroll
          for (int k = 0; k < 4; k++)
            if ((k & d) == 0) {  // part k+d of the lower lane for part k of the upper one
              const bool upper = (lane & d) != 0;
              const u32 other = __shfl_xor_sync(~0u, upper ? part[k] : part[k + d], d);
              part[k] = upper ? other : part[k];
              part[k + d] = upper ? part[k + d] : other;
            }
        u16* to = static_cast<u16*>(p.out) + at + (j + quarter) * 8;
        if (exists && (j + quarter) * 8 < left) *reinterpret_cast<uint4*>(to) = make_uint4(part[0], part[1], part[2], part[3]);
      }
    }
}
}  // namespace matmul
