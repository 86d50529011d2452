// Norms, sums, embeddings and copies of rows: one block per row, or per stretch of a row.
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/norm_row.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/rows.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kMaxNormThreads = 512;

// The stretch of a row that one block takes, in kernels that need no sum over the row.
template <int kWidth>
constexpr int kColumns = kThreads*(kWidth == 1 ? 4 : kWidth);

template <int kWidth>
dim3 stretches(int64_t rows, int64_t width) {
  return {static_cast<unsigned>(rows), blocks_for(width, kColumns<kWidth>), 1};
}

// f(i) for the first column i of each group in this block's stretch.
template <int kWidth, class F>
__device__ __forceinline__ void for_columns(int64_t width, const F& f) {
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kColumns<kWidth>;
  const int64_t end = min(begin + kColumns<kWidth>, width);
  for (int64_t i = begin + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    f(i);
  }
}

// A power of two of threads that depends on the width alone, so that a row is always summed alike.
unsigned norm_threads(int64_t groups) {
  unsigned threads = 32;
  while (threads < kMaxNormThreads && threads < groups) {
    threads *= 2;
  }
  return threads;
}

template <class T>
__global__ void embedding_kernel(Rows y, ConstRows table, const int32_t* ids, int64_t first_id) {
  take_turn();
  const int64_t id = ids[blockIdx.x] - first_id;
  const bool here = id >= 0 && id < table.n0;
  const T* from = row_of<T>(table, here ? id : 0);
  float* to = row_of<float>(y, blockIdx.x);
  for_columns<1>(y.width, [&](int64_t i) { to[i] = here ? to_f32(from[i]) : 0.0F; });
}

template <class Y, class X, int kWidth>
__global__ void rms_norm_kernel(Rows y, ConstRows x, const float* weight, float eps) {
  let_next_kernel_start();
  NormRow<kWidth> row(weight, x.width);
  wait_for_previous_kernel();
  const X* from = row_of<X>(x, blockIdx.x, blockIdx.y);
  const auto read = [&](int64_t i, float(&values)[kWidth]) { load<kWidth>(from + i, values); };
  row.normalise(read, read, row_of<Y>(y, blockIdx.x, blockIdx.y), eps);
}

template <class T, int kWidth>
__global__ void add_rms_norm_kernel(
    Rows y, Rows residual, ConstRows x, const float* weight, float eps) {
  let_next_kernel_start();
  NormRow<kWidth> row(weight, x.width);
  wait_for_previous_kernel();
  const T* from = row_of<T>(x, blockIdx.x);
  float* sum = row_of<float>(residual, blockIdx.x);
  row.normalise(
      [&](int64_t i, float(&values)[kWidth]) {
        float addends[kWidth];
        load<kWidth>(sum + i, values);
        load<kWidth>(from + i, addends);
#pragma unroll
        for (int u = 0; u < kWidth; ++u) {
          values[u] += addends[u];
        }
        store<kWidth>(sum + i, values);
      },
      [&](int64_t i, float(&values)[kWidth]) { load<kWidth>(sum + i, values); },
      row_of<T>(y, blockIdx.x),
      eps);
}

template <class Y, class X>
__global__ void layer_norm_kernel(
    Rows y, ConstRows x, const float* weight, const float* bias, float eps) {
  take_turn();
  const X* from = row_of<X>(x, blockIdx.x);
  Y* to = row_of<Y>(y, blockIdx.x);
  const auto width = static_cast<float>(x.width);
  float sum = 0.0F;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    sum += to_f32(from[i]);
  }
  const float mean = block_reduce<Sum>(sum) / width;
  float squares = 0.0F;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    const float value = to_f32(from[i]) - mean;
    squares += value * value;
  }
  const float scale = 1.0F / sqrtf(block_reduce<Sum>(squares) / width + eps);
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    const float value = (to_f32(from[i]) - mean) * scale * weight[i];
    store(to + i, bias != nullptr ? value + bias[i] : value);
  }
}

// Block (t, 0) sums row t of x, block (t, 1) that of also.
template <class T>
__global__ void sum_squares_kernel(TypedRows<float> y, ConstRows x, ConstRows also) {
  take_turn();
  const ConstRows& rows = blockIdx.y == 0 ? x : also;
  const T* from = row_of<T>(rows, blockIdx.x);
  float squares = 0.0F;
  for (int64_t i = threadIdx.x; i < rows.width; i += blockDim.x) {
    const float value = to_f32(from[i]);
    squares += value * value;
  }
  squares = block_reduce<Sum>(squares);
  if (threadIdx.x == 0) {
    y.data[blockIdx.x * y.stride + blockIdx.y] = squares;
  }
}

