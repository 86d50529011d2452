// Matrix products. Every output is one vector accumulator that walks along k from 0 in steps of
// Simd::kWidth (the last step masked), then one horizontal sum. Tiling only decides which outputs
// are computed side by side, so it cannot change a bit of any of them.
//
// Few rows of x: weights are converted in registers, each is read once (memory-bound).
// Many rows, and formats without code of their own here: a panel of weights is converted to f32
// once and used for a block of rows (compute-bound); accumulators wait in scratch memory between
// blocks of k.
#pragma once
#include "ops/cpu/elementwise_kernels.h"
#include "ops/cpu/weight_loaders.h"

namespace tutti::cpu {
namespace {

constexpr int64_t kFewRows = 8;
// Panel sizes: 48 rows of weights x 512 columns are 96 KiB, accumulators 48 x 64 x 64 bytes are
// 192 KiB at most; both stay in a level 2 cache next to 64 x 512 columns of x (128 KiB).
constexpr int64_t kPanelRows = kLinearTile;
constexpr int64_t kPanelCols = 512;
constexpr int64_t kBlockRowsX = 64;
static_assert(kPanelRows * (kPanelCols + kBlockRowsX * Simd::kWidth) <= kLinearScratchFloats);

template <class T>
inline const T* weight_row(const LinearJob& job, int64_t n) {
  return static_cast<const T*>(job.w) + n * job.w_stride;
}

// Scales of row n of the weights; they exist for e4m3 only.
inline const float* scales_of(const LinearJob& job, int64_t n) {
  return job.scales + n / job.block_rows * job.scale_stride;
}

// Walks along the scale blocks of a row; dense weights are one block without a scale.
class BlockWalk {
 public:
  BlockWalk(const LinearJob& job, int64_t k) : job_(job), end_(job.k) {
    if (job.scales != nullptr) {
      index_ = k / job.block_cols;
      end_ = (index_ + 1) * job.block_cols;
    }
  }

  // To the block of column k < job.k, which must not lie behind. No division: this is in the
  // memory-bound loop.
  void move_to(int64_t k) {
    while (end_ <= k) {
      ++index_;
      end_ += job_.block_cols;
    }
  }

  // Columns [k, result) can be read in whole vectors of this block; result == k if there are none.
  int64_t whole_vectors(int64_t k, int64_t limit) const {
    return k + (end(limit) - k) / Simd::kWidth * Simd::kWidth;
  }

  int64_t end(int64_t limit) const { return end_ < limit ? end_ : limit; }

  // `scales`: those of a row of weights.
  float scale(const float* scales) const { return scales[index_] * E4M3Weights::kFactor; }

  // Scales of columns k .. k + count - 1, for the vectors in which the block changes.
  Simd::F scale_lanes(const float* scales, int64_t k, int64_t count) const {
    float lanes[Simd::kWidth] = {};
    BlockWalk walk = *this;
    for (int64_t i = 0; i < count; ++i) {
      walk.move_to(k + i);
      lanes[i] = walk.scale(scales);
    }
    return Simd::load(lanes);
  }

 private:
  const LinearJob& job_;
  int64_t index_ = 0;
  int64_t end_;
};

inline void finish(const LinearJob& job, int64_t m, int64_t n, Simd::F acc) {
  const float sum = Simd::sum(acc);
  job.y[m * job.y_stride + n] = job.bias == nullptr ? sum : sum + job.bias[n];
}

// A NaN weight makes its whole row of outputs NaN, whatever x is.
template <class T>
inline bool has_e4m3_nan(const T* w, int64_t k) {
  for (int64_t i = 0; i < k; ++i) {
    if ((static_cast<uint32_t>(w[i]) & 0x7FU) == 0x7FU) {
      return true;
    }
  }
  return false;
}

#define TUTTI_INLINE inline __attribute__((always_inline))

// Outputs (m .. m + M) x (n .. n + N), weights converted on the way.
template <class Weights, int M, int N>
class StreamTile {
 public:
  TUTTI_INLINE StreamTile(const LinearJob& job, int64_t m, int64_t n)
      : job_(job), m_(m), n_(n), x_(job.x + m * job.x_stride), ahead_(N * job.w_stride) {
    for (int j = 0; j < N; ++j) {
      w_[j] = weight_row<T>(job, n + j);
      if constexpr (kScaled) {
        scales_[j] = scales_of(job, n + j);
      }
      for (int i = 0; i < M; ++i) {
        acc_[i][j] = Simd::zero();
      }
    }
  }

