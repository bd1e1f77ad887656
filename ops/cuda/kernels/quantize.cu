// Quantize: block-scaled FP8. For each block of rowsOfBlock×colsOfBlock numbers
//
//   scale = max|x|/448 over the finite x (1 if that is 0),   code = e4m3(x/scale), saturating at ±448
//
// An infinity becomes ±448, a NaN stays one; neither changes the scale.
//
// Shapes   x (S,M,D) f32, f64, bf16, f16 → codes (S,M,D) e4m3, scales (S,⌈M/rowsOfBlock⌉,⌈D/colsOfBlock⌉) f32.
// Moves    S·M·D·(size + 1) bytes and the scales; quantize_<dtype> reads twice, the second time from cache.
// Grid     quantize_<dtype>_rows, for 1×128 blocks, D a multiple of 128: 128·size/16 threads have a block, two blocks at a time,
//          ⌈S·M·D/128/G⌉ blocks of 256 threads with G = 2·256·16/(128·size) blocks of the matrix.
//          quantize_<dtype>_tiles, for 128×128 blocks, D·size a multiple of 16: a block of 256 threads for each block of the
//          matrix, which stays in registers between maximum and codes. Both need pointers aligned to 16 bytes; not for f64.
//          quantize_<dtype>, for all others: a block of 256 threads for each block of the matrix.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy: 2415 GB/s), captured graph, bf16: T = 4096, 1×128: 11.3 µs at H = 2048, 19.9 at 4096, 32.7 at
//          7168: 93/106/113%. 128×128: 58/67/74%.
#include "common.cuh"
namespace quantize {

struct Params {
  u8* codes; float* scales; const void* x;
  i64 matrices, height, width, rowsOfBlock, colsOfBlock;
};

__device__ __forceinline__ float greatest(float) { return __int_as_float(0x7f7fffff); }
__device__ __forceinline__ double greatest(double) { return __longlong_as_double(0x7fefffffffffffffll); }

template <class A> __device__ __forceinline__ A largest(A m, A x) {
  x = x < 0 ? -x : x;
  return x > m && x <= greatest(x) ? x : m;
}
template <class A> __device__ __forceinline__ float scale_of(A largest) {
  const A scale = largest / A(448);
  return scale == 0 || float(scale) == 0 ? 1.0f : scale > A(greatest(0.0f)) ? greatest(0.0f) : float(scale);
}

template <class T> __device__ __forceinline__ void store_codes(u8* dst, const Pack<T, kPack<T>>& v, float scale) {
  constexpr int N = kPack<T>;
  u32 code[N / 4];
#pragma unroll
  for (int j = 0; j < N / 4; j++)
    code[j] = to_e4m3x2(widen(v.v[4 * j]) / scale, widen(v.v[4 * j + 1]) / scale) |
              u32(to_e4m3x2(widen(v.v[4 * j + 2]) / scale, widen(v.v[4 * j + 3]) / scale)) << 16;
  if constexpr (N == 8) *reinterpret_cast<uint2*>(dst) = make_uint2(code[0], code[1]);
  else *reinterpret_cast<u32*>(dst) = code[0];
}

template <class T> __device__ void by_rows(const Params& p) {
  constexpr int N = kPack<T>, kLanes = 128 / N, kBlocks = 256 / kLanes;
  const i64 blocks = p.matrices * p.height * (p.width / 128);
  const i64 first = i64(blockIdx.x) * 2 * kBlocks + threadIdx.x / kLanes;
  const int at = threadIdx.x % kLanes * N;
  const T* x = static_cast<const T*>(p.x);
  Pack<T, N> v[2];
#pragma unroll
  for (int u = 0; u < 2; u++)
    if (first + u * kBlocks < blocks) v[u] = Pack<T, N>::load(x + (first + u * kBlocks) * 128 + at);
#pragma unroll
  for (int u = 0; u < 2; u++) {
    const i64 block = first + u * kBlocks;
    float m = 0;
#pragma unroll
    for (int j = 0; j < N; j++) m = largest(m, widen(v[u].v[j]));
#pragma unroll
    for (int d = kLanes / 2; d > 0; d /= 2) m = fmaxf(m, __shfl_xor_sync(~0u, m, d));
    if (block >= blocks) continue;  // no shuffle among these lanes follows
    const float scale = scale_of(m);
    if (at == 0) p.scales[block] = scale;
    store_codes<T>(p.codes + block * 128 + at, v[u], scale);
  }
}

template <class T> __device__ void by_tiles(const Params& p) {
  constexpr int N = kPack<T>, kLanes = 128 / N, kRows = 256 / kLanes, kPasses = 128 / kRows;
  const i64 down = ceil_div(p.height, 128), across = ceil_div(p.width, 128);
  const i64 block = blockIdx.x, matrix = block / across / down, top = block / across % down * 128;
  const i64 column = block % across * 128 + threadIdx.x % kLanes * N;
  const i64 base = (matrix * p.height + top) * p.width + column;
  const int row = threadIdx.x / kLanes;
  const i64 rows = column < p.width ? p.height - top : 0;
  Pack<T, N> v[kPasses];
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows) v[i] = Pack<T, N>::load(static_cast<const T*>(p.x) + base + (row + i * kRows) * p.width);
  float m = 0;
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows)
#pragma unroll
      for (int j = 0; j < N; j++) m = largest(m, widen(v[i].v[j]));
  __shared__ float part[8];
  m = warp_max(m);
  if (lane_id() == 0) part[warp_id()] = m;
  __syncthreads();
  const float scale = scale_of(warp_max(part[lane_id() & 7]));
  if (threadIdx.x == 0) p.scales[block] = scale;
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows) store_codes<T>(p.codes + base + (row + i * kRows) * p.width, v[i], scale);
}

