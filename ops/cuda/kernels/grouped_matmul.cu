// GroupedMatMul and Linear on tensor cores: out[r] = x[r] · w[e]ᵀ, zero for padding rows; see matmul.cuh.
//
// Shapes   x (R,D), w (E,N,D) or a stack of blocks, both bf16 or both f16, D a multiple of 8 and all pointers to x and w
//          aligned to 16 bytes; out (R,N) of any float dtype. Products of 16 bits are exact, sums run in float32.
// Moves    E'·N·D·2 bytes of weights (E' experts with rows) and R·(D + N)·2; tiles read rows again from the L2.
// Grid     ⌈N/BN⌉·(⌊R/BM⌋ + min(E,R) + 1) blocks; for a linear layer ⌈N/BN⌉·⌈R/BM⌉. Blocks without a tile end at once.
//
//          variant  BM   BN   threads  dynamic shared memory  for
//          s        16   32   128      43008                  up to 16 rows an expert: the weights' bandwidth
//          m        64   128  128      98304                  up to 64 rows an expert
//          l        128  256  256      98304                  more
//
// A block keeps several tiles of 64 columns of D (l: 32) on the way into shared memory (cp.async); rows are swizzled in units of
// 16 bytes so that ldmatrix has no bank conflicts. A warp holds its part of the result in registers; while it multiplies 16
// columns of D, the next 16 are on their way from shared memory into registers. The warps of variant s share out the steps of
// D instead and add their results up in a fixed order. A tile of few rows of m or l runs as one of 64 or 32.
// Bound    tensor cores by mma.sync for many rows: 646 TFLOP/s out of registers on an H100, 632 with operands by ldmatrix from
//          shared memory; memory bandwidth of the weights for few.
// Measured on an H100 at its limit of power, captured graph, bf16, 8 experts: D = 4096, N = 28672 / D = 14336, N = 4096. 8192 rows
//          with random routing, l: 4.8/2.4 ms, 398/408 TFLOP/s, 62/63% of the bound; 2048 rows: 374/317. 256 rows, m: 629/324 µs,
//          3.0 TB/s of weights; 16 rows, s: 638 µs. (On compute 9.0 grouped_matmul_sm90.cu has l's part.)
// Tried    in docs/notes/cuda-grouped-matmul.md.
// Faults   offsets and counts that contradict each other: the expert has no rows.
#include "matmul.cuh"
#include "tensorcore.cuh"
namespace grouped_matmul {
using namespace matmul;
using namespace tensorcore;

extern __shared__ __align__(1024) u8 stages[];

// BM×BN of a block, WM×WN of a warp, WK warps share the steps of D, of which kDepth columns are a stage.
template <class T, int BM, int BN, int WM, int WN, int WK, int kDepth, int kStages> struct Product {
  static constexpr int kRows = BM, kColumns = BN;
  static constexpr int kWarps = BM / WM * (BN / WN) * WK, kThreads = 32 * kWarps;
  static constexpr int kRow = kDepth * 2, kStage = (BM + BN) * kRow, kSteps = kDepth / 16 / WK;
  static constexpr int kChunks = kRow / 16, kRowsACopy = kThreads / kChunks, kCopies = (BM + BN + kRowsACopy - 1) / kRowsACopy;
  static constexpr int MT = WM / 16, NT = WN / 8;
  static_assert((kDepth == 64 || kDepth == 32) && NT % 2 == 0 && (kSteps == 1 || kSteps % 2 == 0));

  // swizzle is what the address of 16 bytes in a row is xored with, so that eight rows lie in different banks.
  __device__ __forceinline__ static int swizzle(int row) { return (kDepth == 64 ? row % 8 : row / 2 % 4) * 16; }

  // run computes the first BM rows of a tile; the others must be padding and get zeros.
  __device__ static void run(const Params& p, const Tile& tile) {
    const int warp = warp_id() / WK, wk = warp_id() % WK;
    const int wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    float sum[MT][NT][4] = {};
    if (tile.valid > 0) accumulate(p, tile, wm, wn, wk, sum);
    if constexpr (WK > 1) add_up(sum, warp, wk);
    if (wk == 0) store_fragments(p, tile, wm, wn, sum);
    for (int i = threadIdx.x; i < (tile.count - BM) * (BN / 2); i += kThreads)
      store_pair(p, tile.row + BM + i / (BN / 2), tile.column + i % (BN / 2) * 2, 0.0f, 0.0f);
  }

  // Rows that do not exist repeat the last one: what comes of them is not stored.
  __device__ static void accumulate(const Params& p, const Tile& tile, int wm, int wn, int wk, float (&sum)[MT][NT][4]) {
    const int chunk = threadIdx.x % kChunks, firstRow = threadIdx.x / kChunks;
    const u8* source[kCopies];
#pragma unroll
    for (int i = 0; i < kCopies; i++) {
      const int r = firstRow + i * kRowsACopy;
      source[i] = r < BM ? static_cast<const u8*>(p.x) + (tile.row + min(r, tile.valid - 1)) * p.depth * 2
                         : static_cast<const u8*>(weight_row(p, tile.expert, min(tile.column + r - BM, p.width - 1), 2));
    }
    const int depths = int(ceil_div(p.depth, kDepth));
    const u32 base = shared_address(stages), to = base + firstRow * kRow + (chunk * 16 ^ swizzle(firstRow));
    auto fetch = [&](int depth, int slot, int first, int last) {
      if (depth >= depths) return;
      const i64 column = i64(depth) * kDepth + chunk * 8;
      const int bytes = column < p.depth ? 16 : 0;
      const i64 offset = bytes > 0 ? column * 2 : 0;
#pragma unroll
      for (int i = 0; i < kCopies; i++)
        if (i >= first && i < last && ((BM + BN) % kRowsACopy == 0 || firstRow + i * kRowsACopy < BM + BN))
          stream_async(to + slot * kStage + i * kRowsACopy * kRow, source[i] + offset, bytes);
    };

    // The addresses of a lane for ldmatrix.
    const int lane = lane_id(), mask = swizzle(lane % 8);
    const u32 rowA = base + (wm + lane % 16) * kRow, halfA = lane / 16 * 16;
    const u32 rowB = base + (BM + wn + lane % 8 + lane / 16 * 8) * kRow, halfB = lane / 8 % 2 * 16;
    u32 a[2][MT][4], b[2][NT / 2][4];
    auto load = [&](int slot, int step, int to) {
      const u32 stage = slot * kStage, at = (step * WK + wk) * 32;
#pragma unroll
      for (int i = 0; i < MT; i++) load_matrices(a[to][i], stage + rowA + i * 16 * kRow + ((at + halfA) ^ mask));
#pragma unroll
      for (int j = 0; j < NT / 2; j++) load_matrices(b[to][j], stage + rowB + j * 16 * kRow + ((at + halfB) ^ mask));
    };

#pragma unroll
    for (int s = 0; s < kStages - 1; s++) fetch(s, s, 0, kCopies), commit();
    wait<kStages - 2>();
    __syncthreads();
    load(0, 0, 0);
    // A step loads the operands of the next one, in the last step of a stage those of the next stage, so that the tensor cores
    // do not wait. The loads stand in front of the copies into the slot of the stage before: the compiler keeps their order.
    int slot = 0, free = kStages - 1;
    constexpr int kIssuing = kSteps > 1 ? kSteps - 1 : 1;
    for (int depth = 0; depth < depths; depth++) {
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        auto issue = [&]() {
          if (step < kIssuing) fetch(depth + kStages - 1, free, step * kCopies / kIssuing, (step + 1) * kCopies / kIssuing);
          if (step == kIssuing - 1) commit();
        };
        if constexpr (kSteps == 1) issue();
        if (step == kSteps - 1) {
          wait<kStages - 2>();
          __syncthreads();
          free = slot;
          slot = slot + 1 == kStages ? 0 : slot + 1;
          if constexpr (kSteps > 1) load(slot, 0, (step + 1) & 1);
        } else {
          load(slot, step + 1, (step + 1) & 1);
        }
        if constexpr (kSteps > 1) issue();
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
          for (int j = 0; j < NT; j++)
            multiply<T>(sum[i][j], a[step & 1][i], b[step & 1][j / 2][j % 2 * 2], b[step & 1][j / 2][j % 2 * 2 + 1]);
        if constexpr (kSteps == 1) load(slot, 0, 0);
      }
    }
    asm volatile("cp.async.wait_all;");
  }

