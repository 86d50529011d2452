// Norms, sums, embeddings and copies of rows: one block per row, or per stretch of a row.
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/rows.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kColumns = 1024;  // of one block, in the kernels that need no sum over a row

dim3 stretches(const BasicRows<const void>& rows) {
  return {static_cast<unsigned>(rows.n0), blocks_for(rows.width, kColumns), 1};
}

ConstRows as_const(const Rows& r) {
  return {r.data, r.type, r.n0, r.n1, r.width, r.stride0, r.stride1};
}

// Columns of this block's stretch: f(i) for i < width.
template <class F>
__device__ __forceinline__ void for_columns(int64_t width, const F& f) {
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kColumns;
  const int64_t end = min(begin + kColumns, width);
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    f(i);
  }
}

// A power of two of threads that depends on the width alone, so that a row is always summed alike.
unsigned norm_threads(int64_t width) {
  unsigned threads = 32;
  while (threads < 512 && threads * 4 < width) {
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
  for_columns(y.width, [&](int64_t i) { to[i] = here ? to_f32(from[i]) : 0.0F; });
}

template <class Y, class X>
__global__ void rms_norm_kernel(Rows y, ConstRows x, const float* weight, float eps) {
  const X* from = row_of<X>(x, blockIdx.x, blockIdx.y);
  Y* to = row_of<Y>(y, blockIdx.x, blockIdx.y);
  float squares = 0;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    const float value = to_f32(from[i]);
    squares += value * value;
  }
  squares = block_reduce<Sum>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(x.width) + eps);
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    store(&to[i], to_f32(from[i]) * scale * weight[i]);
  }
}

template <class T>
__global__ void add_rms_norm_kernel(
    Rows y, Rows residual, ConstRows x, const float* weight, float eps) {
  const T* from = row_of<T>(x, blockIdx.x);
  float* sum = row_of<float>(residual, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  float squares = 0;
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    const float value = sum[i] + to_f32(from[i]);
    sum[i] = value;
    squares += value * value;
  }
  squares = block_reduce<Sum>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(x.width) + eps);
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    store(&to[i], sum[i] * scale * weight[i]);
  }
}

template <class Y, class X>
__global__ void add_kernel(Rows y, ConstRows x) {
  const X* from = row_of<X>(x, blockIdx.x);
  Y* to = row_of<Y>(y, blockIdx.x);
  for_columns(x.width, [&](int64_t i) { store(&to[i], to_f32(to[i]) + to_f32(from[i])); });
}

template <class T>
__global__ void silu_mul_kernel(Rows y, ConstRows gate, ConstRows up) {
  const T* g = row_of<T>(gate, blockIdx.x);
  const T* u = row_of<T>(up, blockIdx.x);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns(y.width, [&](int64_t i) {
    const float z = to_f32(g[i]);
    store(&to[i], z / (1.0F + expf(-z)) * to_f32(u[i]));
  });
}

template <class T>
__global__ void gather_rows_kernel(Rows y, ConstRows x, const int32_t* rows) {
  const T* from = row_of<T>(x, rows[blockIdx.x]);
  T* to = row_of<T>(y, blockIdx.x);
  for_columns(y.width, [&](int64_t i) { to[i] = from[i]; });
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
  const dim3 grid = stretches(as_const(y));
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
      rms_norm_kernel<decltype(out), decltype(in)>
          <<<grid, norm_threads(x.width), 0, s>>>(y, x, weight, eps);
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
  with_act(x.type, [&](auto act) {
    add_rms_norm_kernel<decltype(act)>
        <<<static_cast<unsigned>(x.n0), norm_threads(x.width), 0, s>>>(y, residual, x, weight, eps);
  });
  return cudaGetLastError();
}

cudaError_t add(const Rows& y, const ConstRows& x, cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(y.type, [&](auto out) {
    with_act(x.type, [&](auto in) {
      add_kernel<decltype(out), decltype(in)><<<stretches(x), kThreads, 0, s>>>(y, x);
    });
  });
  return cudaGetLastError();
}

cudaError_t silu_mul(const Rows& y, const ConstRows& gate, const ConstRows& up, cudaStream_t s) {
  if (gate.empty()) {
    return cudaSuccess;
  }
  with_act(gate.type, [&](auto act) {
    silu_mul_kernel<decltype(act)><<<stretches(gate), kThreads, 0, s>>>(y, gate, up);
  });
  return cudaGetLastError();
}

cudaError_t gather_rows(const Rows& y, const ConstRows& x, const int32_t* rows, cudaStream_t s) {
  if (y.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    gather_rows_kernel<decltype(act)><<<stretches(as_const(y)), kThreads, 0, s>>>(y, x, rows);
  });
  return cudaGetLastError();
}

}  // namespace tutti::cuda
