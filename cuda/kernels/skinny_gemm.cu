// Each thread block computes 16 or 32 outputs for all rows of x; its four warps share out k and add
// up at the end. The weights are the row operand of the matrix fragments, so that up to 8 rows of x
// cost one instruction. The order of k inside a fragment is free as long as both operands agree: a
// thread takes 8 consecutive values, which makes every load 16 bytes wide and needs no shared
// memory. Weights and x are loaded several chunks of k ahead: x comes from the second-level cache,
// a quarter of a microsecond away.
#include "cuda/kernels/ptx.h"
#include "cuda/kernels/skinny_gemm.h"

namespace tutti::cuda {

namespace {

constexpr int kOutputs = 16;  // rows of a fragment
constexpr int kChunk = 64;    // of k: 128 bytes of a weight row, one cache line

struct Params {
  void* y;
  const __nv_bfloat16* x;
  const __nv_bfloat16* w;
  const float* bias;
  int64_t y_stride;
  int64_t x_stride;
  int rows;
  int n;
  int k;
};

// Weights are read once: they must not push x out of the first-level cache.
__device__ __forceinline__ uint4 load_weights(const __nv_bfloat16* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(from));
  return v;
}

// Warps that share k; and how much each holds: fragments of 16 outputs, blocks of 8 rows of x,
// chunks of k in flight. Thread blocks that a multiprocessor shall hold bound the registers.
template <int kWarps_, int kTiles_, int kBlocks_, int kDepth_, int kPerSm_>
struct Plan {
  static constexpr int kWarps = kWarps_;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kPerSm = kPerSm_;
  static constexpr int kTiles = kTiles_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr int kDepth = kDepth_;
};

// What a thread holds of one chunk: two steps of 32 along k.
template <typename P>
struct Chunk {
  uint4 low[P::kTiles][2];
  uint4 high[P::kTiles][2];
  uint4 x[P::kBlocks][2];
};

template <typename P, bool kGated>
class Block {
 public:
  __device__ explicit Block(const Params& p) : p_(p) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    token_ = lane / 4;
    column_ = 8 * (lane % 4);
    const int half = p.n / 2;
#pragma unroll
    for (int t = 0; t < P::kTiles; ++t) {
      const int tile = static_cast<int>(blockIdx.x) * P::kTiles + t;
      // Gated: the fragment's first 8 rows are gates, the others the matching ups.
      const int low =
          min(kGated ? tile * 8 + token_ : tile * kOutputs + token_, (kGated ? half : p.n) - 1);
      const int high = kGated ? half + low : min(tile * kOutputs + token_ + 8, p.n - 1);
      low_[t] = p.w + static_cast<int64_t>(low) * p.k;
      high_[t] = p.w + static_cast<int64_t>(high) * p.k;
    }
  }

  __device__ void load_w(int chunk, Chunk<P>& c) const {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = chunk * kChunk + step * 32 + column_;
      const uint4 zero{0, 0, 0, 0};
#pragma unroll
      for (int t = 0; t < P::kTiles; ++t) {
        c.low[t][step] = k < p_.k ? load_weights(low_[t] + k) : zero;
        c.high[t][step] = k < p_.k ? load_weights(high_[t] + k) : zero;
      }
    }
  }

  __device__ void load_x(int chunk, Chunk<P>& c) const {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = chunk * kChunk + step * 32 + column_;
#pragma unroll
      for (int b = 0; b < P::kBlocks; ++b) {
        const int token = b * 8 + token_;
        c.x[b][step] = token < p_.rows && k < p_.k
                           ? *reinterpret_cast<const uint4*>(p_.x + token * p_.x_stride + k)
                           : uint4{0, 0, 0, 0};
      }
    }
  }

  __device__ void multiply(const Chunk<P>& c, float (&sums)[P::kTiles][P::kBlocks][4]) const {
#pragma unroll
    for (int step = 0; step < 2; ++step) {
#pragma unroll
      for (int t = 0; t < P::kTiles; ++t) {
        const uint4 low = c.low[t][step];
        const uint4 high = c.high[t][step];
        const uint32_t first[4] = {low.x, high.x, low.y, high.y};
        const uint32_t second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
        for (int b = 0; b < P::kBlocks; ++b) {
          mma_bf16(sums[t][b], first, c.x[b][step].x, c.x[b][step].y);
          mma_bf16(sums[t][b], second, c.x[b][step].z, c.x[b][step].w);
        }
      }
    }
  }

 private:
  const Params& p_;
  const __nv_bfloat16* low_[P::kTiles];
  const __nv_bfloat16* high_[P::kTiles];
  int column_;
  int token_;
};

template <typename Out>
__device__ __forceinline__ void store(void* y, int64_t at, float value) {
  if constexpr (sizeof(Out) == 4) {
    static_cast<float*>(y)[at] = value;
  } else {
    static_cast<__nv_bfloat16*>(y)[at] = __float2bfloat16(value);
  }
}

