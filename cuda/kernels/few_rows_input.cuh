// The rows of x that a warp of few_rows_gemm.cu multiplies by: of bf16 weights they come straight
// from global memory, several chunks ahead; beside e4m3 weights they are turned into f16 once, in
// shared memory, since that is what those weights are cheap to convert to.
#pragma once
#include <cuda_fp16.h>

#include "cuda/kernels/few_rows_weights.cuh"
#include "cuda/kernels/groups.cuh"

namespace tutti::cuda::few_rows {

// --- bf16
// --------------------------------------------------------------------------------------------------

// 8 columns of two steps.
struct DirectX {
  uint4 at[2];
};

// Reads the chunks that Reader reads, for the row of this lane's token.
class DirectReader {
 public:
  // x: nullptr if there is no such row.
  __device__ DirectReader(const Params& p, const __nv_bfloat16* x, const Stretch& stretch)
      : x_(x), k_(p.k), stretch_(stretch) {}

  __device__ void next(DirectX& c) {
    const int column = (step_ * stretch_.stride + stretch_.part) * Bf16::kChunk +
                       Bf16::kPerLoad * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = column + step * (4 * Bf16::kPerLoad);
      c.at[step] =
          x_ != nullptr && k < k_ ? *reinterpret_cast<const uint4*>(x_ + k) : uint4{0, 0, 0, 0};
    }
    step_ = step_ + 1 == stretch_.steps ? 0 : step_ + 1;
  }

 private:
  const __nv_bfloat16* x_;
  int k_;
  const Stretch stretch_;
  int step_ = 0;
};

__device__ __forceinline__ void multiply(const Weights<Bf16>& w,
                                         const DirectX& x,
                                         float (&sums)[4]) {
#pragma unroll
  for (int step = 0; step < 2; ++step) {
    const uint4 low = w.low[step];
    const uint4 high = w.high[step];
    const uint32_t first[4] = {low.x, high.x, low.y, high.y};
    const uint32_t second[4] = {low.z, high.z, low.w, high.w};
    mma_bf16(sums, first, x.at[step].x, x.at[step].y);
    mma_bf16(sums, second, x.at[step].z, x.at[step].w);
  }
}

// --- f16 in shared memory
// --------------------------------------------------------------------------------------------------

// Eight columns of a row of x; zeros behind k.
__device__ __forceinline__ uint4 load_x(const __nv_bfloat16* x, int column, int k) {
  return column < k ? *reinterpret_cast<const uint4*>(x + column) : uint4{0, 0, 0, 0};
}

// [pass_rows] rows of `chunks` chunks of 128 f16, padded against bank conflicts; behind them
// [pass_rows][chunks] what their values are to be multiplied by, f32.
class StagedX {
 public:
  static constexpr int kPadding = 16;  // bytes

  __host__ __device__ static constexpr int row_bytes(int chunks) {
    return chunks * E4m3::kChunk * 2 + kPadding;
  }

  __host__ __device__ static constexpr int bytes(int rows, int chunks) {
    return rows * (row_bytes(chunks) + chunks * 4);
  }

  __device__ StagedX(uint8_t* shared, int rows, int chunks)
      : values_(shared),
        factors_(reinterpret_cast<float*>(shared + rows * row_bytes(chunks))),
        rows_(rows),
        chunks_(chunks) {}

