// GroupedMatMul and Linear without tensor cores: out[r] = x[r] · w[e]ᵀ, zero for padding rows; see matmul.cuh.
//
// Shapes   x (R,D), w (E,N,D) or a stack of blocks, out (R,N). grouped_matmul_f32 and _f64 take one dtype for x and w;
//          grouped_matmul_any_f32 and _any_f64 take x and w of f32, f64, bf16, f16 or e4m3 with scales in any mixture. The last
//          part of the name is the dtype of products and sums; out is of any float dtype. Any D, any alignment.
// Moves    as grouped_matmul.cu.
// Grid     blocks as grouped_matmul.cu, of 256 threads. Tiles: 128×128 (f64: 64×64), a thread has 8×8 (4×4) results and D goes
//          through shared memory in steps of 16. …_rows: 8×8 for up to 8 rows an expert; a warp has one column of the result and
//          its threads share out D, four numbers each at a time.
// Bound    float32 or float64 arithmetic; _rows: memory bandwidth of the weights.
// Measured on an H100 SXM: f32, dense 4096³: 40.9 TFLOP/s of about 60.
// Faults   as grouped_matmul.cu.
#include "matmul.cuh"
namespace grouped_matmul_any {
using namespace matmul;

// Row reads the numbers of one row of an operand.
template <class T> struct DenseRow {
  const T* p;
  __device__ static DenseRow of_x(const Params& p, i64 r) { return {static_cast<const T*>(p.x) + r * p.depth}; }
  __device__ static DenseRow of_w(const Params& p, i64 e, i64 n) { return {static_cast<const T*>(weight_row(p, e, n, sizeof(T)))}; }
  // get reads N numbers from k on, kStep apart, 0 behind the last of the row.
  template <int kStep, class A, int N> __device__ __forceinline__ void get(i64 k, i64 depth, A (&out)[N]) const {
    constexpr int P = kPack<T>;
    if constexpr (kStep == 1 && N % P == 0) {
      if (k + N <= depth && aligned16(bits_of(p + k))) {
#pragma unroll
        for (int i = 0; i < N; i += P) {
          const Pack<T, P> x = Pack<T, P>::load(p + k + i);
#pragma unroll
          for (int j = 0; j < P; j++) out[i + j] = widen(x.v[j]);
        }
        return;
      }
    }
#pragma unroll
    for (int i = 0; i < N; i++) out[i] = k + i * kStep < depth ? A(widen(p[k + i * kStep])) : A(0);
  }
};
// AnyRow is a row of any dtype, which get asks for once, not for each number.
struct AnyRow {
  const void* p;
  i64 dtype, cols;
  const float* scales;
  __device__ static AnyRow of_x(const Params& p, i64 r) {
    return {static_cast<const u8*>(p.x) + r * p.depth * size_of(p.xDtype), p.xDtype, p.xBlockCols,
            p.xScales == nullptr ? nullptr : p.xScales + r / p.xBlockRows * ceil_div(p.depth, p.xBlockCols)};
  }
  __device__ static AnyRow of_w(const Params& p, i64 e, i64 n) {
    return {weight_row(p, e, n, size_of(p.wDtype)), p.wDtype, p.wBlockCols,
            p.wScales == nullptr ? nullptr
                                 : p.wScales + (e * ceil_div(p.width, p.wBlockRows) + n / p.wBlockRows) * ceil_div(p.depth, p.wBlockCols)};
  }
  template <int kStep, class A, int N> __device__ __forceinline__ void get(i64 k, i64 depth, A (&out)[N]) const {
    switch (dtype) {
      case kF32: DenseRow<float>{static_cast<const float*>(p)}.get<kStep>(k, depth, out); break;
      case kF64: DenseRow<double>{static_cast<const double*>(p)}.get<kStep>(k, depth, out); break;
      case kBF16: DenseRow<bf16>{static_cast<const bf16*>(p)}.get<kStep>(k, depth, out); break;
      case kF16: DenseRow<f16>{static_cast<const f16*>(p)}.get<kStep>(k, depth, out); break;
      default: DenseRow<e4m3>{static_cast<const e4m3*>(p)}.get<kStep>(k, depth, out); break;
    }
    if (scales == nullptr) return;
#pragma unroll
    for (int i = 0; i < N; i++)
      if (k + i * kStep < depth) out[i] *= A(scales[(k + i * kStep) / cols]);
  }
};

template <class A, class Row> struct Tiled {
  static constexpr int kSide = sizeof(A) == 8 ? 64 : 128, kMine = kSide / 16, kDepth = 16;
  static constexpr int kLoads = kSide * kDepth / 256, kPad = 16 / sizeof(A);

  __device__ static void run(const Params& p) {
    __shared__ __align__(16) A x[2][kDepth][kSide + kPad];
    __shared__ __align__(16) A w[2][kDepth][kSide + kPad];
    Tile tile;
    if (!find_tile(p, kSide, kSide, tile)) return;
    A sum[kMine][kMine] = {};
    const int r = threadIdx.x / (kDepth / kLoads), first = threadIdx.x % (kDepth / kLoads) * kLoads;
    // A thread has the rows m …, the columns n … and those half a tile further: neighbours read neighbouring 16 bytes.
    constexpr int kHalf = kMine / 2;
    const int m = threadIdx.x / 16 * kHalf, n = threadIdx.x % 16 * kHalf;
    auto place = [](int first, int i) { return first + i % kHalf + i / kHalf * (kSide / 2); };
    if (tile.valid > 0) {
      const Row rowX = Row::of_x(p, tile.row + min(r, tile.valid - 1));
      const Row rowW = Row::of_w(p, tile.expert, min(tile.column + r, p.width - 1));
      A nextX[kLoads], nextW[kLoads];
      auto load = [&](i64 depth) {
        rowX.template get<1>(depth + first, p.depth, nextX);
        rowW.template get<1>(depth + first, p.depth, nextW);
      };
      auto put = [&](int to) {
#pragma unroll
        for (int i = 0; i < kLoads; i++) x[to][first + i][r] = nextX[i], w[to][first + i][r] = nextW[i];
      };
      if (p.depth > 0) load(0), put(0);
      __syncthreads();
      int now = 0;
      for (i64 depth = 0; depth < p.depth; depth += kDepth, now ^= 1) {
        const bool more = depth + kDepth < p.depth;
        if (more) load(depth + kDepth);
#pragma unroll
        for (int k = 0; k < kDepth; k++) {
          A a[kMine], b[kMine];
#pragma unroll
          for (int i = 0; i < kMine; i++) a[i] = x[now][k][place(m, i)], b[i] = w[now][k][place(n, i)];
#pragma unroll
          for (int i = 0; i < kMine; i++)
#pragma unroll
            for (int j = 0; j < kMine; j++) sum[i][j] += a[i] * b[j];
        }
        if (more) put(now ^ 1);
        __syncthreads();
      }
    }
#pragma unroll
    for (int i = 0; i < kMine; i++) {
      const int r = place(m, i);
      if (r >= tile.count) continue;
      const bool valid = r < tile.valid;
#pragma unroll
      for (int j = 0; j < kMine; j += 2)
        store_pair(p, tile.row + r, tile.column + place(n, j), valid ? sum[i][j] : A(0), valid ? sum[i][j + 1] : A(0));
    }
  }
};

template <class A, class Row> struct ByRows {
  static constexpr int kSide = 8, kAtOnce = 4;

  __device__ static void run(const Params& p) {
    Tile tile;
    if (!find_tile(p, kSide, kSide, tile)) return;
    const i64 column = tile.column + warp_id();
    if (column >= p.width) return;
    A sum[kSide] = {};
    if (tile.valid > 0) {
      const Row w = Row::of_w(p, tile.expert, column);
      for (i64 k = lane_id(); k < p.depth; k += 32 * kAtOnce) {
        A b[kAtOnce];
        w.template get<32>(k, p.depth, b);
#pragma unroll
        for (int i = 0; i < kSide; i++) {
          if (i >= tile.valid) break;
          A a[kAtOnce];
          Row::of_x(p, tile.row + i).template get<32>(k, p.depth, a);
#pragma unroll
          for (int j = 0; j < kAtOnce; j++) sum[i] += a[j] * b[j];
        }
      }
    }
#pragma unroll
    for (int i = 0; i < kSide; i++) {
      sum[i] = warp_sum(sum[i]);
      if (lane_id() == 0 && i < tile.count) store_any<A>(p.out, p.outDtype, (tile.row + i) * p.width + column, sum[i]);
    }
  }
};

#define KERNEL(name, A, Row)                                                                                         \
  extern "C" __global__ void __launch_bounds__(256) grouped_matmul_##name(const __grid_constant__ Params p) {        \
    begin();                                                                                                         \
    Tiled<A, Row>::run(p);                                                                                           \
  }                                                                                                                  \
  extern "C" __global__ void __launch_bounds__(256) grouped_matmul_##name##_rows(const __grid_constant__ Params p) { \
    begin();                                                                                                         \
    ByRows<A, Row>::run(p);                                                                                          \
  }
KERNEL(f32, float, DenseRow<float>)
KERNEL(f64, double, DenseRow<double>)
KERNEL(any_f32, float, AnyRow)
KERNEL(any_f64, double, AnyRow)
#undef KERNEL
}  // namespace grouped_matmul_any
