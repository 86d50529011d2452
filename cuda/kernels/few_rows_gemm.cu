// A team of warps computes 16 outputs for up to 8 rows of x of one matrix at a time, and goes on to
// the next 16 with the loads of those already under way. Where there are enough outputs to fill the
// device a team is one warp; otherwise its warps share out k and add up at the end. Weights are the
// row operand of the matrix fragments, as in skinny_gemm.cu, and a thread takes 16 consecutive
// bytes of a weight row, so every load is 16 bytes wide. e4m3 values become bf16 in registers,
// exactly; the sum of each block of 128 columns is scaled in f32.
#include "cuda/kernels/few_rows_gemm.h"
#include "cuda/kernels/groups.cuh"
#include "cuda/kernels/ptx.h"

namespace tutti::cuda {

namespace {

constexpr int kOutputs = 16;      // rows of a fragment
constexpr int kChunkBytes = 128;  // of a weight row: one cache line

struct Params {
  __nv_bfloat16* y;
  const __nv_bfloat16* x;
  const uint8_t* w;
  BlockScales scales;
  const int32_t* x_rows;
  const int32_t* offsets;
  int64_t y_stride;
  int64_t x_stride;
  int rows;
  int groups;
  int n;
  int k;
  int tiles;       // of 16 rows of weights
  int team_tiles;  // that a team computes one after another
};

// Weights are read once: they must not push x out of the first-level cache.
__device__ __forceinline__ uint4 load_weights(const uint8_t* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

struct Bf16 {
  static constexpr int kPerLoad = 8;  // values of 16 bytes
  static constexpr bool kScaled = false;
};

struct E4m3 {
  static constexpr int kPerLoad = 16;
  static constexpr bool kScaled = true;
};

// Warps of a block, of which kShare make a team; chunks that each has under way; blocks that a
// multiprocessor shall hold.
template <int kWarps_, int kShare_, int kDepth_, int kPerSm_>
struct Plan {
  static constexpr int kWarps = kWarps_;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kShare = kShare_;
  static constexpr int kTeams = kWarps / kShare;
  static constexpr int kDepth = kDepth_;
  static constexpr int kPerSm = kPerSm_;
  static_assert(kShare == 1 || kShare == kWarps);
};

// What a thread holds of one chunk: two steps of 16 bytes of two weight rows, and x beside them.
template <typename W>
struct Chunk {
  uint4 low[2];
  uint4 high[2];
  uint4 x[2][W::kPerLoad / 8];
  float low_scale;
  float high_scale;
};

// A chunk of a team's work: its tiles one after another.
struct Cursor {
  int tile;
  int step;  // of the tile

  __device__ void advance(int steps) {
    ++step;
    if (step == steps) {
      step = 0;
      ++tile;
    }
  }
};

// Two of the four e4m3 values of `four`, as bf16: 4 bits of exponent and 3 of mantissa move to
// their places, and 2^120 makes up for the difference of the biases. Exact, numbers below 2^-6
// included.
__device__ __forceinline__ uint32_t two_bf16(uint32_t four, uint32_t select) {
  const uint32_t apart = __byte_perm(four, 0, select);  // a value in the upper byte of each half
  const uint32_t bits = ((apart >> 4) & 0x07F007F0U) | (apart & 0x80008000U);
  constexpr uint32_t kTwoTo120 = 0x7B807B80U;
  const __nv_bfloat162 value = __hmul2(reinterpret_cast<const __nv_bfloat162&>(bits),
                                       reinterpret_cast<const __nv_bfloat162&>(kTwoTo120));
  return reinterpret_cast<const uint32_t&>(value);
}

template <typename P, typename W, bool kGated>
class Lane {
 public:
  static constexpr int kChunk = kChunkBytes / 16 * W::kPerLoad;  // columns

  __device__ Lane(const Params& p, const Group& group, int part)
      : p_(p),
        row_bytes_(static_cast<int64_t>(p.k) * (16 / W::kPerLoad)),
        w_(p.w + group.index * (row_bytes_ * p.n)),
        part_(part) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    token_ = lane / 4;
    column_ = W::kPerLoad * (lane % 4);
    if constexpr (W::kScaled) {
      scales_ = p.scales.data + group.index * p.scales.group_stride;
    }
  }

  // `end`: the first tile that is not the team's.
  __device__ void load_w(const Cursor& at, int end, Chunk<W>& c) const {
    // Gated: the fragment's first 8 rows are gates, the others the matching ups.
    const int half = p_.n / 2;
    const int low = min(kGated ? at.tile * 8 + token_ : at.tile * kOutputs + token_,
                        (kGated ? half : p_.n) - 1);
    const int high = kGated ? half + low : min(at.tile * kOutputs + token_ + 8, p_.n - 1);
    const uint8_t* low_row = w_ + low * row_bytes_;
    const uint8_t* high_row = w_ + high * row_bytes_;
    const int first = (at.step * P::kShare + part_) * kChunk;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = first + step * (4 * W::kPerLoad) + column_;
      const bool inside = k < p_.k && at.tile < end;
      const uint4 zero{0, 0, 0, 0};
      c.low[step] = inside ? load_weights(low_row + k * (16 / W::kPerLoad)) : zero;
      c.high[step] = inside ? load_weights(high_row + k * (16 / W::kPerLoad)) : zero;
    }
    if constexpr (W::kScaled) {
      const bool inside = first < p_.k && at.tile < end;
      const float* column = scales_ + first / kScaleColumns;
      c.low_scale = inside ? __ldg(column + low / p_.scales.rows * p_.scales.row_stride) : 0.0F;
      c.high_scale = inside ? __ldg(column + high / p_.scales.rows * p_.scales.row_stride) : 0.0F;
    }
  }

