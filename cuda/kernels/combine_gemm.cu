// A block computes 16 or 32 outputs of one token. What these take of all experts of the token is a
// list of chunks of 128 bytes along k, which the warps share out evenly, whatever expert a chunk
// belongs to: the experts' weights are factors of the chunks. So all multiprocessors have the same
// to do, and with as few columns as a rank of eight has, a warp asks for all it needs at once.
#include "cuda/kernels/combine_gemm.h"
#include "cuda/kernels/few_rows_input.cuh"
#include "cuda/ops/shared_memory.cuh"

namespace tutti::cuda {

namespace {

using few_rows::Bf16;
using few_rows::E4m3;
using few_rows::kOutputs;
using few_rows::load_weights;
using few_rows::StagedX;
using few_rows::Weights;

// Fragments of 16 outputs that a block computes together, chunks that each warp has under way,
// threads at most, blocks that a multiprocessor shall hold.
template <int kTiles_, int kDepth_, int kMostThreads_, int kPerSm_>
struct Plan {
  static constexpr int kTiles = kTiles_;
  static constexpr int kDepth = kDepth_;
  static constexpr int kMostThreads = kMostThreads_;
  static constexpr int kMostWarps = kMostThreads / 32;
  static constexpr int kPerSm = kPerSm_;
};

struct Params {
  CombineGemm g;
  int chunks;  // of a matrix along k
  int pairs;   // experts of a token, the shared one included
  int steps;   // of a warp
};

// A chunk of one of the token's experts.
struct Chunk {
  const uint8_t* w;        // of the matrix
  const float* scales;     // of the matrix
  const __nv_bfloat16* x;  // its row
  float weight;
  int index;  // along k; -1: there is none
};

// The step-th chunk of this warp. `with_x`: also where its row of x is.
template <typename W>
__device__ __forceinline__ Chunk chunk_at(const Params& p, int step) {
  const CombineGemm& g = p.g;
  const int warps = static_cast<int>(blockDim.x) / 32;
  const int at = step * warps + static_cast<int>(threadIdx.x) / 32;
  const int pair = at / p.chunks;
  if (pair >= p.pairs) {
    return {nullptr, nullptr, nullptr, 0.0F, -1};
  }
  const int token = static_cast<int>(blockIdx.y);
  const int index = at - pair * p.chunks;
  if (pair == g.top_k) {
    return {static_cast<const uint8_t*>(g.shared_w),
            g.shared_scales,
            static_cast<const __nv_bfloat16*>(g.shared_x) + token * g.shared_x_stride,
            1.0F,
            index};
  }
  const int expert = g.experts[token * g.expert_stride + pair];
  const int row = g.pair_row[token * g.pair_stride + pair];
  constexpr int kValueBytes = 16 / W::kPerLoad;
  return {static_cast<const uint8_t*>(g.w) + expert * (int64_t{g.n} * g.k * kValueBytes),
          g.scales.data + expert * g.scales.group_stride,
          static_cast<const __nv_bfloat16*>(g.x) + row * g.x_stride,
          g.weights[token * g.weight_stride + pair],
          index};
}

// `c.low_scale` and `c.high_scale` become what sums of the chunk are multiplied by.
template <typename W>
__device__ __forceinline__ void fetch(const Params& p,
                                      const Chunk& chunk,
                                      int tile,
                                      Weights<W>& c) {
  const CombineGemm& g = p.g;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  constexpr int kValueBytes = 16 / W::kPerLoad;
  const int low = min(tile * kOutputs + lane / 4, g.n - 1);
  const int high = min(tile * kOutputs + lane / 4 + 8, g.n - 1);
  const int64_t row_bytes = int64_t{g.k} * kValueBytes;
  const int column = chunk.index * W::kChunk + W::kPerLoad * (lane % 4);
  const uint4 zero{0, 0, 0, 0};
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const int k = column + step * (4 * W::kPerLoad);
    const bool inside = chunk.index >= 0 && k < g.k;
    c.low[step] = inside ? load_weights(chunk.w + low * row_bytes + k * kValueBytes) : zero;
    c.high[step] = inside ? load_weights(chunk.w + high * row_bytes + k * kValueBytes) : zero;
  }
  c.low_scale = chunk.weight;
  c.high_scale = chunk.weight;
  if constexpr (W::kScaled) {
    if (chunk.index >= 0) {
      c.low_scale *= __ldg(chunk.scales + low / g.scales.rows * g.scales.row_stride + chunk.index);
      c.high_scale *=
          __ldg(chunk.scales + high / g.scales.rows * g.scales.row_stride + chunk.index);
    }
  }
}

// x of a warp's chunks as f16 in shared memory: each warp has its own.
class F16Input {
 public:
  __device__ F16Input(const Params& p, uint8_t* shared)
      : x_(shared, 1, p.steps * static_cast<int>(blockDim.x) / 32) {
    const int half = static_cast<int>(threadIdx.x) % 32 / 16;
    const int lane = static_cast<int>(threadIdx.x) % 16;
    for (int step = 0; step < p.steps; step += 2) {
      const int mine = min(step + half, p.steps - 1);
      const Chunk chunk = chunk_at<E4m3>(p, mine);
      const uint4 values =
          chunk.index < 0 ? uint4{0, 0, 0, 0}
                          : few_rows::load_x(chunk.x, chunk.index * E4m3::kChunk + 8 * lane, p.g.k);
      x_.fill_chunk(0, place(mine), values);
    }
    __syncwarp();
  }

