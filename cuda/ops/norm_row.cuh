// The root mean square norm of a row by one thread block.
#pragma once
#include "cuda/ops/device_math.cuh"

namespace tutti::cuda {

// The columns of a row that this thread holds in registers between the sum and the scaling, with
// their weights; rows wider than all threads can hold are read again. Weights never change, so they
// are fetched while the previous kernel still runs.
template <int kWidth>
class NormRow {
 public:
  __device__ NormRow(const float* weight, int64_t width) : weight_(weight), width_(width) {
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (column(g) < width) {
        load<kWidth>(weight + column(g), weights_[g]);
      }
    }
  }

  // read(column, values) fills the values of kWidth columns, which are normalised into `to`, and
  // into `also` unless that is nullptr.
  template <class Read, class Again, class Y>
  __device__ void normalise(
      const Read& read, const Again& read_again, Y* to, float eps, Y* also = nullptr) {
    float squares = 0;
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (column(g) < width_) {
        read(column(g), values_[g]);
        squares = add_squares(squares, values_[g]);
      }
    }
    for (int64_t i = column(kHeld); i < width_; i += blockDim.x * kWidth) {
      float values[kWidth];
      read(i, values);
      squares = add_squares(squares, values);
    }
    squares = block_reduce<Sum>(squares);
    const float scale = 1.0F / sqrtf(squares / static_cast<float>(width_) + eps);
#pragma unroll
    for (int g = 0; g < kHeld; ++g) {
      if (column(g) < width_) {
        write(to, also, column(g), values_[g], weights_[g], scale);
      }
    }
    for (int64_t i = column(kHeld); i < width_; i += blockDim.x * kWidth) {
      float values[kWidth];
      float weights[kWidth];
      read_again(i, values);
      load<kWidth>(weight_ + i, weights);
      write(to, also, i, values, weights, scale);
    }
  }

 private:
  static constexpr int kHeld = 2;

  __device__ int64_t column(int g) const {
    return (static_cast<int64_t>(g) * blockDim.x + threadIdx.x) * kWidth;
  }

  __device__ static float add_squares(float sum, const float (&values)[kWidth]) {
#pragma unroll
    for (int u = 0; u < kWidth; ++u) {
      sum += values[u] * values[u];
    }
    return sum;
  }

  template <class Y>
  __device__ static void write(Y* to,
                               Y* also,
                               int64_t column,
                               const float (&values)[kWidth],
                               const float (&weights)[kWidth],
                               float scale) {
    float y[kWidth];
#pragma unroll
    for (int u = 0; u < kWidth; ++u) {
      y[u] = values[u] * scale * weights[u];
    }
    store<kWidth>(to + column, y);
    if (also != nullptr) {
      store<kWidth>(also + column, y);
    }
  }

  const float* weight_;
  int64_t width_;
  float weights_[kHeld][kWidth];
  float values_[kHeld][kWidth];
};

}  // namespace tutti::cuda