  TUTTI_INLINE void run() {
    BlockWalk blocks(job_, 0);
    for (int64_t k = 0; k < job_.k;) {
      blocks.move_to(k);
      if constexpr (kScaled) {
        for (int j = 0; j < N; ++j) {
          scale_[j] = Simd::set1(blocks.scale(scales_[j]));
        }
      }
      const int64_t end = blocks.whole_vectors(k, job_.k);
      for (; k + kLine <= end; k += kLine) {
        add_line(k);
      }
      for (; k < end; k += Simd::kWidth) {
        for (int j = 0; j < N; ++j) {
          add(j, k, scaled(j, Weights::load(w_[j] + k)));
        }
      }
      if (k < blocks.end(job_.k)) {
        k += add_part(blocks, k);
      }
    }
    store();
  }

 private:
  using T = typename Weights::T;
  static constexpr bool kScaled = requires { Weights::kFactor; };
  static constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));  // one cache line

  TUTTI_INLINE void add(int j, int64_t k, Simd::F w) {
#pragma GCC unroll 8
    for (int i = 0; i < M; ++i) {
      acc_[i][j] = Simd::fma(Simd::load(x_ + i * job_.x_stride + k), w, acc_[i][j]);
    }
  }

  TUTTI_INLINE Simd::F scaled(int j, Simd::F w) const {
    if constexpr (kScaled) {
      return Simd::mul(w, scale_[j]);
    }
    return w;
  }

  // One cache line of each row. Rows end before the hardware has learnt to read ahead, so the same
  // place of the next tile is asked for here.
  TUTTI_INLINE void add_line(int64_t k) {
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const T* w = w_[j] + k;
      __builtin_prefetch(w + ahead_, 0, 2);
      if constexpr (kScaled) {
        Simd::watch_nan(nan_, w);
#pragma GCC unroll 8
        for (int64_t i = 0; i < kLine; i += 2 * Simd::kWidth) {
          Simd::F first;
          Simd::F second;
          Simd::load_e4m3_pair(w + i, first, second);
          add(j, k + i, scaled(j, first));
          add(j, k + i + Simd::kWidth, scaled(j, second));
        }
      } else {
#pragma GCC unroll 16
        for (int64_t i = 0; i < kLine; i += Simd::kWidth) {
          add(j, k + i, Weights::load(w + i));
        }
      }
    }
  }

  // The last columns, or a vector of several blocks. Returns how many columns.
  TUTTI_INLINE int64_t add_part(const BlockWalk& blocks, int64_t k) {
    const int64_t lanes = job_.k - k < Simd::kWidth ? job_.k - k : Simd::kWidth;
    for (int j = 0; j < N; ++j) {
      Simd::F w = load_first_weights<Weights>(w_[j] + k, lanes);
      if constexpr (kScaled) {
        w = Simd::mul(w, blocks.scale_lanes(scales_[j], k, lanes));
      }
      for (int i = 0; i < M; ++i) {
        const Simd::F x = Simd::load_first(x_ + i * job_.x_stride + k, lanes);
        acc_[i][j] = Simd::fma(x, w, acc_[i][j]);
      }
    }
    return lanes;
  }

  TUTTI_INLINE void store() {
    const bool check_nan = Simd::saw_nan(nan_);
    for (int j = 0; j < N; ++j) {
      const bool has_nan = check_nan && has_e4m3_nan(w_[j], job_.k);
      for (int i = 0; i < M; ++i) {
        finish(job_, m_ + i, n_ + j, has_nan ? Simd::set1(__builtin_nanf("")) : acc_[i][j]);
      }
    }
  }

  const LinearJob& job_;
  int64_t m_;
  int64_t n_;
  const float* x_;
  int64_t ahead_;
  const T* w_[N];
  const float* scales_[N] = {};
  Simd::F acc_[M][N];
  Simd::F scale_[N] = {};
  Simd::NanWatch nan_ = Simd::no_nan();
};