  // add_up adds the results of the WK warps of a tile into the first one's.
  __device__ static void add_up(float (&sum)[MT][NT][4], int warp, int wk) {
    float* part = reinterpret_cast<float*>(stages) + warp * (WK - 1) * WM * WN;
    constexpr int n = MT * NT * 4;
    __syncthreads();
    if (wk > 0)
#pragma unroll
      for (int i = 0; i < n; i++) part[(wk - 1) * WM * WN + i * 32 + lane_id()] = sum[i / (NT * 4)][i / 4 % NT][i % 4];
    __syncthreads();
    if (wk == 0)
      for (int w = 0; w < WK - 1; w++)
#pragma unroll
        for (int i = 0; i < n; i++) sum[i / (NT * 4)][i / 4 % NT][i % 4] += part[w * WM * WN + i * 32 + lane_id()];
  }
};

// run_smallest takes the smallest of the products that holds the rows of a tile.
template <class P> __device__ __forceinline__ void run_smallest(const Params& p, const Tile& tile) { P::run(p, tile); }
template <class P, class Q, class... Rest> __device__ __forceinline__ void run_smallest(const Params& p, const Tile& tile) {
  static_assert(P::kThreads == Q::kThreads && P::kRows > Q::kRows);
  if (tile.valid > Q::kRows) P::run(p, tile);
  else run_smallest<Q, Rest...>(p, tile);
}
template <class P, class... Smaller> __device__ __forceinline__ void run(const Params& p) {
  begin();
  Tile tile;
  if (find_tile(p, P::kRows, P::kColumns, tile)) run_smallest<P, Smaller...>(p, tile);
}

#define KERNELS(name, T)                                                                                                         \
  extern "C" __global__ void __launch_bounds__(128) grouped_matmul_##name##_s(const __grid_constant__ Params p) {                \
    run<Product<T, 16, 32, 16, 32, 4, 64, 7>>(p);                                                                                \
  }                                                                                                                              \
  extern "C" __global__ void __launch_bounds__(128) grouped_matmul_##name##_m(const __grid_constant__ Params p) {                \
    run<Product<T, 64, 128, 32, 64, 1, 64, 4>, Product<T, 32, 128, 32, 32, 1, 64, 4>>(p);                                        \
  }                                                                                                                              \
  extern "C" __global__ void __launch_bounds__(256) grouped_matmul_##name##_l(const __grid_constant__ Params p) {                \
    run<Product<T, 128, 256, 64, 64, 1, 32, 4>, Product<T, 64, 256, 32, 64, 1, 32, 4>, Product<T, 32, 256, 32, 32, 1, 32, 4>>(p);\
  }
KERNELS(bf16, bf16)
KERNELS(f16, f16)
#undef KERNELS
}  // namespace grouped_matmul