  // x: the row of this lane's token, nullptr if there is none.
  __device__ void load_x(const Cursor& at, const __nv_bfloat16* x, Chunk<W>& c) const {
    const int first = (at.step * P::kShare + part_) * kChunk;
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = first + step * (4 * W::kPerLoad) + column_;
#pragma unroll
      for (int i = 0; i < W::kPerLoad / 8; ++i) {
        c.x[step][i] = x != nullptr && k < p_.k ? *reinterpret_cast<const uint4*>(x + k + 8 * i)
                                                : uint4{0, 0, 0, 0};
      }
    }
  }

  __device__ void multiply(const Chunk<W>& c, float (&sums)[4]) const {
    if constexpr (!W::kScaled) {
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const uint4 low = c.low[step];
        const uint4 high = c.high[step];
        const uint32_t first[4] = {low.x, high.x, low.y, high.y};
        const uint32_t second[4] = {low.z, high.z, low.w, high.w};
        mma_bf16(sums, first, c.x[step][0].x, c.x[step][0].y);
        mma_bf16(sums, second, c.x[step][0].z, c.x[step][0].w);
      }
    } else {
      float block[4] = {};
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const uint32_t low[4] = {c.low[step].x, c.low[step].y, c.low[step].z, c.low[step].w};
        const uint32_t high[4] = {c.high[step].x, c.high[step].y, c.high[step].z, c.high[step].w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const uint32_t a[4] = {two_bf16(low[i], 0x1404),
                                 two_bf16(high[i], 0x1404),
                                 two_bf16(low[i], 0x3424),
                                 two_bf16(high[i], 0x3424)};
          const uint4 x = c.x[step][i / 2];
          mma_bf16(block, a, i % 2 == 0 ? x.x : x.z, i % 2 == 0 ? x.y : x.w);
        }
      }
      sums[0] = fmaf(block[0], c.low_scale, sums[0]);
      sums[1] = fmaf(block[1], c.low_scale, sums[1]);
      sums[2] = fmaf(block[2], c.high_scale, sums[2]);
      sums[3] = fmaf(block[3], c.high_scale, sums[3]);
    }
  }

  __device__ int token() const {
    return token_;
  }

 private:
  const Params& p_;
  const int64_t row_bytes_;
  const uint8_t* w_;
  const float* scales_ = nullptr;
  const int part_;  // of the team's warps
  int column_;
  int token_;
};

