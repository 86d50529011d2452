// What a warp of few_rows_gemm.cu holds of the weights and of x: chunks of 128 bytes along k of 16
// weight rows, which are the row operand of the matrix fragments. A thread takes 16 consecutive
// bytes of a weight row, so every load is 16 bytes wide; the order of k inside a fragment is free
// as long as both operands agree.
#pragma once
#include <cuda_fp8.h>

#include "cuda/kernels/few_rows_gemm.h"
#include "cuda/kernels/ptx.h"

namespace tutti::cuda::few_rows {

constexpr int kOutputs = 16;      // rows of a fragment
constexpr int kChunkBytes = 128;  // of a weight row: one cache line

struct Params {
  void* y;
  const __nv_bfloat16* x;
  const uint8_t* w;
  BlockScales scales;
  const int32_t* x_rows;
  const int32_t* offsets;
  int64_t y_stride;
  int64_t x_stride;
  int64_t y_group;
  int64_t x_group;
  int rows;
  int groups;
  int n;
  int k;
  bool f32_out;
  int pass_rows;   // of x that share a pass over the weights
  int split;       // blocks that share a sum: a cluster
  int tiles;       // of 16 rows of weights
  int team_tiles;  // that a team computes one after another
  SharedExpert beside;
};

// A matrix and the factors of its blocks.
struct Matrix {
  const uint8_t* w;
  const float* scales;
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
  static constexpr int kChunk = 64;   // columns
  static constexpr bool kScaled = false;
};

struct E4m3 {
  static constexpr int kPerLoad = 16;
  static constexpr int kChunk = 128;
  static constexpr bool kScaled = true;
};

// A chunk of two weight rows: two steps of 16 bytes each, and the factor of each row.
template <typename W>
struct Weights {
  uint4 low[2];
  uint4 high[2];
  float low_scale;
  float high_scale;
};

// Which chunks of k are a warp's: part, part + stride, ..
struct Stretch {
  int part;
  int stride;
  int steps;  // the same for all parts, so that a team stays together; the last may lie behind k
};

// Reads a warp's chunks of tiles [tile, end), one tile after another.
template <typename W, bool kGated>
class Reader {
 public:
  __device__ Reader(
      const Params& p, const Matrix& matrix, int tile, int end, const Stretch& stretch)
      : p_(p), stretch_(stretch), matrix_(matrix), tile_(tile), end_(end) {
    aim();
  }

  // Zeros behind k and behind the last tile.
  __device__ void next(Weights<W>& c) {
    const int chunk = step_ * stretch_.stride + stretch_.part;
    const int column = chunk * W::kChunk + W::kPerLoad * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      const int k = column + step * (4 * W::kPerLoad);
      const bool inside = k < p_.k && tile_ < end_;
      const uint4 zero{0, 0, 0, 0};
      c.low[step] = inside ? load_weights(low_ + k * kValueBytes) : zero;
      c.high[step] = inside ? load_weights(high_ + k * kValueBytes) : zero;
    }
    if constexpr (W::kScaled) {
      const bool inside = chunk * W::kChunk < p_.k && tile_ < end_;
      c.low_scale = inside ? __ldg(low_scales_ + chunk) : 0.0F;
      c.high_scale = inside ? __ldg(high_scales_ + chunk) : 0.0F;
    }
    if (++step_ == stretch_.steps) {
      step_ = 0;
      ++tile_;
      aim();
    }
  }

 private:
  static constexpr int kValueBytes = 16 / W::kPerLoad;

  // Points at this thread's two rows of the tile.
  __device__ void aim() {
    const int row = static_cast<int>(threadIdx.x) % 32 / 4;
    // Gated: the fragment's first 8 rows are gates, the others the matching ups.
    const int half = p_.n / 2;
    const int low =
        min(kGated ? tile_ * 8 + row : tile_ * kOutputs + row, (kGated ? half : p_.n) - 1);
    const int high = kGated ? half + low : min(tile_ * kOutputs + row + 8, p_.n - 1);
    const int64_t row_bytes = static_cast<int64_t>(p_.k) * kValueBytes;
    low_ = matrix_.w + low * row_bytes;
    high_ = matrix_.w + high * row_bytes;
    if constexpr (W::kScaled) {
      low_scales_ = matrix_.scales + low / p_.scales.rows * p_.scales.row_stride;
      high_scales_ = matrix_.scales + high / p_.scales.rows * p_.scales.row_stride;
    }
  }

  const Params& p_;
  const Stretch stretch_;
  const Matrix matrix_;
  const uint8_t* low_ = nullptr;
  const uint8_t* high_ = nullptr;
  const float* low_scales_ = nullptr;
  const float* high_scales_ = nullptr;
  int tile_;
  int end_;
  int step_ = 0;
};

// Four e4m3 values as f16, exactly: the first two and the last two.
__device__ __forceinline__ uint2 four_f16(uint32_t four) {
  const auto pair = [](uint32_t two) {
    const __half2_raw r =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(two), __NV_E4M3);
    return static_cast<uint32_t>(r.x) | (static_cast<uint32_t>(r.y) << 16);
  };
  return {pair(four & 0xFFFFU), pair(four >> 16)};
}

}  // namespace tutti::cuda::few_rows
