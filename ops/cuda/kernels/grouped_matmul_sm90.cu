// GroupedMatMul and Linear on the tensor cores of compute 9.0: out[r] = x[r] · w[e]ᵀ, zero for padding rows; see matmul.cuh.
//
// Shapes   x (R,D), w (E,N,D) or a stack of blocks, both bf16 or both f16, D a multiple of 8 and all pointers to x and w
//          aligned to 16 bytes; out (R,N) of any float dtype. Products of 16 bits are exact, sums run in float32.
// Moves    as grouped_matmul.cu.
// Grid     ⌈N/256⌉·(⌊R/128⌋ + min(E,R) + 1) blocks of 256 threads, 196608 bytes of dynamic shared memory; for a linear layer
//          ⌈N/256⌉·⌈R/128⌉. Blocks without a tile end at once. Two warpgroups have 64×256 of a tile each.
// Bound    tensor cores by wgmma: cuBLAS reaches 777 TFLOP/s with one matrix at the card's limit of power.
// Measured as grouped_matmul.cu. 8192 rows with random routing: 3.08/1.45 ms, 624/663 TFLOP/s, 80/85% of the bound, 697 with
//          1024 rows for each expert; 2048 rows: 471/457. 1024 rows: 664 µs, 2.8 TB/s of weights. Dense 8192³: 604 to 654.
// Tried    in docs/notes/cuda-grouped-matmul.md.
// Faults   as grouped_matmul.cu.
#include "matmul.cuh"
#include "tensorcore.cuh"
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
namespace grouped_matmul_sm90 {
using namespace matmul;
using namespace tensorcore;

extern __shared__ __align__(1024) u8 stages[];

// multiply_async adds the product of a (64×16) and b (256×16)ᵀ in shared memory to sum (64×256) of a warpgroup.
#define SUM4(j) "+f"(sum[j][0]), "+f"(sum[j][1]), "+f"(sum[j][2]), "+f"(sum[j][3])
#define SUM16(j) SUM4(j), SUM4(j + 1), SUM4(j + 2), SUM4(j + 3)
#define SUM64(j) SUM16(j), SUM16(j + 4), SUM16(j + 8), SUM16(j + 12)
#define MULTIPLY_ASYNC(type)                                                                                    \
  asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0;\n"                                                          \
               "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type " {"                                \
               "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                         \
               "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "               \
               "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "               \
               "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "               \
               "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "               \
               "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "               \
               "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "   \
               "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127" \
               "}, %128, %129, p, 1, 1, 0, 0;}"                                                                 \
               : SUM64(0), SUM64(16) : "l"(a), "l"(b))
template <class T> __device__ __forceinline__ void multiply_async(float (&sum)[32][4], u64 a, u64 b) {
  if constexpr (Traits<T>::code == kBF16) MULTIPLY_ASYNC("bf16");
  else MULTIPLY_ASYNC("f16");
}
#undef MULTIPLY_ASYNC
#undef SUM64
#undef SUM16
#undef SUM4

template <class T> struct Product {
  static constexpr int BM = 128, BN = 256, kThreads = 256, kDepth = 64, kStages = 4;
  static constexpr int kRow = kDepth * 2, kStage = (BM + BN) * kRow, kAhead = kStages - 2;
  static constexpr int kChunks = kRow / 16, kRowsACopy = kThreads / kChunks, kCopies = (BM + BN) / kRowsACopy;

  // descriptor describes rows of 128 bytes to wgmma, from an address on, which are swizzled in groups of eight.
  __device__ __forceinline__ static u64 descriptor(u32 address) {
    return u64(address / 16 & 0x3fff) | u64(1) << 16 | u64(8 * kRow / 16) << 32 | u64(1) << 62;
  }

  __device__ static void run(const Params& p) {
    begin();
    Tile tile;
    if (!find_tile(p, BM, BN, tile)) return;
    float sum[1][32][4] = {};
    if (tile.valid > 0) accumulate(p, tile, sum[0]);
    store_fragments(p, tile, warp_id() * 16, 0, sum);
  }

  // A warpgroup has 64 rows of the tile; if there are none for the second one, it only copies. Rows that do not exist repeat the
  // last one: what comes of them is not stored.
  __device__ static void accumulate(const Params& p, const Tile& tile, float (&sum)[32][4]) {
    const int chunk = threadIdx.x % kChunks, firstRow = threadIdx.x / kChunks, height = tile.valid > 64 ? 128 : 64;
    const u8* source[kCopies];
#pragma unroll
    for (int i = 0; i < kCopies; i++) {
      const int r = firstRow + i * kRowsACopy;
      source[i] = r < BM ? static_cast<const u8*>(p.x) + (tile.row + min(r, tile.valid - 1)) * p.depth * 2
                         : static_cast<const u8*>(weight_row(p, tile.expert, min(tile.column + r - BM, p.width - 1), 2));
    }
    const int depths = int(ceil_div(p.depth, kDepth));
    const u32 base = shared_address(stages), to = base + firstRow * kRow + (chunk ^ firstRow % 8) * 16;
    auto fetch = [&](int depth, int slot) {
      if (depth >= depths) return;
      const i64 column = i64(depth) * kDepth + chunk * 8;
      const int bytes = column < p.depth ? 16 : 0;
      const i64 offset = bytes > 0 ? column * 2 : 0;
#pragma unroll
      for (int i = 0; i < kCopies; i++)
        if (i * kRowsACopy < height || i * kRowsACopy >= BM)
          stream_async(to + slot * kStage + i * kRowsACopy * kRow, source[i] + offset, bytes);
    };

    // While a stage is multiplied, the next one is queued behind it and others are on their way: kAhead in all. A slot is free
    // again when both warpgroups have waited for its product, which they have at the barrier one stage later.
    const int group = __shfl_sync(~0u, threadIdx.x / 128, 0);
    const u64 a = descriptor(base + group * 64 * kRow), b = descriptor(base + BM * kRow);
#pragma unroll
    for (int s = 0; s < kAhead; s++) fetch(s, s), commit();
    int slot = 0, free = kAhead;
    for (int depth = 0; depth < depths; depth++) {
      wait<kAhead - 1>();
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      __syncthreads();
      if (group * 64 < height) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int step = 0; step < kDepth / 16; step++) {
          const u64 at = slot * (kStage / 16) + step * 2;
          multiply_async<T>(sum, a + at, b + at);
        }
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
      }
      fetch(depth + kAhead, free);
      commit();
      asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
      slot = slot + 1 == kStages ? 0 : slot + 1;
      free = free + 1 == kStages ? 0 : free + 1;
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    asm volatile("cp.async.wait_all;");
  }
};

#define KERNEL(name, T)                                                                                               \
  extern "C" __global__ void __launch_bounds__(256) grouped_matmul_##name##_sm90(const __grid_constant__ Params p) {  \
    Product<T>::run(p);                                                                                               \
  }
KERNEL(bf16, bf16)
KERNEL(f16, f16)
#undef KERNEL
}  // namespace grouped_matmul_sm90
#endif