  // Fills what the warps of a team need of rows [begin, begin + rows): each warp its own chunks, or
  // all warps together where each is a team and needs them all. Chunk c of the block is step
  // c / share of part c % share.
  // row_at(i): row i of x. Several loads are under way together.
  template <int kWarps, int kShare, class RowAt>
  __device__ void fill(const RowAt& row_at, int rows, int k, const Stretch& stretch) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int half = static_cast<int>(threadIdx.x) % 32 / 16;
    const int lane = static_cast<int>(threadIdx.x) % 16;
    const int pairs = rows * stretch.steps;
    constexpr bool kTogether = kShare == 1;
    constexpr int kStride = kTogether ? 2 * kWarps : 2;
    constexpr int kAtOnce = 4;
    for (int pair = kTogether ? 2 * warp : 0; pair < pairs; pair += kAtOnce * kStride) {
      uint4 values[kAtOnce];
      int row[kAtOnce];
      int step[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        // Where there is none left, the last one again.
        const int mine = min(pair + i * kStride + half, pairs - 1);
        row[i] = mine / stretch.steps;
        step[i] = mine % stretch.steps;
        values[i] = load_x(
            row_at(row[i]), (step[i] * stretch.stride + stretch.part) * E4m3::kChunk + 8 * lane, k);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        fill_chunk(row[i], step[i] * kShare + (kTogether ? 0 : warp), values[i]);
      }
    }
    if constexpr (kTogether) {
      __syncthreads();
    } else {
      __syncwarp();
    }
  }

  __device__ void multiply(const Weights<E4m3>& w, int chunk, float (&sums)[4]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    // Rows that do not exist read another one's: their sums are not stored.
    const uint8_t* x = values_ + min(lane / 4, rows_ - 1) * row_bytes(chunks_) +
                       chunk * (E4m3::kChunk * 2) + 32 * (lane % 4);
    float block[4] = {};
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const uint4 x0 = *reinterpret_cast<const uint4*>(x + step * E4m3::kChunk);
      const uint4 x1 = *reinterpret_cast<const uint4*>(x + step * E4m3::kChunk + 16);
      const uint32_t b[8] = {x0.x, x0.y, x0.z, x0.w, x1.x, x1.y, x1.z, x1.w};
      const uint32_t low[4] = {w.low[step].x, w.low[step].y, w.low[step].z, w.low[step].w};
      const uint32_t high[4] = {w.high[step].x, w.high[step].y, w.high[step].z, w.high[step].w};
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const uint2 l = four_f16(low[i]);
        const uint2 h = four_f16(high[i]);
        const uint32_t a[4] = {l.x, h.x, l.y, h.y};
        mma_f16(block, a, b[2 * i], b[2 * i + 1]);
      }
    }
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      const int row = min(2 * (lane % 4) + j, rows_ - 1);
      const float factor = factors_[row * chunks_ + chunk];
      sums[j] = fmaf(block[j], w.low_scale * factor, sums[j]);
      sums[2 + j] = fmaf(block[2 + j], w.high_scale * factor, sums[2 + j]);
    }
  }

  // Half a warp: 128 columns of one row, 8 a lane.
  __device__ void fill_chunk(int row, int chunk, const uint4& v) {
    const int lane = static_cast<int>(threadIdx.x) % 16;
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
    uint32_t largest = 0;  // of the bits without sign, which order as the values do
#pragma unroll
    for (const uint32_t word : words) {
      largest = max(largest, max(word & 0x7FFFU, word >> 16 & 0x7FFFU));
    }
#pragma unroll
    for (int step = 8; step > 0; step /= 2) {
      largest = max(largest, __shfl_xor_sync(0xFFFFFFFFU, largest, step));
    }
    // The largest value gets the exponent 14, of f16's 15. The power of two and its reciprocal are
    // normal numbers. Infinities and NaN stay what they are.
    const uint32_t exponent = min(max(largest >> 7, 15U), 254U);
    const float scale = __uint_as_float((127U + 14U + 127U - exponent) << 23);
    uint32_t out[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __half2 pair = __floats2half2_rn(__uint_as_float(words[i] << 16) * scale,
                                             __uint_as_float(words[i] & 0xFFFF0000U) * scale);
      out[i] = *reinterpret_cast<const uint32_t*>(&pair);
    }
    *reinterpret_cast<uint4*>(values_ + row * row_bytes(chunks_) + chunk * (E4m3::kChunk * 2) +
                              16 * lane) = uint4{out[0], out[1], out[2], out[3]};
    if (lane == 0) {
      factors_[row * chunks_ + chunk] = __uint_as_float((exponent - 14U) << 23);
    }
  }

 private:
  uint8_t* values_;
  float* factors_;
  int rows_;
  int chunks_;
};

}  // namespace tutti::cuda::few_rows