template <class T>
__global__ void norm_part_kernel(Rows y,
                                 ConstRows x,
                                 const float* weight,
                                 TypedRows<const float> squares,
                                 float width,
                                 float eps) {
  take_turn();
  const float scale = 1.0F / sqrtf(squares.data[blockIdx.x * squares.stride] / width + eps);
  const T* from = row_of<T>(x, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns<1>(x.width, [&](int64_t i) { store(to + i, to_f32(from[i]) * scale * weight[i]); });
}

template <class Y, class X, int kWidth>
__global__ void add_kernel(Rows y, ConstRows x) {
  take_turn();
  const X* from = row_of<X>(x, blockIdx.x);
  Y* to = row_of<Y>(y, blockIdx.x);
  for_columns<kWidth>(x.width, [&](int64_t i) {
    float values[kWidth];
    float addends[kWidth];
    load<kWidth>(to + i, values);
    load<kWidth>(from + i, addends);
#pragma unroll
    for (int u = 0; u < kWidth; ++u) {
      values[u] += addends[u];
    }
    store<kWidth>(to + i, values);
  });
}

template <class T, int kWidth>
__global__ void silu_mul_kernel(Rows y, ConstRows gate, ConstRows up) {
  take_turn();
  const T* g = row_of<T>(gate, blockIdx.x);
  const T* u = row_of<T>(up, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns<kWidth>(y.width, [&](int64_t i) {
    float z[kWidth];
    float factors[kWidth];
    load<kWidth>(g + i, z);
    load<kWidth>(u + i, factors);
#pragma unroll
    for (int n = 0; n < kWidth; ++n) {
      z[n] = z[n] / (1.0F + expf(-z[n])) * factors[n];
    }
    store<kWidth>(to + i, z);
  });
}

template <class T>
__global__ void gelu_mul_kernel(Rows y, ConstRows gate, ConstRows up, bool tanh) {
  take_turn();
  const T* g = row_of<T>(gate, blockIdx.x);
  const T* u = row_of<T>(up, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns<1>(y.width, [&](int64_t i) {
    const float z = to_f32(g[i]);
    const float half = 0.5F * z;
    const float gelu = tanh ? half * (1.0F + tanhf(0.7978845608F * (z + 0.044715F * z * z * z)))
                            : half * erfcf(-0.7071067812F * z);
    store(to + i, gelu * to_f32(u[i]));
  });
}

template <class T>
__global__ void gather_rows_kernel(Rows y, ConstRows x, const int32_t* rows) {
  take_turn();
  const T* from = row_of<T>(x, rows[blockIdx.x]);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns<1>(y.width, [&](int64_t i) { to[i] = from[i]; });
}

}  // namespace

cudaError_t find_kernel() {
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, gather_rows_kernel<float>);
}

cudaError_t embedding(
    const Rows& y, const ConstRows& table, const int32_t* ids, int64_t first_id, cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  const dim3 grid = stretches<1>(y.n0, y.width);
  if (table.type == ElementType::kF32) {
    launch_overlapped(embedding_kernel<float>, grid, kThreads, s, y, table, ids, first_id);
  } else if (table.type == ElementType::kF16) {
    launch_overlapped(embedding_kernel<__half>, grid, kThreads, s, y, table, ids, first_id);
  } else {
    launch_overlapped(embedding_kernel<bf16>, grid, kThreads, s, y, table, ids, first_id);
  }
  return cudaGetLastError();
}

cudaError_t rms_norm(
    const Rows& y, const ConstRows& x, const float* weight, float eps, cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  const dim3 grid(static_cast<unsigned>(x.n0), static_cast<unsigned>(x.n1));
  with_act(y.type, [&](auto out) {
    with_act(x.type, [&](auto in) {
      with_width(moves_eight(y) && moves_eight(x), [&](auto width) {
        launch_overlapped(rms_norm_kernel<decltype(out), decltype(in), width()>,
                          grid,
                          norm_threads(x.width / width()),
                          s,
                          y,
                          x,
                          weight,
                          eps);
      });
    });
  });
  return cudaGetLastError();
}

cudaError_t add_rms_norm(const Rows& y,
                         const Rows& residual,
                         const ConstRows& x,
                         const float* weight,
                         float eps,
                         cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  const bool eight = moves_eight(y) && moves_eight(residual) && moves_eight(x);
  with_act(x.type, [&](auto act) {
    with_width(eight, [&](auto width) {
      launch_overlapped(add_rms_norm_kernel<decltype(act), width()>,
                        static_cast<unsigned>(x.n0),
                        norm_threads(x.width / width()),
                        s,
                        y,
                        residual,
                        x,
                        weight,
                        eps);
    });
  });
  return cudaGetLastError();
}

cudaError_t layer_norm(const Rows& y,
                       const ConstRows& x,
                       const float* weight,
                       const float* bias,
                       float eps,
                       cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(y.type, [&](auto out) {
    with_act(x.type, [&](auto in) {
      launch_overlapped(layer_norm_kernel<decltype(out), decltype(in)>,
                        static_cast<unsigned>(x.n0),
                        norm_threads(x.width),
                        s,
                        y,
                        x,
                        weight,
                        bias,
                        eps);
    });
  });
  return cudaGetLastError();
}

cudaError_t sum_squares(const TypedRows<float>& y,
                        const ConstRows& x,
                        const ConstRows& also,
                        cudaStream_t s) {
  if (x.n0 == 0) {
    return cudaSuccess;
  }
  // As many threads whatever else is summed: a row is always summed alike.
  with_act(x.type, [&](auto act) {
    launch_overlapped(sum_squares_kernel<decltype(act)>,
                      dim3(static_cast<unsigned>(x.n0), 2),
                      norm_threads(x.width),
                      s,
                      y,
                      x,
                      also);
  });
  return cudaGetLastError();
}

cudaError_t norm_part(const Rows& y,
                      const ConstRows& x,
                      const float* weight,
                      const TypedRows<const float>& squares,
                      int64_t width,
                      float eps,
                      cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    launch_overlapped(norm_part_kernel<decltype(act)>,
                      stretches<1>(x.n0, x.width),
                      kThreads,
                      s,
                      y,
                      x,
                      weight,
                      squares,
                      static_cast<float>(width),
                      eps);
  });
  return cudaGetLastError();
}

