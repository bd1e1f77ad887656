// Plan: where every routed row goes. Slot s = t·K+k of expert e (ids[s], through the map if there is one; −1: not here) gets
//
//   row = Offsets[e] + #{s' < s : expert of s' is e},   Offsets[e+1] = Offsets[e] + ⌈Counts[e]/A⌉·A,   Offsets[0] = 0
//
// SlotRow[s] = row (−1 if not here), RowSlot[row] = s, RowExpert[row] = e; both are −1 in padding rows. No result depends on
// the order in which threads run.
//
// Shapes   ids (N = T·K), map (M) → SlotRow (N), RowSlot (R), RowExpert (R), Offsets (E+1), Counts (E), all int32.
// Moves    4·(2N + 2R) bytes.
// Grid     A block places a slice of the slots, after it has counted by itself, by expert, all slots and those before its slice:
//          from the ids (sliceCounts null), or from the counts of all slices that plan_count has made.
//            N ≤ 2048    plan_small: max(⌈N/256⌉, clamp(⌈R/512⌉, 1, sms)) blocks of 256 threads, slices of 256; N ≤ 256 is
//                        counted, ranked and placed in one pass
//            N ≤ 8192    plan_place: max(⌈N/1024⌉, clamp(⌈R/4096⌉, 1, sms)) blocks of 1024 threads, slices of 1024
//            else        plan_count, then plan_place: B blocks of 1024 threads, slices of a multiple of 1024 slots
//          Blocks without a slice share in marking the padding.
// Shared   4·(threads/32·(E|1) + 4·E + 4) bytes if that is at most 98304; else the tables lie in the workspace.
// Bound    latency: one chain of loads, counts, ranks and barriers.
// Measured on an H100 SXM, captured graph, launched with programmatic serialization: N = 2, E = 8: 1.8 µs; N = 128, 32 of 256
//          experts here: 2.1; N = 1024, E = 256: 2.9 (3.4 with 33536 rows at A = 128); N = 131072, E = 256: 13.6; N = 131072,
//          32 of 256 experts here: 8.3.
// Faults   an id or a mapped id out of range: the slot is not here; the first of the block's slots is named. More rows than R:
//          nothing is placed.
#include "common.cuh"
namespace plan {

struct Params {
  i32 *slotRow, *rowSlot, *rowExpert, *offsets, *counts;
  const i32* ids;
  const i32* map;
  i64 mapped;  // M, −1 if there is no map
  i64 slotCount, slotsOfToken, experts, align, rowCount;
  i64 slice;         // slots of a block, a multiple of its threads
  i32* sliceCounts;  // (B,E), null if blocks count the ids themselves
  i32* tables;       // B times what a block needs of shared memory; null if it is shared memory
  Fault* fault;
};

extern __shared__ __align__(16) i32 shared[];

// Tables are a block's, of kParts·8 warps. kParts threads share an expert, eight warps each.
template <int kParts> struct Tables {
  static constexpr int kWarps = 8 * kParts, kThreads = 32 * kWarps;
  const int experts, stride;  // an odd stride keeps the parts of a column in different banks
  u32* peers;                 // (warps, stride) the lanes with a row of the expert, then the rows of it in the warps before
  i32 *total, *before, *start, *end;  // by expert: its rows, those before the slice, the next row to give, the end of its segment

  __device__ explicit Tables(const Params& p) : experts(int(p.experts)), stride(int(p.experts) | 1) {
    const i64 words = i64(kWarps) * stride + 4 * p.experts + 4;
    i32* at = p.tables == nullptr ? shared : p.tables + blockIdx.x * ((words + 3) / 4 * 4);
    peers = reinterpret_cast<u32*>(at);
    total = at + i64(kWarps) * stride, before = total + experts, start = before + experts, end = start + experts;
  }
  __device__ void clear_peers() {
    uint4* words = reinterpret_cast<uint4*>(peers);
    const int n = kWarps * stride / 4;  // kWarps is a multiple of 4
    for (int i = threadIdx.x; i < n; i += kThreads) words[i] = make_uint4(0, 0, 0, 0);
  }
  __device__ void clear() {
    clear_peers();
    for (int e = threadIdx.x; e < experts; e += kThreads) total[e] = before[e] = 0;
  }
  // begin_cleared is begin, and leaves all tables zero but start and end. Shared memory can be cleared in front of it.
  __device__ void begin_cleared(const Params& p) {
    if (p.tables == nullptr) clear();
    __syncthreads();
    begin();
    if (p.tables != nullptr) {
      clear();
      __syncthreads();
    }
  }
  __device__ u32& mine(i32 expert) { return peers[warp_id() * stride + expert]; }

  // rank gives how many of the warp's rows of the expert are before this thread's, and leaves the lanes of each in peers.
  __device__ int rank(i32 expert) {
    if (expert >= 0) atomicOr(&mine(expert), 1u << lane_id());
    __syncthreads();
    return expert >= 0 ? __popc(mine(expert) & ((1u << lane_id()) - 1)) : 0;
  }

  // add_up replaces the lanes by the number of rows in the warps before, and adds the sum of each expert to sums.
  __device__ void add_up(i32* sums) {
    const int part = threadIdx.x % kParts;
    for (int base = 0; base < experts; base += kThreads / kParts) {
      const int e = base + threadIdx.x / kParts;
      if (kParts == 1 && e >= experts) return;
      u32* column = peers + part * 8 * stride + e;
      u32 rows[8];
      int sum = 0;
#pragma unroll
      for (int i = 0; i < 8; i++) rows[i] = e < experts ? __popc(column[i * stride]) : 0, sum += rows[i];
      int earlier = sum;
      if constexpr (kParts == 4) {
        const int one = __shfl_up_sync(~0u, earlier, 1, 4);
        if (part >= 1) earlier += one;
        const int two = __shfl_up_sync(~0u, earlier, 2, 4);
        if (part >= 2) earlier += two;
      }
      if (part == kParts - 1 && e < experts) sums[e] += earlier;
      earlier -= sum;
#pragma unroll
      for (int i = 0; i < 8; i++) {
        if (e < experts) column[i * stride] = earlier;
        earlier += rows[i];
      }
    }
  }
};

constexpr i32 kNone = 0x7fffffff;

// id_of is what slot s holds, −1 behind the last slot.
__device__ __forceinline__ i32 id_of(const Params& p, i64 s) { return s < p.slotCount ? p.ids[s] : -1; }

// expert_of is the expert of an id in slot s, −1 if it is not here. What is out of range lowers firstBad.
__device__ __forceinline__ i32 expert_of(const Params& p, i64 s, i32 id, i32* firstBad) {
  i32 e = id;
  if (p.mapped >= 0 && e >= 0) e = e < p.mapped ? p.map[e] : -2;
  if (e >= -1 && e < i32(p.experts)) return e;
  atomicMin(firstBad, i32(s));
  return -1;
}

__device__ void report_slot(const Params& p, i64 s) {
  i32 id = p.ids[s];
  i64 code = kBadExpert, limit = p.mapped < 0 ? p.experts : p.mapped;
  if (p.mapped >= 0 && id >= 0 && id < p.mapped) id = p.map[id], code = kBadMapped, limit = p.experts;
  report(p.fault, kPlan, code, s / p.slotsOfToken, s % p.slotsOfToken, id, limit);
}

// count_ids counts all slots and those before the slice.
template <int kParts> __device__ void count_ids(const Params& p, Tables<kParts>& t, i64 from) {
  __shared__ i32 firstBad;
  if (threadIdx.x == 0) firstBad = kNone;
  i32 id[8];
#pragma unroll
  for (int i = 0; i < 8; i++) id[i] = id_of(p, threadIdx.x + i * t.kThreads);
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const i64 s = threadIdx.x + i * t.kThreads;
    if (i * t.kThreads >= p.slotCount) break;
    const i32 e = expert_of(p, s, id[i], &firstBad);
    if (e < 0) continue;
    atomicAdd(&t.total[e], 1);
    if (s < from) atomicAdd(&t.before[e], 1);
  }
  __syncthreads();
  if (threadIdx.x == 0 && firstBad != kNone) report_slot(p, firstBad);
}

