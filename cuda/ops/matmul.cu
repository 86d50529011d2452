// A plain tiled product: 64 x 64 results per block, 4 x 4 per thread, 16 columns of both factors in
// shared memory at a time.
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/matmul.h"

namespace tutti::cuda {

namespace {

constexpr int kM = 64;
constexpr int kN = 64;
constexpr int kK = 16;
constexpr int kThreads = 256;
constexpr int kPerThread = 4;

struct RowRange {
  int64_t begin;
  int64_t end;
};

// Which batch and rows this block computes; end <= begin if none.
__device__ RowRange find_rows(const MatMul& p, int64_t& batch) {
  int64_t tile = blockIdx.y;
  if (p.offsets == nullptr) {
    batch = blockIdx.z;
    return {tile * kM, min((tile + 1) * kM, p.m)};
  }
  // The grid has room for every group's last, partial tile; blocks behind the last group have none.
  for (int64_t g = 0; g < p.batches; ++g) {
    const int64_t begin = p.offsets[g];
    const int64_t end = p.offsets[g + 1];
    const int64_t tiles = (end - begin + kM - 1) / kM;
    if (tile < tiles) {
      batch = g;
      return {begin + tile * kM, min(begin + (tile + 1) * kM, end)};
    }
    tile -= tiles;
  }
  return {0, 0};
}

template <class X, class W>
__global__ void __launch_bounds__(kThreads) matmul_kernel(MatMul p) {
  __shared__ float xs[kK][kM + 4];
  __shared__ float ws[kK][kN + 4];
  int64_t batch = 0;
  const RowRange rows = find_rows(p, batch);
  if (rows.end <= rows.begin) {
    return;
  }
  // Rows of grouped products are numbered over all groups, so x and y do not move with the group.
  const int64_t shift = p.offsets == nullptr ? batch : 0;
  const X* x = static_cast<const X*>(p.x) + shift * p.x_batch;
  const W* w = static_cast<const W*>(p.w) + batch * p.w_batch;
  const float* scales = p.scales + batch * p.scale_batch;
  const int64_t n0 = static_cast<int64_t>(blockIdx.x) * kN;
  const int thread = static_cast<int>(threadIdx.x);
  const int column = thread % kK;  // of the loads
  const int line = thread / kK;    // of the loads: 16 lines at a time
  const int tx = thread % (kN / kPerThread);
  const int ty = thread / (kN / kPerThread);
  constexpr bool kScaled = std::is_same_v<W, e4m3>;
  constexpr int kLines = kThreads / kK;
  static_assert(kN == kPerThread * kLines);
  const float* row_scales[kPerThread];  // of the rows of w that this thread loads
  for (int i = 0; kScaled && i < kPerThread; ++i) {
    const int64_t n = min(n0 + line + i * kLines, p.n - 1);
    row_scales[i] = scales + n / p.block_n * p.scale_stride;
  }
  float sums[kPerThread][kPerThread] = {};
  for (int64_t k0 = 0; k0 < p.k; k0 += kK) {
    const int64_t k = k0 + column;
    const int64_t block = kScaled ? k / p.block_k : 0;
    for (int i = line; i < kM; i += kLines) {
      const int64_t m = rows.begin + i;
      xs[column][i] = m < rows.end && k < p.k ? to_f32(x[m * p.x_stride + k]) : 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int64_t n = n0 + line + i * kLines;
      float value = 0.0F;
      if (n < p.n && k < p.k) {
        value = to_f32(w[n * p.w_stride + k]);
        if constexpr (kScaled) {
          value *= row_scales[i][block];
        }
      }
      ws[column][line + i * kLines] = value;
    }
    __syncthreads();
#pragma unroll
    for (int kk = 0; kk < kK; ++kk) {
      float a[kPerThread];
      float b[kPerThread];
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
        a[i] = xs[kk][ty * kPerThread + i];
        b[i] = ws[kk][tx * kPerThread + i];
      }
#pragma unroll
      for (int i = 0; i < kPerThread; ++i) {
#pragma unroll
        for (int j = 0; j < kPerThread; ++j) {
          sums[i][j] = fmaf(a[i], b[j], sums[i][j]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int64_t m = rows.begin + ty * kPerThread + i;
#pragma unroll
    for (int j = 0; j < kPerThread; ++j) {
      const int64_t n = n0 + tx * kPerThread + j;
      if (m < rows.end && n < p.n) {
        const float value = p.bias == nullptr ? sums[i][j] : sums[i][j] + p.bias[n];
        const int64_t at = shift * p.y_batch + m * p.y_stride + n;
        if (p.y_type == ElementType::kF32) {
          static_cast<float*>(p.y)[at] = value;
        } else {
          store(static_cast<bf16*>(p.y) + at, value);
        }
      }
    }
  }
}

__global__ void round_kernel(bf16* to, const float* from, int64_t n) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) {
    store(&to[i], from[i]);
  }
}

template <class F>
void with_weight(ElementType type, const F& f) {
  switch (type) {
    case ElementType::kF32:
      return f(float{});
    case ElementType::kBF16:
      return f(bf16{});
    case ElementType::kF16:
      return f(__half{});
    case ElementType::kE4M3:
      return f(e4m3{});
  }
}

}  // namespace

cudaError_t simple_matmul(const MatMul& p, cudaStream_t s) {
  if (p.m == 0 || p.n == 0 || p.batches == 0) {
    return cudaSuccess;
  }
  dim3 grid(blocks_for(p.n, kN), blocks_for(p.m, kM), static_cast<unsigned>(p.batches));
  if (p.offsets != nullptr) {
    grid = dim3(grid.x, grid.y + static_cast<unsigned>(p.batches), 1);
  }
  with_act(p.x_type, [&](auto act) {
    with_weight(p.w_type, [&](auto weight) {
      matmul_kernel<decltype(act), decltype(weight)><<<grid, kThreads, 0, s>>>(p);
    });
  });
  return cudaGetLastError();
}

cudaError_t round_to_bf16(void* to, const float* from, int64_t n, cudaStream_t s) {
  round_kernel<<<blocks_for(n, kThreads), kThreads, 0, s>>>(static_cast<bf16*>(to), from, n);
  return cudaGetLastError();
}

}  // namespace tutti::cuda