template <typename P, bool kGated, typename Out>
__global__ void __launch_bounds__(P::kThreads, P::kPerSm)
    skinny_gemm_kernel(const __grid_constant__ Params p) {
  constexpr int kTileOutputs = P::kTiles * kOutputs;
  // [warp][output][token], tokens padded against bank conflicts
  __shared__ float parts[P::kWarps][kTileOutputs][P::kBlocks * 8 + 1];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const Block<P, kGated> block(p);
  Chunk<P> ring[P::kDepth];
#pragma unroll
  for (int d = 0; d < P::kDepth; ++d) {
    block.load_w(warp + d * P::kWarps, ring[d]);
  }
  wait_for_previous_kernel();  // the weights never change, x is what it wrote
#pragma unroll
  for (int d = 0; d < P::kDepth; ++d) {
    block.load_x(warp + d * P::kWarps, ring[d]);
  }
  float sums[P::kTiles][P::kBlocks][4] = {};
  const int chunks = (p.k + kChunk - 1) / kChunk;
  for (int chunk = warp; chunk < chunks; chunk += P::kDepth * P::kWarps) {
#pragma unroll
    for (int d = 0; d < P::kDepth; ++d) {
      block.multiply(ring[d], sums);
      const int next = chunk + (d + P::kDepth) * P::kWarps;
      block.load_w(next, ring[d]);
      block.load_x(next, ring[d]);
    }
  }
  // Not earlier: blocks of the next kernel would take places unevenly (14.6 instead of 11.3 us for
  // 4608 x 3584).
  let_next_kernel_start();
#pragma unroll
  for (int t = 0; t < P::kTiles; ++t) {
#pragma unroll
    for (int b = 0; b < P::kBlocks; ++b) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int output = t * kOutputs + lane / 4 + 8 * (i / 2);
        parts[warp][output][b * 8 + 2 * (lane % 4) + i % 2] = sums[t][b][i];
      }
    }
  }
  __syncthreads();
  constexpr int kResults = kGated ? kTileOutputs / 2 : kTileOutputs;
  const int width = kGated ? p.n / 2 : p.n;
  for (int i = static_cast<int>(threadIdx.x); i < kResults * p.rows; i += P::kThreads) {
    const int output = i % kResults;
    const int token = i / kResults;
    const int column = static_cast<int>(blockIdx.x) * kResults + output;
    if (column >= width) {
      continue;
    }
    const int from = kGated ? output / 8 * kOutputs + output % 8 : output;
    float value = 0.0F;
#pragma unroll
    for (int w = 0; w < P::kWarps; ++w) {
      value += parts[w][from][token];
    }
    if constexpr (kGated) {
      float up = 0.0F;
#pragma unroll
      for (int w = 0; w < P::kWarps; ++w) {
        up += parts[w][from + 8][token];
      }
      value = value / (1.0F + __expf(-value)) * up;
    } else if (p.bias != nullptr) {
      value += p.bias[column];
    }
    store<Out>(p.y, token * p.y_stride + column, value);
  }
}

template <typename P, bool kGated, typename Out>
cudaError_t launch(const Params& p, cudaStream_t stream) {
  const int results = P::kTiles * (kGated ? kOutputs / 2 : kOutputs);
  const int width = kGated ? p.n / 2 : p.n;
  cudaLaunchAttribute overlap{};
  overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  overlap.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>((width + results - 1) / results));
  config.blockDim = dim3(P::kThreads);
  config.stream = stream;
  config.attrs = &overlap;
  config.numAttrs = 1;
  return cudaLaunchKernelEx(&config, skinny_gemm_kernel<P, kGated, Out>, p);
}

template <typename P>
cudaError_t choose(const SkinnyGemm& g, const Params& p, cudaStream_t stream) {
  if (g.gated) {
    return launch<P, true, __nv_bfloat16>(p, stream);
  }
  return g.f32_out ? launch<P, false, float>(p, stream)
                   : launch<P, false, __nv_bfloat16>(p, stream);
}

}  // namespace

cudaError_t skinny_gemm(const SkinnyGemm& g, cudaStream_t stream) {
  if (g.rows == 0 || g.n == 0) {
    return cudaSuccess;
  }
  if (g.rows < 0 || g.rows > kSkinnyMaxRows || g.k % 8 != 0 || g.x_stride % 8 != 0 ||
      (g.gated && (g.f32_out || g.bias != nullptr || g.n % 2 != 0))) {
    return cudaErrorInvalidValue;
  }
  const Params p{.y = g.y,
                 .x = static_cast<const __nv_bfloat16*>(g.x),
                 .w = static_cast<const __nv_bfloat16*>(g.w),
                 .bias = g.bias,
                 .y_stride = g.y_stride,
                 .x_stride = g.x_stride,
                 .rows = g.rows,
                 .n = g.n,
                 .k = g.k};
  // Two tiles per warp halve the traffic of x, which counts from 9 rows on.
  if (g.rows > 8) {
    return choose<Plan<8, 2, 2, 1, 2>>(g, p, stream);
  }
  // Few outputs are few blocks: each asks for more at once, which gains 0.4 % of a step of 7B on
  // two H200s. Not where sums are long: the chunks that each warp has would be few for its start
  // and end (3584 x 9472: 18.5 us instead of 16.9).
  constexpr int kFewOutputs = 132 * 2 * kOutputs;
  constexpr int kShortSums = 4096;
  return g.n <= kFewOutputs && g.k <= kShortSums ? choose<Plan<8, 1, 1, 3, 2>>(g, p, stream)
                                                 : choose<Plan<4, 1, 1, 4, 3>>(g, p, stream);
}

}  // namespace tutti::cuda
