// What all kernels share: number formats, 16-byte packs, work units of a warp, the fault record.
//
// Every kernel takes one by-value struct of 8-byte words (pointers, i64, double). Tensors are contiguous; all index arithmetic
// that can pass 2³¹ is 64 bits wide. Nothing here needs a header of the toolkit.
#pragma once

using i32 = int;
using i64 = long long;
using u8 = unsigned char;
using u16 = unsigned short;
using i16 = short;
using u32 = unsigned int;
using u64 = unsigned long long;

struct bf16 { u16 bits; };
struct f16 { u16 bits; };
struct e4m3 { u8 bits; };

// The dtype codes in params.
enum Dtype : i64 { kF32 = 0, kF64 = 1, kBF16 = 2, kF16 = 3, kE4M3 = 4 };

#define FOR_FLOATS(X) X(f32, float) X(f64, double) X(bf16, bf16) X(f16, f16)

template <class T> struct Traits;
template <> struct Traits<float> { using Acc = float; static constexpr i64 code = kF32; };
template <> struct Traits<double> { using Acc = double; static constexpr i64 code = kF64; };
template <> struct Traits<bf16> { using Acc = float; static constexpr i64 code = kBF16; };
template <> struct Traits<f16> { using Acc = float; static constexpr i64 code = kF16; };
template <class T> using Acc = typename Traits<T>::Acc;
template <class T> constexpr bool kIsVoid = false;
template <> constexpr bool kIsVoid<void> = true;

// widen is the exact value of x; narrow rounds to the nearest, ties to even.
__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }
__device__ __forceinline__ float widen(f16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
template <class T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ double narrow<double>(float x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) {
  bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
template <> __device__ __forceinline__ f16 narrow<f16>(float x) {
  f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
template <class T> __device__ __forceinline__ T narrow(double x) { return narrow<T>(float(x)); }
template <> __device__ __forceinline__ double narrow<double>(double x) { return x; }

// pair rounds two numbers and packs them, lo at the lower address.
template <class T> __device__ __forceinline__ u32 pair(float lo, float hi);
template <> __device__ __forceinline__ u32 pair<bf16>(float lo, float hi) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(hi), "f"(lo));
  return y;
}
template <> __device__ __forceinline__ u32 pair<f16>(float lo, float hi) {
  u32 y;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(hi), "f"(lo));
  return y;
}

__device__ __forceinline__ float widen(e4m3 x) {
  const u32 sign = u32(x.bits & 0x80) << 24, magnitude = x.bits & 0x7f;
  const float y = __uint_as_float(sign | (magnitude << 20)) * 0x1p120f;  // 2^(127−7): the biases
  return magnitude == 0x7f ? __uint_as_float(sign | 0x7fc00000u) : y;
}
// to_e4m3x2 rounds two numbers and packs them; it saturates at ±448, a NaN stays one.
__device__ __forceinline__ u16 to_e4m3x2(float lo, float hi) {
#if __CUDA_ARCH__ >= 890
  u16 y;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(y) : "f"(hi), "f"(lo));
  return y;
#else
  auto one = [](float x) -> u32 {
    const u32 b = __float_as_uint(x) & 0x7fffffffu, sign = (__float_as_uint(x) >> 24) & 0x80;
    if (b > 0x7f800000u) return sign | 0x7f;
    if (b < 0x3c800000u) return sign | (__float_as_uint(__uint_as_float(b) + 0x1p14f) - 0x46800000u);  // below 2⁻⁶
    const u32 c = min(b, 0x43e00000u);  // 448
    return sign | ((c - 0x3c000000u + 0x7ffffu + ((c >> 20) & 1)) >> 20);
  };
  return u16(one(lo) | (one(hi) << 8));
#endif
}

// load_any reads element i of an array of any dtype.
template <class A> __device__ __forceinline__ A load_any(const void* p, i64 dtype, i64 i) {
  switch (dtype) {
    case kF32: return A(static_cast<const float*>(p)[i]);
    case kF64: return A(static_cast<const double*>(p)[i]);
    case kBF16: return A(widen(static_cast<const bf16*>(p)[i]));
    case kF16: return A(widen(static_cast<const f16*>(p)[i]));
    default: return A(widen(static_cast<const e4m3*>(p)[i]));
  }
}
template <class A> __device__ __forceinline__ void store_any(void* p, i64 dtype, i64 i, A x) {
  switch (dtype) {
    case kF32: static_cast<float*>(p)[i] = float(x); break;
    case kF64: static_cast<double*>(p)[i] = double(x); break;
    case kBF16: static_cast<bf16*>(p)[i] = narrow<bf16>(x); break;
    default: static_cast<f16*>(p)[i] = narrow<f16>(x); break;
  }
}