  static __host__ __device__ size_t bytes(int steps, int warps) {
    return static_cast<size_t>(StagedX::bytes(1, steps * warps));
  }

  template <int kTiles>
  __device__ void multiply(const Weights<E4m3> (&w)[kTiles],
                           int step,
                           float (&sums)[kTiles][4]) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      x_.multiply(w[t], place(step), sums[t]);
    }
  }

 private:
  static __device__ int place(int step) {
    return step * static_cast<int>(blockDim.x) / 32 + static_cast<int>(threadIdx.x) / 32;
  }

  StagedX x_;
};

// x of a warp's chunks from global memory, one step ahead.
class DirectInput {
 public:
  __device__ DirectInput(const Params& p, uint8_t* /*shared*/) : p_(p) { load(0); }

  static __host__ __device__ size_t bytes(int /*steps*/, int /*warps*/) { return 0; }

  template <int kTiles>
  __device__ void multiply(const Weights<Bf16> (&w)[kTiles], int step, float (&sums)[kTiles][4]) {
    const few_rows::DirectX x = ahead_;
    load(step + 1);
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      float chunk[4] = {};
      few_rows::multiply(w[t], x, chunk);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        sums[t][i] = fmaf(chunk[i], w[t].low_scale, sums[t][i]);
      }
    }
  }

 private:
  // One row: that of the first four lanes.
  __device__ void load(int step) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const Chunk chunk = chunk_at<Bf16>(p_, step);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int column = chunk.index * Bf16::kChunk + Bf16::kPerLoad * (lane + 4 * i);
      ahead_.at[i] = chunk.index >= 0 && lane < 4 ? few_rows::load_x(chunk.x, column, p_.g.k)
                                                  : uint4{0, 0, 0, 0};
    }
  }

  const Params& p_;
  few_rows::DirectX ahead_;
};

template <typename W>
struct InputOf {
  using Type = DirectInput;
};

template <>
struct InputOf<E4m3> {
  using Type = F16Input;
};

template <typename P, typename W>
__global__ void __launch_bounds__(P::kMostThreads, P::kPerSm)
    combine_kernel(const __grid_constant__ Params p) {
  extern __shared__ uint4 staged[];
  constexpr int kTiles = P::kTiles;
  __shared__ float parts[P::kMostWarps][kTiles * kOutputs];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_tile = static_cast<int>(blockIdx.x) * kTiles;
  Weights<W> ring[P::kDepth][kTiles];
  const auto fetch_step = [&](int step, Weights<W>(&to)[kTiles]) {
    const Chunk chunk = chunk_at<W>(p, step);
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      fetch<W>(p, chunk, first_tile + t, to[t]);
    }
  };