template <class Weights, int N>
inline void stream_rows(const LinearJob& job, int64_t n) {
  int64_t m = 0;
  for (; m + 4 <= job.m; m += 4) {
    StreamTile<Weights, 4, N>(job, m, n).run();
  }
  switch (job.m - m) {
    case 3:
      return StreamTile<Weights, 3, N>(job, m, n).run();
    case 2:
      return StreamTile<Weights, 2, N>(job, m, n).run();
    case 1:
      return StreamTile<Weights, 1, N>(job, m, n).run();
    default:
      return;
  }
}

template <class Weights>
void linear_few(const LinearJob& job) {
  int64_t n = job.n_begin;
  for (; n + 4 <= job.n_end; n += 4) {
    stream_rows<Weights, 4>(job, n);
  }
  for (; n < job.n_end; ++n) {
    stream_rows<Weights, 1>(job, n);
  }
}

// One row of weights, columns [begin, end), as f32; padded with zeros to whole vectors.
template <class Weights>
inline void convert_row(float* to, const LinearJob& job, int64_t n, int64_t begin, int64_t end) {
  constexpr bool kScaled = requires {
    Weights::kFactor;
  };
  const auto* w = weight_row<typename Weights::T>(job, n);
  const float* scales = kScaled ? scales_of(job, n) : nullptr;
  BlockWalk blocks(job, begin);
  for (int64_t k = begin; k < end;) {
    blocks.move_to(k);
    const int64_t run = blocks.whole_vectors(k, end);
    const Simd::F scale = kScaled ? Simd::set1(blocks.scale(scales)) : Simd::zero();
    for (; k < run; k += Simd::kWidth) {
      const Simd::F wv = Weights::load(w + k);
      Simd::store(to + k - begin, kScaled ? Simd::mul(wv, scale) : wv);
    }
    if (k < blocks.end(end)) {
      const int64_t lanes = end - k < Simd::kWidth ? end - k : Simd::kWidth;
      Simd::F wv = load_first_weights<Weights>(w + k, lanes);
      if constexpr (kScaled) {
        wv = Simd::mul(wv, blocks.scale_lanes(scales, k, lanes));
      }
      Simd::store(to + k - begin, wv);
      k += Simd::kWidth;
    }
  }
}

template <>
inline void convert_row<OtherWeights>(
    float* to, const LinearJob& job, int64_t n, int64_t begin, int64_t end) {
  job.dequantise(job.w, job.matrix, n, begin, end - begin, to);
  for (int64_t k = end - begin; k % Simd::kWidth != 0; ++k) {
    to[k] = 0;
  }
}