// begin stands in every kernel in front of the first access to global memory, fetch excepted. Where a kernel is launched with
// programmatic stream serialization (compute 9.0 and up), its blocks may start before the kernel in front of it has ended; here
// they let those of the next kernel start, and wait for the end of the one in front. Launched without, it does nothing.
__device__ __forceinline__ void begin() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// fetch asks for memory to be brought into the L2, a line of 128 bytes by each of the threads in turn. It stands in front of
// begin and overlaps that with the end of the kernel before, which may still write there: the L2 is where all writes go.
// Where kernels do not overlap it does nothing.
__device__ __forceinline__ void fetch(const void* p, i64 bytes, i64 thread, i64 threads) {
#if __CUDA_ARCH__ >= 900
  for (i64 at = thread * 128; at < bytes; at += threads * 128)
    asm volatile("prefetch.global.L2 [%0];" ::"l"(static_cast<const u8*>(p) + at));
#endif
}

// Pack is N numbers of one access; 16 bytes move as one.
template <class T, int N> union Pack {
  T v[N];
  __device__ Pack() {}
  __device__ __forceinline__ static Pack load(const T* p) {
    Pack x;
    if constexpr (sizeof(T) * N == 16) *reinterpret_cast<uint4*>(&x) = *reinterpret_cast<const uint4*>(p);
    else if constexpr (sizeof(T) * N == 8) *reinterpret_cast<uint2*>(&x) = *reinterpret_cast<const uint2*>(p);
    else {
#pragma unroll
      for (int i = 0; i < N; i++) x.v[i] = p[i];
    }
    return x;
  }
  // store is written in assembly: an assignment the compiler splits into words where it has computed them apart. p is global.
  __device__ __forceinline__ void store(T* p) const {
    const u32* w = reinterpret_cast<const u32*>(this);
    if constexpr (sizeof(T) * N == 16)
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3]) : "memory");
    else if constexpr (sizeof(T) * N == 8)
      asm volatile("st.global.v2.b32 [%0], {%1, %2};" ::"l"(p), "r"(w[0]), "r"(w[1]) : "memory");
    else {
#pragma unroll
      for (int i = 0; i < N; i++) p[i] = v[i];
    }
  }
};
template <class T> constexpr int kPack = 16 / sizeof(T);

__device__ __forceinline__ bool aligned16(u64 bits) { return (bits & 15) == 0; }
__device__ __forceinline__ u64 bits_of(const void* p) { return reinterpret_cast<u64>(p); }

// A unit is what one warp does: a chunk of one row. unit = row·chunks + chunk.
struct Unit { i64 row, chunk; };
__device__ __forceinline__ Unit split_unit(i64 unit, i64 chunks) {
  if (unit < 0x80000000ll && chunks < 0x80000000ll) {
    const u32 row = u32(unit) / u32(chunks);
    return {row, i64(u32(unit) - row * u32(chunks))};
  }
  return {unit / chunks, unit % chunks};
}
__device__ __forceinline__ int lane_id() { return threadIdx.x & 31; }
__device__ __forceinline__ int warp_id() { return threadIdx.x >> 5; }
__device__ __forceinline__ i64 ceil_div(i64 a, i64 b) { return (a + b - 1) / b; }

// The fault record lies in host memory. The first fault since the host cleared it stays.
struct Fault { i64 state, stage, code, token, slot, value, limit, reserved; };
enum Stage : i64 {
  kTopK = 1, kGates, kPlan, kPermute, kGroupedMatMul, kSwiGLU, kUnpermute, kExperts, kQuantize, kRMSNorm, kRotary,
  kCacheAppend, kAttention, kLinear, kEmbedding, kAdd,
};
enum Code : i64 { kBadExpert = 1, kBadMapped, kTooManyRows, kBadIndex, kBadTable };

__device__ __noinline__ void report(Fault* f, i64 stage, i64 code, i64 token, i64 slot, i64 value, i64 limit) {
  if (atomicCAS(reinterpret_cast<u64*>(&f->state), 0ull, 1ull) != 0ull) return;
  f->stage = stage, f->code = code, f->token = token, f->slot = slot, f->value = value, f->limit = limit;
  __threadfence_system();
  *reinterpret_cast<volatile i64*>(&f->state) = 2;
}

template <class A> __device__ __forceinline__ A warp_sum(A x) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(~0u, x, d);
  return x;
}
template <class A> __device__ __forceinline__ A warp_max(A x) {
#pragma unroll
  for (int d = 16; d > 0; d /= 2) {
    const A y = __shfl_xor_sync(~0u, x, d);
    x = x > y ? x : y;
  }
  return x;
}
__device__ __forceinline__ float exp_of(float x) { return expf(x); }
__device__ __forceinline__ double exp_of(double x) { return exp(x); }
__device__ __forceinline__ float sqrt_of(float x) { return sqrtf(x); }
__device__ __forceinline__ double sqrt_of(double x) { return sqrt(x); }