// add_slices adds the counts of all slices, and of those before this block's.
template <int kParts> __device__ void add_slices(const Params& p, Tables<kParts>& t) {
  __syncthreads();
  const int groups = max(1, t.kThreads / max(1, t.experts)), group = threadIdx.x / max(1, t.experts);
  if (group < groups)
    for (int e = threadIdx.x - group * t.experts; e < t.experts; e += t.kThreads) {
      int mine = 0, others = 0;
      for (int first = group; first < gridDim.x; first += 16 * groups) {
        i32 n[16];
#pragma unroll
        for (int i = 0; i < 16; i++) {
          const int b = first + i * groups;
          n[i] = b < gridDim.x ? p.sliceCounts[i64(b) * t.experts + e] : 0;
        }
#pragma unroll
        for (int i = 0; i < 16; i++) (first + i * groups < blockIdx.x ? mine : others) += n[i];
      }
      atomicAdd(&t.total[e], mine + others), atomicAdd(&t.before[e], mine);
    }
  __syncthreads();
}

__device__ __forceinline__ i32 sum_over_warp(i32 x) { return i32(__reduce_add_sync(~0u, u32(x))); }
__device__ __forceinline__ i64 sum_over_warp(i64 x) { return warp_sum(x); }

// lay_out fills end, and start with the first row of the slice in each segment; block 0 writes Offsets and Counts. It gives the
// rows that all segments need. Sum is i32 where they are below 2³¹ for sure.
template <class Sum, int kParts> __device__ Sum lay_out_as(const Params& p, Tables<kParts>& t) {
  __shared__ Sum warpSum[32];
  Sum carry = 0;
  for (int base = 0; base < t.experts; base += t.kThreads) {
    const int e = base + threadIdx.x, warps = min(t.kWarps, (t.experts - base + 31) / 32);
    Sum sum = 0, padded = 0;
    i32 rows = 0;
    if (warp_id() < warps) {
      rows = e < t.experts ? t.total[e] : 0;
      padded = p.align == 1 ? Sum(rows) : Sum((u32(rows) + u32(p.align) - 1) / u32(p.align)) * Sum(p.align);
      sum = padded;
#pragma unroll
      for (int d = 1; d < 32; d *= 2) {
        const Sum y = __shfl_up_sync(~0u, sum, d);
        if (lane_id() >= d) sum += y;
      }
      if (lane_id() == 31) warpSum[warp_id()] = sum;
    }
    __syncthreads();
    const Sum other = lane_id() < warps ? warpSum[lane_id()] : 0;
    if (warp_id() < warps) {
      sum += carry + sum_over_warp(lane_id() < warp_id() ? other : Sum(0));
      if (e < t.experts) {
        const i32 first = i32(min(i64(sum - padded), i64(kNone)));
        t.start[e] = first + t.before[e], t.end[e] = i32(min(i64(sum), i64(kNone)));
        if (blockIdx.x == 0) p.offsets[e] = first, p.counts[e] = rows;
      }
    }
    carry += sum_over_warp(other);
    __syncthreads();
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) p.offsets[t.experts] = i32(min(i64(carry), i64(kNone)));
  return carry;
}
template <int kParts> __device__ i64 lay_out(const Params& p, Tables<kParts>& t) {
  if (p.align < 0x40000000 && p.slotCount + p.experts * p.align < 0x7fffffff) return lay_out_as<i32>(p, t);
  return lay_out_as<i64>(p, t);
}

