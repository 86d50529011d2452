// The loops that are worth vectorising, as a table of functions per instruction set. Plain pointers
// and sizes: the files that implement this table are compiled with other flags than the rest, so
// they must not instantiate inline functions that the linker could share.
#pragma once
#include <cstdint>

namespace tutti::cpu {

/// kOther: weights of a format that no kernel knows, one row at a time through
/// LinearJob::dequantise.
enum class WeightType : uint8_t { kF32, kF16, kBF16, kF8E4M3, kOther };

/// Rows [n_begin, n_end) of y = x * w^T + bias, for m rows of x. Strides in elements.
struct LinearJob {
  float* y = nullptr;
  const float* x = nullptr;
  const void* w = nullptr;        ///< kOther: what `dequantise` takes
  const float* bias = nullptr;    ///< or nullptr
  const float* scales = nullptr;  ///< e4m3 only: one for each block_rows x block_cols weights
  int64_t y_stride = 0;
  int64_t x_stride = 0;
  int64_t w_stride = 0;
  int64_t scale_stride = 0;
  int64_t block_rows = 1;
  int64_t block_cols = 1;
  int64_t matrix = 0;  ///< kOther: which of stacked ones
  /// kOther: w[matrix][n, k .. k + count) as f32.
  void (*dequantise)(
      const void* w, int64_t matrix, int64_t n, int64_t k, int64_t count, float* out) = nullptr;
  int64_t m = 0;
  int64_t k = 0;
  int64_t n_begin = 0;
  int64_t n_end = 0;
  WeightType type = WeightType::kF32;
  float* scratch = nullptr;  ///< kLinearScratchFloats, of this thread
};

/// Rows of weights that are best computed together, for every instruction set.
constexpr int64_t kLinearTile = 48;
/// Enough for any instruction set; see linear_kernels.h.
constexpr int64_t kLinearScratchFloats = kLinearTile * (512 + 64 * 16);

/// Keys are taken in blocks that start at absolute positions 0, 32, 64, …, so a row's result does
/// not depend on how its prompt was cut.
constexpr int64_t kKeyBlock = 32;
/// Query rows that share a pass over the keys.
constexpr int64_t kMaxQueryRows = 8;

/// One (token, head). Its query and the keys may come in two parts whose scores add up.
struct QueryRow {
  const float* a = nullptr;
  const float* b = nullptr;
  float* out = nullptr;
  int64_t visible = 0;  ///< sees positions 0 .. visible - 1
  float largest = 0;    ///< running maximum of the scores
  float sum = 0;        ///< running sum of exp(score - largest)
};

/// Query rows over the same keys. `count` <= kMaxQueryRows.
struct QueryTile {
  QueryRow rows[kMaxQueryRows];
  int64_t count = 0;
  int64_t da = 0;  ///< width of part a
  int64_t db = 0;  ///< width of part b, may be 0
  int64_t dv = 0;  ///< width of a value and of out
  float scale = 1;
};

/// Rows of the keys' parts and of the values at positions begin .. begin + count - 1.
struct KeyBlock {
  const float* a[kKeyBlock] = {};
  const float* b[kKeyBlock] = {};
  const float* v[kKeyBlock] = {};
  int64_t begin = 0;
  int64_t count = 0;
};

struct CpuKernels {
  void (*linear)(const LinearJob& job);

  /// For each tile: attend_begin, attend_block for the key blocks in order, attend_end.
  void (*attend_begin)(QueryTile& tile);
  void (*attend_block)(QueryTile& tile, const KeyBlock& keys);
  void (*attend_end)(QueryTile& tile);

  void (*to_f32)(float* y, const void* x, WeightType type, int64_t n);  ///< not e4m3
  void (*add)(float* y, const float* x, int64_t n);                     ///< y += x
  void (*rms_norm)(float* y, const float* x, const float* weight, int64_t n, float eps);
  float (*sum_squares)(const float* x, int64_t n);
  /// y = x * factor * weight
  void (*scale)(float* y, const float* x, const float* weight, int64_t n, float factor);
  /// `bias` may be null.
  void (*layer_norm)(
      float* y, const float* x, const float* weight, const float* bias, int64_t n, float eps);
  void (*silu_mul)(float* y, const float* gate, const float* up, int64_t n);
  void (*exp)(float* y, const float* x, int64_t n);
  /// y = sum over j < count of weights[j] * x[rows[j] * x_stride + ...], j ascending.
  void (*combine)(float* y,
                  const float* x,
                  int64_t x_stride,
                  const int32_t* rows,
                  const float* weights,
                  int64_t count,
                  int64_t n);
  /// Rotates one row of 2 * half elements; table holds half cosines, then half sines.
  void (*rope_half_split)(float* x, const float* table, int64_t half);
  void (*rope_interleaved)(float* x, const float* table, int64_t half);
  /// Sum of n floats with as little work per byte as possible, to measure memory with.
  float (*sum)(const float* x, int64_t n);
};

extern const CpuKernels kPortableKernels;
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;

}  // namespace tutti::cpu