cudaError_t add(const Rows& y, const ConstRows& x, cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(y.type, [&](auto out) {
    with_act(x.type, [&](auto in) {
      with_width(moves_eight(y) && moves_eight(x), [&](auto width) {
        launch_overlapped(add_kernel<decltype(out), decltype(in), width()>,
                          stretches<width()>(x.n0, x.width),
                          kThreads,
                          s,
                          y,
                          x);
      });
    });
  });
  return cudaGetLastError();
}

cudaError_t silu_mul(const Rows& y, const ConstRows& gate, const ConstRows& up, cudaStream_t s) {
  if (gate.empty()) {
    return cudaSuccess;
  }
  const bool eight = moves_eight(y) && moves_eight(gate) && moves_eight(up);
  with_act(gate.type, [&](auto act) {
    with_width(eight, [&](auto width) {
      launch_overlapped(silu_mul_kernel<decltype(act), width()>,
                        stretches<width()>(gate.n0, gate.width),
                        kThreads,
                        s,
                        y,
                        gate,
                        up);
    });
  });
  return cudaGetLastError();
}

cudaError_t gelu_mul(
    const Rows& y, const ConstRows& gate, const ConstRows& up, bool tanh, cudaStream_t s) {
  if (gate.empty()) {
    return cudaSuccess;
  }
  with_act(gate.type, [&](auto act) {
    launch_overlapped(gelu_mul_kernel<decltype(act)>,
                      stretches<1>(gate.n0, gate.width),
                      kThreads,
                      s,
                      y,
                      gate,
                      up,
                      tanh);
  });
  return cudaGetLastError();
}

cudaError_t gather_rows(const Rows& y, const ConstRows& x, const int32_t* rows, cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    launch_overlapped(
        gather_rows_kernel<decltype(act)>, stretches<1>(y.n0, y.width), kThreads, s, y, x, rows);
  });
  return cudaGetLastError();
}

}  // namespace tutti::cuda