// pad marks the padding rows: those of expert e by warp e of the grid, those behind the last segment by all.
template <int kParts> __device__ void pad(const Params& p, const Tables<kParts>& t, i64 used) {
  const i64 threads = i64(gridDim.x) * t.kThreads, me = i64(blockIdx.x) * t.kThreads + threadIdx.x;
  if (p.align > 1)
    for (i64 e = me / 32; e < t.experts; e += threads / 32) {
      const i64 begin = e == 0 ? 0 : t.end[e - 1];
      for (i64 r = begin + t.total[e] + lane_id(); r < t.end[e]; r += 32) p.rowSlot[r] = p.rowExpert[r] = -1;
    }
  for (i64 r = used + me; r < p.rowCount; r += threads) p.rowSlot[r] = p.rowExpert[r] = -1;
}

template <int kParts> __device__ void plan(const Params& p) {
  __shared__ i32 ignored;
  if (threadIdx.x == 0) ignored = kNone;
  Tables<kParts> t(p);
  const i64 from = blockIdx.x * p.slice, to = min(from + p.slice, p.slotCount);
  t.begin_cleared(p);
  i32 id = id_of(p, from + threadIdx.x);
  if (p.sliceCounts == nullptr) count_ids(p, t, from);
  else add_slices(p, t);
  const i64 used = lay_out(p, t);
  if (used > p.rowCount) {
    if (threadIdx.x == 0) report(p.fault, kPlan, kTooManyRows, 0, 0, used, p.rowCount);
    return;
  }
  for (i64 s = from; s < to; s += t.kThreads) {
    if (s > from) {
      id = id_of(p, s + threadIdx.x);
      __syncthreads();
      t.clear_peers();
      __syncthreads();
    }
    const i32 expert = expert_of(p, s + threadIdx.x, id, &ignored);
    i32 row = t.rank(expert);
    if (expert >= 0) row += t.start[expert];
    __syncthreads();
    t.add_up(t.start);
    __syncthreads();
    if (s + threadIdx.x >= p.slotCount) continue;
    if (expert >= 0) {
      row += i32(t.mine(expert));
      p.rowSlot[row] = i32(s + threadIdx.x), p.rowExpert[row] = expert;
    } else {
      row = -1;
    }
    p.slotRow[s + threadIdx.x] = row;
  }
  pad(p, t, used);
}