// Of one tile; sums[0, 1] are of outputs 0 .. 7, sums[2, 3] of 8 .. 15, of two rows of x each.
template <bool kGated>
__device__ void store_tile(const Params& p, int tile, int begin, int end, const float (&sums)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int j = 0; j < 2; ++j) {
    const int row = begin + 2 * (lane % 4) + j;
    if (row >= end) {
      continue;
    }
    __nv_bfloat16* y = p.y + row * p.y_stride;
    if constexpr (kGated) {
      const int column = tile * 8 + lane / 4;
      if (column < p.n / 2) {
        y[column] = __float2bfloat16(sums[j] / (1.0F + __expf(-sums[j])) * sums[2 + j]);
      }
    } else {
      const int column = tile * kOutputs + lane / 4;
      if (column < p.n) {
        y[column] = __float2bfloat16(sums[j]);
      }
      if (column + 8 < p.n) {
        y[column + 8] = __float2bfloat16(sums[2 + j]);
      }
    }
  }
}

template <typename P, typename W, bool kGated, bool kGrouped>
__global__ void __launch_bounds__(P::kThreads, P::kPerSm)
    few_rows_kernel(const __grid_constant__ Params p) {
  __shared__ float parts[P::kShare][32][4];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int team = static_cast<int>(blockIdx.x) * P::kTeams + warp / P::kShare;
  const int first_tile = team * p.team_tiles;
  const int end_tile = min(first_tile + p.team_tiles, p.tiles);
  Group group{.index = 0, .begin = 0, .end = p.rows};
  if constexpr (kGrouped) {
    wait_for_previous_kernel();
    group = nth_group_with_rows(p.offsets, p.groups, static_cast<int>(blockIdx.y));
    if (group.index < 0) {
      return;
    }
  }
  const Lane<P, W, kGated> lanes(p, group, P::kShare == 1 ? 0 : warp);
  constexpr int kStep = Lane<P, W, kGated>::kChunk * P::kShare;
  const int steps = (p.k + kStep - 1) / kStep;
  for (int begin = group.begin; begin < group.end; begin += kFewRows) {
    Chunk<W> ring[P::kDepth];
    Cursor fetch{first_tile, 0};
#pragma unroll
    for (int d = 0; d < P::kDepth; ++d) {
      lanes.load_w(fetch, end_tile, ring[d]);
      fetch.advance(steps);
    }
    if (!kGrouped && begin == 0) {
      wait_for_previous_kernel();  // the weights never change, x is what it wrote
    }
    const int row = begin + lanes.token();
    const __nv_bfloat16* x = nullptr;
    if (row < group.end) {
      x = p.x + (p.x_rows == nullptr ? row : p.x_rows[row]) * p.x_stride;
    }
    Cursor at{first_tile, 0};
    Cursor fetch_x = at;
#pragma unroll
    for (int d = 0; d < P::kDepth; ++d) {
      lanes.load_x(fetch_x, x, ring[d]);
      fetch_x.advance(steps);
    }
    float sums[4] = {};
    while (at.tile < end_tile) {
#pragma unroll
      for (int d = 0; d < P::kDepth; ++d) {
        lanes.multiply(ring[d], sums);
        lanes.load_w(fetch, end_tile, ring[d]);
        lanes.load_x(fetch, x, ring[d]);
        fetch.advance(steps);
        const int tile = at.tile;
        at.advance(steps);
        if (at.step == 0 && tile < end_tile) {  // the tile is complete
          if constexpr (P::kShare == 1) {
            store_tile<kGated>(p, tile, begin, group.end, sums);
          } else {
            *reinterpret_cast<float4*>(parts[warp][lane]) =
                float4{sums[0], sums[1], sums[2], sums[3]};
            __syncthreads();
            if (warp == 0) {
              for (int w = 1; w < P::kShare; ++w) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                  sums[i] += parts[w][lane][i];
                }
              }
              store_tile<kGated>(p, tile, begin, group.end, sums);
            }
            __syncthreads();  // the next tile writes `parts` again
          }
#pragma unroll
          for (float& sum : sums) {
            sum = 0.0F;
          }
        }
      }
    }
  }
  let_next_kernel_start();
}

