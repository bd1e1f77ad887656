// Quantize: block-scaled FP8. For each block of rowsOfBlock×colsOfBlock numbers
//
//   scale = max|x|/448 over the finite x (1 if that is 0),   code = e4m3(x/scale), saturating at ±448
//
// An infinity becomes ±448, a NaN stays one; neither changes the scale.
//
// Shapes   x (S,M,D) f32, f64, bf16, f16 → codes (S,M,D) e4m3, scales (S,⌈M/rowsOfBlock⌉,⌈D/colsOfBlock⌉) f32.
// Moves    S·M·D·(size + 1) bytes and the scales; quantize_<dtype> reads twice, the second time from cache.
// Grid     quantize_<dtype>_rows, for 1×128 blocks, D a multiple of 128: 8 threads have a block, 16 numbers each,
//          ⌈S·M·D/2048⌉ blocks of 128 threads.
//          quantize_<dtype>_tiles, for 128×128 blocks, D·size a multiple of 16: a block of 256 threads for each block of the
//          matrix, which stays in registers between maximum and codes. Both need pointers aligned to 16 bytes; not for f64.
//          quantize_<dtype>, for all others: a block of 256 threads for each block of the matrix.
// Bound    memory bandwidth.
// Measured on an H100 SXM (copy of 1 GiB: 3026 GB/s), captured graph, bf16: T = 4096, 1×128: 10.3 µs at H = 2048, 19.1 at 4096,
//          31.8 at 7168: 82/88/93%, a copy of as many bytes as the first 10.6; 128×128: 11.9/19.6/32.7 µs. T = 1, 1×128: 1.2 µs.
#include "common.cuh"
namespace quantize {

struct Params {
  u8* codes; float* scales; const void* x;
  i64 matrices, height, width, rowsOfBlock, colsOfBlock;
};

constexpr int kRowThreads = 128;

__device__ __forceinline__ float greatest(float) { return __int_as_float(0x7f7fffff); }
__device__ __forceinline__ double greatest(double) { return __longlong_as_double(0x7fefffffffffffffll); }

template <class A> __device__ __forceinline__ A largest(A m, A x) {
  x = x < 0 ? -x : x;
  return x > m && x <= greatest(x) ? x : m;
}
// larger gives the larger of two pairs of magnitudes each; of a NaN and a number the number.
template <class T> __device__ __forceinline__ u32 larger(u32 a, u32 b) {
  u32 y;
  if constexpr (Traits<T>::code == kBF16) asm("max.bf16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
  else asm("max.f16x2 %0, %1, %2;" : "=r"(y) : "r"(a), "r"(b));
  return y;
}
template <class A> __device__ __forceinline__ float scale_of(A largest) {
  const A scale = largest / A(448);
  return scale == 0 || float(scale) == 0 ? 1.0f : scale > A(greatest(0.0f)) ? greatest(0.0f) : float(scale);
}

// Quotient divides by one scale, rounding as a division does. In most blocks a product with the reciprocal and one correction,
// whose remainder is exact, are that; not for infinities and tiny scales.
struct Quotient {
  float scale, reciprocal;
  bool corrected;
  __device__ Quotient(float scale, bool infinite)
      : scale(scale), reciprocal(1 / scale), corrected(!infinite && scale >= 0x1p-80f) {}
  template <bool kCorrected> __device__ __forceinline__ float of(float x) const {
    if constexpr (!kCorrected) return x / scale;
    const float q = x * reciprocal, remainder = fmaf(q, scale, -x);  // of this sign, so that −0 stays −0
    return fmaf(remainder, -reciprocal, q);
  }
};

// codes_of gives the codes of the numbers of P packs.
template <bool kCorrected, class T, int P>
__device__ __forceinline__ void codes_of(u32 (&code)[P * kPack<T> / 4], const Pack<T, kPack<T>> (&v)[P], const Quotient& q) {
  constexpr int N = kPack<T>;
#pragma unroll
  for (int i = 0; i < P * N / 4; i++) {
    const T* x = v[4 * i / N].v + 4 * i % N;
    code[i] = to_e4m3x2(q.of<kCorrected>(widen(x[0])), q.of<kCorrected>(widen(x[1]))) |
              u32(to_e4m3x2(q.of<kCorrected>(widen(x[2])), q.of<kCorrected>(widen(x[3])))) << 16;
  }
}
template <class T, int P>
__device__ __forceinline__ void store_codes(u8* dst, const Pack<T, kPack<T>> (&v)[P], const Quotient& q) {
  Pack<u32, P * kPack<T> / 4> code;
  if (q.corrected) codes_of<true>(code.v, v, q);
  else codes_of<false>(code.v, v, q);
  code.store(reinterpret_cast<u32*>(dst));
}

// Largest is the largest finite magnitude, and whether there is an infinity.
struct Largest {
  float finite = 0;
  bool infinite = false;

  template <class T, int P> __device__ __forceinline__ void add(const Pack<T, kPack<T>> (&v)[P]) {
    if constexpr (sizeof(T) == 2) {  // two at a time; only an infinity needs the numbers one by one
      u32 two = 0;
#pragma unroll
      for (int i = 0; i < 4 * P; i++) two = larger<T>(two, reinterpret_cast<const u32*>(v)[i] & 0x7fff7fffu);
      const float top = fmaxf(widen(T{u16(two)}), widen(T{u16(two >> 16)}));
      if (top <= greatest(top)) {
        finite = fmaxf(finite, top);
        return;
      }
    }
#pragma unroll
    for (int i = 0; i < P * kPack<T>; i++) {
      const float x = widen(v[i / kPack<T>].v[i % kPack<T>]);
      finite = largest(finite, x), infinite |= fabsf(x) > greatest(x);
    }
  }
};

template <class T> __device__ void by_rows(const Params& p) {
  constexpr int N = kPack<T>, kPacks = 16 / N, kLanes = 8;
  const i64 blocks = p.matrices * p.height * (p.width / 128);
  const i64 block = i64(blockIdx.x) * (kRowThreads / kLanes) + threadIdx.x / kLanes;
  const i64 at = block * 128 + threadIdx.x % kLanes * 16;
  Pack<T, N> v[kPacks];
  Largest m;
  if (block < blocks) {
#pragma unroll
    for (int i = 0; i < kPacks; i++) v[i] = Pack<T, N>::load(static_cast<const T*>(p.x) + at + i * N);
    m.add<T>(v);
  }
#pragma unroll
  for (int d = kLanes / 2; d > 0; d /= 2) m.finite = fmaxf(m.finite, __shfl_xor_sync(~0u, m.finite, d));
  if (block >= blocks) return;
  const Quotient q(scale_of(m.finite), m.infinite);
  if (threadIdx.x % kLanes == 0) p.scales[block] = q.scale;
  store_codes<T>(p.codes + at, v, q);
}

template <class T> __device__ void by_tiles(const Params& p) {
  constexpr int N = kPack<T>, kLanes = 128 / N, kRows = 256 / kLanes, kPasses = 128 / kRows;
  const i64 down = ceil_div(p.height, 128), across = ceil_div(p.width, 128);
  const i64 block = blockIdx.x, matrix = block / across / down, top = block / across % down * 128;
  const i64 column = block % across * 128 + threadIdx.x % kLanes * N;
  const i64 base = (matrix * p.height + top) * p.width + column;
  const int row = threadIdx.x / kLanes;
  const i64 rows = column < p.width ? p.height - top : 0;
  Pack<T, N> v[kPasses][1];
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows) v[i][0] = Pack<T, N>::load(static_cast<const T*>(p.x) + base + (row + i * kRows) * p.width);
  Largest m;
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows) m.add<T>(v[i]);
  __shared__ float part[8];
  m.finite = warp_max(m.finite);
  if (lane_id() == 0) part[warp_id()] = m.finite;
  __syncthreads();
  const Quotient q(scale_of(warp_max(part[lane_id() & 7])), m.infinite);
  if (threadIdx.x == 0) p.scales[block] = q.scale;
#pragma unroll
  for (int i = 0; i < kPasses; i++)
    if (row + i * kRows < rows) store_codes<T>(p.codes + base + (row + i * kRows) * p.width, v[i], q);
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
  extern "C" __global__ void __launch_bounds__(kRowThreads) quantize_##name##_rows(const __grid_constant__ Params p) {  \
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