#pragma unroll
  for (int d = 0; d < P::kDepth; ++d) {
    fetch_step(d, ring[d]);
  }
  wait_for_previous_kernel();  // x is what it wrote
  let_next_kernel_start();
  typename InputOf<W>::Type x(p, reinterpret_cast<uint8_t*>(staged));
  float sums[kTiles][4] = {};
  for (int step = 0; step < p.steps; step += P::kDepth) {
#pragma unroll
    for (int d = 0; d < P::kDepth; ++d) {
      if (step + d < p.steps) {
        x.multiply(ring[d], step + d, sums);
        if (step + d + P::kDepth < p.steps) {
          fetch_step(step + d + P::kDepth, ring[d]);
        }
      }
    }
  }
  // Column 0 of the fragments is the token; the others are not used.
  if (lane % 4 == 0) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      parts[warp][t * kOutputs + lane / 4] = sums[t][0];
      parts[warp][t * kOutputs + 8 + lane / 4] = sums[t][2];
    }
  }
  __syncthreads();
  const int output = static_cast<int>(threadIdx.x);
  const int column = first_tile * kOutputs + output;
  if (output < kTiles * kOutputs && column < p.g.n) {
    float sum = 0.0F;
    for (int w = 0; w < static_cast<int>(blockDim.x) / 32; ++w) {
      sum += parts[w][output];
    }
    static_cast<__nv_bfloat16*>(p.g.y)[blockIdx.y * p.g.y_stride + column] = __float2bfloat16(sum);
  }
}

template <typename P, typename W>
cudaError_t launch(Params p, cudaStream_t stream) {
  const int items = p.pairs * p.chunks;
  p.steps = (items + P::kMostWarps - 1) / P::kMostWarps;
  const int warps = (items + p.steps - 1) / p.steps;
  const size_t shared = InputOf<W>::Type::bytes(p.steps, warps);
  const cudaError_t code = allow_shared(combine_kernel<P, W>, shared);
  const int outputs = P::kTiles * kOutputs;
  return code != cudaSuccess
             ? code
             : launch_overlapped(
                   combine_kernel<P, W>,
                   OverlappedLaunch{
                       .grid = dim3(static_cast<unsigned>((p.g.n + outputs - 1) / outputs),
                                    static_cast<unsigned>(p.g.tokens)),
                       .threads = static_cast<unsigned>(32 * max(warps, kOutputs * P::kTiles / 32)),
                       .shared_bytes = shared,
                       .stream = stream},
                   p);
}

template <typename W>
cudaError_t choose(const Params& p, cudaStream_t stream) {
  // Two fragments a block where there are enough to fill the device (132 multiprocessors, two
  // blocks each); otherwise more warps for each.
  constexpr int kManyOutputs = 132 * 2 * kOutputs;
  return p.g.n * p.g.tokens >= kManyOutputs ? launch<Plan<2, 2, 320, 2>, W>(p, stream)
                                            : launch<Plan<1, 4, 512, 1>, W>(p, stream);
}

}  // namespace

cudaError_t combine_gemm(const CombineGemm& g, cudaStream_t stream) {
  if (g.tokens == 0 || g.n == 0) {
    return cudaSuccess;
  }
  const bool scaled = g.scales.data != nullptr;
  if (g.tokens < 0 || g.top_k < 1 || g.k % (scaled ? 16 : 8) != 0 || g.x_stride % 8 != 0 ||
      g.shared_x_stride % 8 != 0) {
    return cudaErrorInvalidValue;
  }
  const int chunk = scaled ? E4m3::kChunk : Bf16::kChunk;
  const Params p{.g = g,
                 .chunks = (g.k + chunk - 1) / chunk,
                 .pairs = g.top_k + (g.shared_w != nullptr ? 1 : 0),
                 .steps = 0};
  return scaled ? choose<E4m3>(p, stream) : choose<Bf16>(p, stream);
}

}  // namespace tutti::cuda