template <class T> __device__ void by_block(const Params& p) {
  using A = Acc<T>;
  __shared__ A part[8];
  const i64 down = ceil_div(p.height, p.rowsOfBlock), across = ceil_div(p.width, p.colsOfBlock);
  const i64 block = blockIdx.x, matrix = block / across / down, i = block / across % down, j = block % across;
  const i64 top = i * p.rowsOfBlock, rows = min(p.rowsOfBlock, p.height - top);
  const i64 left = j * p.colsOfBlock, cols = min(p.colsOfBlock, p.width - left);
  const i64 base = (matrix * p.height + top) * p.width + left;
  const T* x = static_cast<const T*>(p.x) + base;
  u8* codes = p.codes + base;
  // Threads walk over the block in the order of memory.
  auto each = [&](auto&& f) {
    if (cols <= 0x7fffffff && rows * cols <= 0x7fffffff) {
      for (u32 n = threadIdx.x; n < u32(rows * cols); n += blockDim.x) f(i64(n / u32(cols)) * p.width + n % u32(cols));
    } else {
      for (i64 n = threadIdx.x; n < rows * cols; n += blockDim.x) f(n / cols * p.width + n % cols);
    }
  };
  A m = 0;
  each([&](i64 at) { m = largest(m, A(widen(x[at]))); });
  m = warp_max(m);
  if (lane_id() == 0) part[warp_id()] = m;
  __syncthreads();
  const float scale = scale_of(warp_max(part[lane_id() & 7]));
  if (threadIdx.x == 0) p.scales[block] = scale;
  each([&](i64 at) { codes[at] = u8(to_e4m3x2(float(A(widen(x[at])) / A(scale)), 0)); });
}

#define KERNEL(name, T)                                                                                 \
  extern "C" __global__ void __launch_bounds__(256) quantize_##name(const __grid_constant__ Params p) { \
    begin();                                                                                            \
    by_block<T>(p);                                                                                     \
  }
FOR_FLOATS(KERNEL)
#undef KERNEL
#define KERNEL(name, T)                                                                                         \
  extern "C" __global__ void __launch_bounds__(256) quantize_##name##_rows(const __grid_constant__ Params p) {  \
    begin();                                                                                                    \
    by_rows<T>(p);                                                                                              \
  }                                                                                                             \
  extern "C" __global__ void __launch_bounds__(256) quantize_##name##_tiles(const __grid_constant__ Params p) { \
    begin();                                                                                                    \
    by_tiles<T>(p);                                                                                             \
  }
KERNEL(f32, float) KERNEL(bf16, bf16) KERNEL(f16, f16)
#undef KERNEL
}  // namespace quantize