// place_few places no more slots than a block has threads. Every block counts them all, by the lanes that rank leaves.
__device__ void place_few(const Params& p) {
  __shared__ i32 firstBad;
  if (threadIdx.x == 0) firstBad = kNone;
  Tables<1> t(p);
  t.begin_cleared(p);
  const i64 s = threadIdx.x;
  const i32 expert = expert_of(p, s, id_of(p, s), &firstBad);
  i32 row = t.rank(expert);
  if (s == 0 && firstBad != kNone) report_slot(p, firstBad);
  __syncthreads();
  t.add_up(t.total);
  const i64 used = lay_out(p, t);
  if (used > p.rowCount) {
    if (s == 0) report(p.fault, kPlan, kTooManyRows, 0, 0, used, p.rowCount);
    return;
  }
  if (blockIdx.x == 0 && s < p.slotCount) {
    if (expert >= 0) {
      row += t.start[expert] + i32(t.mine(expert));
      p.rowSlot[row] = i32(s), p.rowExpert[row] = expert;
    } else {
      row = -1;
    }
    p.slotRow[s] = row;
  }
  pad(p, t, used);
}

extern "C" __global__ void __launch_bounds__(256) plan_small(const __grid_constant__ Params p) {
  fetch(p.ids, 4 * p.slotCount, threadIdx.x, 256);
  fetch(p.map, 4 * p.mapped, threadIdx.x, 256);
  if (p.slotCount <= 256) place_few(p);
  else plan<1>(p);
}

extern "C" __global__ void __launch_bounds__(1024) plan_place(const __grid_constant__ Params p) {
  plan<4>(p);
}

extern "C" __global__ void __launch_bounds__(1024) plan_count(const __grid_constant__ Params p) {
  begin();
  __shared__ i32 firstBad;
  i32* out = p.sliceCounts + blockIdx.x * p.experts;
  i32* rows = p.tables == nullptr ? shared : out;
  if (threadIdx.x == 0) firstBad = kNone;
  for (i64 e = threadIdx.x; e < p.experts; e += blockDim.x) rows[e] = 0;
  __syncthreads();
  for (i64 s = 0; s < p.slice; s += blockDim.x) {
    const i64 slot = blockIdx.x * p.slice + s + threadIdx.x;
    const i32 e = expert_of(p, slot, id_of(p, slot), &firstBad);
    if (e >= 0) atomicAdd(&rows[e], 1);
  }
  __syncthreads();
  if (p.tables == nullptr)
    for (i64 e = threadIdx.x; e < p.experts; e += blockDim.x) out[e] = rows[e];
  if (threadIdx.x == 0 && firstBad != kNone) report_slot(p, firstBad);
}
}  // namespace plan