// Adds `cols` columns to M x N accumulators; `acc` holds them as [m][kPanelRows] vectors.
template <int M, int N>
inline void panel_tile(float* acc, const float* x, int64_t x_stride, const float* w, int64_t cols) {
  Simd::F sum[M][N];
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) {
      sum[i][j] = Simd::load(acc + (i * kPanelRows + j) * Simd::kWidth);
    }
  }
  const auto step = [&](int64_t k, auto load_x) __attribute__((always_inline)) {
    Simd::F xv[M];
    for (int i = 0; i < M; ++i) {
      xv[i] = load_x(x + i * x_stride + k);
    }
    for (int j = 0; j < N; ++j) {
      const Simd::F wv = Simd::load(w + j * kPanelCols + k);
      for (int i = 0; i < M; ++i) {
        sum[i][j] = Simd::fma(xv[i], wv, sum[i][j]);
      }
    }
  };
  int64_t k = 0;
  for (; k + Simd::kWidth <= cols; k += Simd::kWidth) {
    step(k, [](const float* p) { return Simd::load(p); });
  }
  if (k < cols) {
    step(k, [&](const float* p) { return Simd::load_first(p, cols - k); });
  }
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < N; ++j) {
      Simd::store(acc + (i * kPanelRows + j) * Simd::kWidth, sum[i][j]);
    }
  }
}

template <int M>
inline void panel_rows(
    float* acc, const float* x, int64_t x_stride, const float* panel, int64_t rows, int64_t cols) {
  constexpr int kTile = Simd::kTileRows;
  int64_t j = 0;
  for (; j + kTile <= rows; j += kTile) {
    panel_tile<M, kTile>(acc + j * Simd::kWidth, x, x_stride, panel + j * kPanelCols, cols);
  }
  for (; j < rows; ++j) {
    panel_tile<M, 1>(acc + j * Simd::kWidth, x, x_stride, panel + j * kPanelCols, cols);
  }
}

// Outputs (m .. m + count) x (n .. n + rows).
template <class Weights>
void linear_block(const LinearJob& job, int64_t m, int64_t count, int64_t n, int64_t rows) {
  float* panel = job.scratch;
  float* acc = job.scratch + kPanelRows * kPanelCols;
  const int64_t acc_stride = kPanelRows * Simd::kWidth;
  for (int64_t i = 0; i < count * acc_stride; ++i) {
    acc[i] = 0;
  }
  for (int64_t k = 0; k < job.k; k += kPanelCols) {
    const int64_t cols = job.k - k < kPanelCols ? job.k - k : kPanelCols;
    for (int64_t j = 0; j < rows; ++j) {
      convert_row<Weights>(panel + j * kPanelCols, job, n + j, k, k + cols);
    }
    const float* x = job.x + m * job.x_stride + k;
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
      panel_rows<4>(acc + i * acc_stride, x + i * job.x_stride, job.x_stride, panel, rows, cols);
    }
    for (; i < count; ++i) {
      panel_rows<1>(acc + i * acc_stride, x + i * job.x_stride, job.x_stride, panel, rows, cols);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < rows; ++j) {
      finish(job, m + i, n + j, Simd::load(acc + i * acc_stride + j * Simd::kWidth));
    }
  }
}

template <class Weights>
void linear_many(const LinearJob& job) {
  for (int64_t n = job.n_begin; n < job.n_end; n += kPanelRows) {
    const int64_t rows = job.n_end - n < kPanelRows ? job.n_end - n : kPanelRows;
    for (int64_t m = 0; m < job.m; m += kBlockRowsX) {
      const int64_t count = job.m - m < kBlockRowsX ? job.m - m : kBlockRowsX;
      linear_block<Weights>(job, m, count, n, rows);
    }
  }
}

template <class Weights>
void linear_typed(const LinearJob& job) {
  if (job.m <= kFewRows) {
    linear_few<Weights>(job);
  } else {
    linear_many<Weights>(job);
  }
}

void linear(const LinearJob& job) {
  switch (job.type) {
    case WeightType::kF32:
      return linear_typed<F32Weights>(job);
    case WeightType::kF16:
      return linear_typed<F16Weights>(job);
    case WeightType::kBF16:
      return linear_typed<BF16Weights>(job);
    case WeightType::kF8E4M3:
      return linear_typed<E4M3Weights>(job);
    case WeightType::kOther:
      return linear_many<OtherWeights>(job);
  }
}

}  // namespace
}  // namespace tutti::cpu