constexpr int kProcessors = 132;  // of the H200 that the choices below were measured on

template <typename P, typename W, bool kGated>
cudaError_t launch(Params p, int matrices, cudaStream_t stream) {
  // More tiles than warps that fit: each takes some.
  constexpr int kMostTiles = 8;
  const int resident = kProcessors * P::kPerSm * P::kTeams;
  p.team_tiles = P::kShare > 1 ? 1 : max(1, min(kMostTiles, p.tiles * matrices / resident));
  const int per_block = P::kTeams * p.team_tiles;
  const dim3 grid(static_cast<unsigned>((p.tiles + per_block - 1) / per_block),
                  static_cast<unsigned>(matrices));
  return p.offsets != nullptr
             ? launch_overlapped(few_rows_kernel<P, W, kGated, true>, grid, P::kThreads, stream, p)
             : launch_overlapped(
                   few_rows_kernel<P, W, kGated, false>, grid, P::kThreads, stream, p);
}

template <typename W, bool kGated>
cudaError_t choose(const Params& p, int share, cudaStream_t stream) {
  constexpr int kDepth = W::kScaled ? 3 : 4;
  // No more matrices have rows than there are rows.
  const int matrices = p.offsets == nullptr ? 1 : min(p.groups, p.rows);
  const int teams = p.tiles * matrices;
  if (share == 1 || (share == 0 && teams >= 5 * kProcessors)) {
    return launch<Plan<4, 1, kDepth, 3>, W, kGated>(p, matrices, stream);
  }
  return share == 4 || (share == 0 && teams >= 2 * kProcessors)
             ? launch<Plan<4, 4, kDepth, 3>, W, kGated>(p, matrices, stream)
             : launch<Plan<8, 8, 2, 2>, W, kGated>(p, matrices, stream);
}

}  // namespace

cudaError_t few_rows_gemm(const FewRowsGemm& g, cudaStream_t stream) {
  if (g.rows == 0 || g.n == 0) {
    return cudaSuccess;
  }
  const bool scaled = g.scales.data != nullptr;
  if (g.rows < 0 || g.k % (scaled ? 16 : 8) != 0 || g.x_stride % 8 != 0 ||
      (g.gated && g.n % 2 != 0) || (g.offsets == nullptr && g.groups != 1)) {
    return cudaErrorInvalidValue;
  }
  const int results = g.gated ? kOutputs / 2 : kOutputs;
  const Params p{.y = static_cast<__nv_bfloat16*>(g.y),
                 .x = static_cast<const __nv_bfloat16*>(g.x),
                 .w = static_cast<const uint8_t*>(g.w),
                 .scales = g.scales,
                 .x_rows = g.x_rows,
                 .offsets = g.offsets,
                 .y_stride = g.y_stride,
                 .x_stride = g.x_stride,
                 .rows = g.rows,
                 .groups = g.groups,
                 .n = g.n,
                 .k = g.k,
                 .tiles = ((g.gated ? g.n / 2 : g.n) + results - 1) / results,
                 .team_tiles = 1};
  if (scaled) {
    return g.gated ? choose<E4m3, true>(p, g.share, stream)
                   : choose<E4m3, false>(p, g.share, stream);
  }
  return g.gated ? choose<Bf16, true>(p, g.share, stream) : choose<Bf16, false>(p, g.share, stream);
}

}  // namespace tutti::cuda
