// Norms, sums, embeddings and copies of rows: one block per row, or per stretch of a row.
#include "cuda/ops/device_math.cuh"
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

// The same over the whole row.
template <int kWidth, class F>
__device__ __forceinline__ void for_row(int64_t width, const F& f) {
  for (int64_t i = threadIdx.x * kWidth; i < width; i += blockDim.x * kWidth) {
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
  const int64_t id = ids[blockIdx.x] - first_id;
  const bool here = id >= 0 && id < table.n0;
  const T* from = row_of<T>(table, here ? id : 0);
  float* to = row_of<float>(y, blockIdx.x);
  for_columns<1>(y.width, [&](int64_t i) { to[i] = here ? to_f32(from[i]) : 0.0F; });
}

template <int kWidth, class Y>
__device__ void store_normalised(
    Y* to, const float (&x)[kWidth], const float* weight, int64_t i, float scale) {
  float y[kWidth];
  float w[kWidth];
  load<kWidth>(weight + i, w);
#pragma unroll
  for (int u = 0; u < kWidth; ++u) {
    y[u] = x[u] * scale * w[u];
  }
  store<kWidth>(to + i, y);
}

template <class Y, class X, int kWidth>
__global__ void rms_norm_kernel(Rows y, ConstRows x, const float* weight, float eps) {
  const X* from = row_of<X>(x, blockIdx.x, blockIdx.y);
  Y* to = row_of<Y>(y, blockIdx.x, blockIdx.y);
  float squares = 0;
  for_row<kWidth>(x.width, [&](int64_t i) {
    float values[kWidth];
    load<kWidth>(from + i, values);
#pragma unroll
    for (int u = 0; u < kWidth; ++u) {
      squares += values[u] * values[u];
    }
  });
  squares = block_reduce<Sum>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(x.width) + eps);
  for_row<kWidth>(x.width, [&](int64_t i) {
    float values[kWidth];
    load<kWidth>(from + i, values);
    store_normalised<kWidth>(to, values, weight, i, scale);
  });
}

template <class T, int kWidth>
__global__ void add_rms_norm_kernel(
    Rows y, Rows residual, ConstRows x, const float* weight, float eps) {
  const T* from = row_of<T>(x, blockIdx.x);
  float* sum = row_of<float>(residual, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  float squares = 0;
  for_row<kWidth>(x.width, [&](int64_t i) {
    float values[kWidth];
    float addends[kWidth];
    load<kWidth>(sum + i, values);
    load<kWidth>(from + i, addends);
#pragma unroll
    for (int u = 0; u < kWidth; ++u) {
      values[u] += addends[u];
      squares += values[u] * values[u];
    }
    store<kWidth>(sum + i, values);
  });
  squares = block_reduce<Sum>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(x.width) + eps);
  for_row<kWidth>(x.width, [&](int64_t i) {  // each thread reads what it wrote itself
    float values[kWidth];
    load<kWidth>(sum + i, values);
    store_normalised<kWidth>(to, values, weight, i, scale);
  });
}

template <class Y, class X, int kWidth>
__global__ void add_kernel(Rows y, ConstRows x) {
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
__global__ void gather_rows_kernel(Rows y, ConstRows x, const int32_t* rows) {
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
    embedding_kernel<float><<<grid, kThreads, 0, s>>>(y, table, ids, first_id);
  } else if (table.type == ElementType::kF16) {
    embedding_kernel<__half><<<grid, kThreads, 0, s>>>(y, table, ids, first_id);
  } else {
    embedding_kernel<bf16><<<grid, kThreads, 0, s>>>(y, table, ids, first_id);
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
        rms_norm_kernel<decltype(out), decltype(in), width()>
            <<<grid, norm_threads(x.width / width()), 0, s>>>(y, x, weight, eps);
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
      add_rms_norm_kernel<decltype(act), width()>
          <<<static_cast<unsigned>(x.n0), norm_threads(x.width / width()), 0, s>>>(
              y, residual, x, weight, eps);
    });
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
        add_kernel<decltype(out), decltype(in), width()>
            <<<stretches<width()>(x.n0, x.width), kThreads, 0, s>>>(y, x);
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
      silu_mul_kernel<decltype(act), width()>
          <<<stretches<width()>(gate.n0, gate.width), kThreads, 0, s>>>(y, gate, up);
    });
  });
  return cudaGetLastError();
}

cudaError_t gather_rows(const Rows& y, const ConstRows& x, const int32_t* rows, cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    gather_rows_kernel<decltype(act)><<<stretches<1>(y.n0, y.width), kThreads, 0, s>>>(y, x, rows);
  });
  return cudaGetLastError();
}

}  // namespace tutti::cuda
