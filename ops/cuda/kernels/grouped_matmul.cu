// GroupedMatMul and Linear on tensor cores: out[r] = x[r] · w[e]ᵀ, zero for padding rows; see matmul.cuh.
//
// Shapes   x (R,D), w (E,N,D) or a stack of blocks, both bf16 or both f16, D a multiple of 8 and all pointers to x and w
//          aligned to 16 bytes; out (R,N) of any float dtype. Products of 16 bits are exact, sums run in float32.
// Moves    E'·N·D·2 bytes of weights (E' experts with rows) and R·(D + N)·2; tiles read rows again from the L2.
// Grid     ⌈N/BN⌉·(⌊R/BM⌋ + min(E,R) + 1) blocks; for a linear layer ⌈N/BN⌉·⌈R/BM⌉. Blocks without a tile end at once.
//
//          variant  BM   BN   threads  dynamic shared memory  for
//          s        16   32   128      43008+384              up to 16 rows an expert: the weights' bandwidth
//          m        64   128  128      98304+1536             up to 64 rows an expert
//          l        128  128  128      98304+2048             more
//
// A block keeps several tiles of 64 columns of D on the way into shared memory (cp.async); rows of 128 bytes are swizzled in
// units of 16 so that ldmatrix has no bank conflicts. A warp holds its part of the result in registers. The warps of variant
// s share out the steps of D instead and add their results up in a fixed order. A tile of few rows of m or l runs as one of 64
// or 32.
// Bound    tensor cores by mma.sync for many rows; memory bandwidth of the weights for few.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: 8 experts, D = 4096, N = 28672 / D = 14336, N = 4096. 8192
//          rows, l: 5.63/2.84 ms, 342/338 TFLOP/s; dense 8192³: 377. 32 rows, s: 657/347 µs, 2.9/2.7 TB/s of weights; 256 rows,
//          m: 696/370 µs. (cuBLAS, whose wgmma is not portable, has 790 for 8192³.)
// Faults   offsets and counts that contradict each other: the expert has no rows.
#include "matmul.cuh"
#include "tensorcore.cuh"
namespace grouped_matmul {
using namespace matmul;
using namespace tensorcore;

constexpr int kDepth = 64;  // columns of D in a stage: 128 bytes a row

extern __shared__ __align__(1024) u8 stages[];

// BM×BN of a block, WM×WN of a warp, WK warps share the steps of D.
template <class T, int BM, int BN, int WM, int WN, int WK, int kStages> struct Product {
  static constexpr int kRows = BM, kColumns = BN;
  static constexpr int kWarps = BM / WM * (BN / WN) * WK, kThreads = 32 * kWarps;
  static constexpr int kStage = (BM + BN) * kDepth * 2, kSteps = kDepth / 16 / WK;
  static constexpr int kCopies = (BM + BN) * 8 / kThreads, kRowsACopy = kThreads / 8;
  static constexpr int MT = WM / 16, NT = WN / 8;
  static_assert(BM % kRowsACopy == 0 && NT % 2 == 0 && (kSteps == 1 || kSteps % 2 == 0));

  // run computes the first BM rows of a tile; the others must be padding and get zeros.
  __device__ static void run(const Params& p, const Tile& tile) {
    const int warp = warp_id() / WK, wk = warp_id() % WK;
    const int wm = warp % (BM / WM) * WM, wn = warp / (BM / WM) * WN;
    float sum[MT][NT][4] = {};
    if (tile.valid > 0) accumulate(p, tile, wm, wn, wk, sum);
    if constexpr (WK > 1) add_up(sum, warp, wk);
    if (wk == 0) store(p, tile, wm, wn, sum);
    for (int i = threadIdx.x; i < (tile.count - BM) * (BN / 2); i += kThreads)
      store_pair(p, tile.row + BM + i / (BN / 2), tile.column + i % (BN / 2) * 2, 0.0f, 0.0f);
  }

  // Rows that do not exist repeat the last one: what comes of them is not stored.
  __device__ static void accumulate(const Params& p, const Tile& tile, int wm, int wn, int wk, float (&sum)[MT][NT][4]) {
    const u8** source = reinterpret_cast<const u8**>(stages + kStages * kStage);
    for (int i = threadIdx.x; i < BM + BN; i += kThreads)
      source[i] = i < BM ? static_cast<const u8*>(p.x) + (tile.row + min(i, tile.valid - 1)) * p.depth * 2
                         : static_cast<const u8*>(weight_row(p, tile.expert, min(tile.column + i - BM, p.width - 1), 2));
    __syncthreads();

    const int depths = int(ceil_div(p.depth, kDepth)), chunk = threadIdx.x % 8, firstRow = threadIdx.x / 8;
    const u32 base = shared_address(stages), to = base + firstRow * 128 + ((chunk ^ (firstRow & 7)) << 4);
    auto fetch = [&](int depth, int slot, int first, int last) {
      if (depth >= depths) return;
      const i64 column = i64(depth) * kDepth + chunk * 8;
      const int bytes = column < p.depth ? 16 : 0;
      const i64 offset = bytes > 0 ? column * 2 : 0;
#pragma unroll
      for (int i = 0; i < kCopies; i++)
        if (i >= first && i < last) copy_async(to + slot * kStage + i * kRowsACopy * 128, source[firstRow + i * kRowsACopy] + offset, bytes);
    };

    // The addresses of a lane for ldmatrix; bits 4…6 are swizzled by its row.
    const int lane = lane_id(), swizzle = (lane & 7) << 4;
    const u32 rowA = base + (wm + lane % 16) * 128, halfA = lane / 16 * 16;
    const u32 rowB = base + BM * 128 + (wn + (lane & 7) + lane / 16 * 8) * 128, halfB = (lane >> 3 & 1) * 16;
    u32 a[2][MT][4], b[2][NT / 2][4];
    auto load = [&](int slot, int step, int to) {
      const u32 stage = slot * kStage, at = (step * WK + wk) * 32;
#pragma unroll
      for (int i = 0; i < MT; i++) load_matrices(a[to][i], stage + rowA + i * 16 * 128 + ((at + halfA) ^ swizzle));
#pragma unroll
      for (int j = 0; j < NT / 2; j++) load_matrices(b[to][j], stage + rowB + j * 16 * 128 + ((at + halfB) ^ swizzle));
    };

#pragma unroll
    for (int s = 0; s < kStages - 1; s++) fetch(s, s, 0, kCopies), commit();
    wait<kStages - 2>();
    __syncthreads();
    load(0, 0, 0);
    // In the steps of a stage the copies into the slot of the stage before are issued; in the last one the first operands of
    // the next stage are loaded, so that the tensor cores do not wait between stages.
    int slot = 0, free = kStages - 1;
    constexpr int kIssuing = kSteps > 1 ? kSteps - 1 : 1;
    for (int depth = 0; depth < depths; depth++) {
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        if (step < kIssuing) fetch(depth + kStages - 1, free, step * kCopies / kIssuing, (step + 1) * kCopies / kIssuing);
        if (step == kIssuing - 1) commit();
        if (step == kSteps - 1) {
          wait<kStages - 2>();
          __syncthreads();
          free = slot;
          slot = slot + 1 == kStages ? 0 : slot + 1;
          if constexpr (kSteps > 1) load(slot, 0, (step + 1) & 1);
        } else {
          load(slot, step + 1, (step + 1) & 1);
        }
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

  __device__ static void store(const Params& p, const Tile& tile, int wm, int wn, const float (&sum)[MT][NT][4]) {
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int r = wm + i * 16 + half * 8 + lane_id() / 4;
        if (r >= tile.count) break;
        const bool valid = r < tile.valid;
#pragma unroll
        for (int j = 0; j < NT; j++)
          store_pair(p, tile.row + r, tile.column + wn + j * 8 + lane_id() % 4 * 2, valid ? sum[i][j][half * 2] : 0.0f,
                     valid ? sum[i][j][half * 2 + 1] : 0.0f);
      }
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

#define KERNELS(name, T)                                                                                                             \
  extern "C" __global__ void __launch_bounds__(128) grouped_matmul_##name##_s(const __grid_constant__ Params p) {                    \
    run<Product<T, 16, 32, 16, 32, 4, 7>>(p);                                                                                        \
  }                                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(128) grouped_matmul_##name##_m(const __grid_constant__ Params p) {                    \
    run<Product<T, 64, 128, 32, 64, 1, 4>, Product<T, 32, 128, 32, 32, 1, 4>>(p);                                                    \
  }                                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(128) grouped_matmul_##name##_l(const __grid_constant__ Params p) {                    \
    run<Product<T, 128, 128, 64, 64, 1, 3>, Product<T, 64, 128, 32, 64, 1, 4>, Product<T, 32, 128, 32, 32, 1, 4>>(p);                \
  }
KERNELS(bf16, bf16)
KERNELS(f16, f16)
#undef KERNELS
}  // namespace grouped_matmul
