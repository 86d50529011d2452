// Rotary positions, and moving rows into and out of the paged cache.
#include "cuda/ops/device_math.cuh"
#include "cuda/ops/norm_row.cuh"
#include "cuda/ops/overlap.cuh"
#include "cuda/ops/rows.h"

namespace tutti::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kHeadsPerBlock = 8;  // a warp each

// The angle is rounded to f32 as the contract says; cos and sin of it are taken in f64, which costs
// nothing here: one table serves all layers.
__global__ void rope_table_kernel(Rows table,
                                  const int32_t* positions,
                                  const float* inv_freq,
                                  float scale) {
  take_turn();
  const int64_t half = table.width / 2;
  float* row = row_of<float>(table, blockIdx.x);
  const float position = static_cast<float>(positions[blockIdx.x]);
  for (int64_t i = threadIdx.x; i < half; i += blockDim.x) {
    const double angle = static_cast<double>(__fmul_rn(position, inv_freq[i]));
    row[i] = static_cast<float>(scale * cos(angle));
    row[half + i] = static_cast<float>(scale * sin(angle));
  }
}

template <class T>
__global__ void rope_kernel(Rows x, ConstRows table, bool interleaved) {
  take_turn();
  const int64_t half = table.width / 2;
  const float* cosines = row_of<float>(table, blockIdx.x);
  const float* sines = cosines + half;
  for (int64_t n = threadIdx.x; n < x.n1 * half; n += blockDim.x) {
    const int64_t i = n % half;
    T* row = row_of<T>(x, blockIdx.x, n / half);
    T* first = row + (interleaved ? 2 * i : i);
    T* second = row + (interleaved ? 2 * i + 1 : i + half);
    const float a = to_f32(*first);
    const float b = to_f32(*second);
    store(first, a * cosines[i] - b * sines[i]);
    store(second, b * cosines[i] + a * sines[i]);
  }
}

template <class T>
__global__ void write_kv_kernel(Rows cache, ConstRows x, const int32_t* kv_places) {
  take_turn();
  const int32_t place = kv_places[blockIdx.x];
  const int32_t block_size = static_cast<int32_t>(cache.n1);
  if (place < 0) {
    return;
  }
  const T* from = row_of<T>(x, blockIdx.x);
  T* to = row_of<T>(cache, place / block_size, place % block_size);
  for (int64_t i = threadIdx.x; i < x.width; i += blockDim.x) {
    to[i] = from[i];
  }
}

// By one warp, in place.
template <class T>
__device__ void scale_head(T* row, const float* weights, float factor, int64_t width) {
  for (int64_t i = threadIdx.x % 32; i < width; i += 32) {
    store(row + i, to_f32(row[i]) * factor * weights[i]);
  }
  __syncwarp();
}

template <class T>
__device__ void normalize_head(T* row, const float* weights, float eps, int64_t width) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sum = 0.0F;
  for (int64_t i = lane; i < width; i += 32) {
    const float x = to_f32(row[i]);
    sum += x * x;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xFFFFFFFFU, sum, step);
  }
  scale_head(row, weights, 1.0F / sqrtf(sum / static_cast<float>(width) + eps), width);
}

// A warp takes one head of q or k, or as much of v. What goes to the cache is also left in place,
// as the contract wants.
template <class T>
__global__ void rope_and_write_kv_kernel(Rows q,
                                         Rows k,
                                         ConstRows v,
                                         ConstRows table,
                                         bool interleaved,
                                         Rows k_cache,
                                         Rows v_cache,
                                         const int32_t* kv_places,
                                         HeadNorms norms) {
  let_next_kernel_start();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t token = blockIdx.x;
  int64_t head = static_cast<int64_t>(blockIdx.y) * kHeadsPerBlock + threadIdx.x / 32;
  const int32_t place = kv_places[token];
  const int32_t block_size = static_cast<int32_t>(k_cache.n1);
  const int64_t width = q.width;
  if (head >= q.n1 + k.n1) {
    const int64_t begin = (head - q.n1 - k.n1) * width;
    const int64_t end = min(begin + width, v.width);
    wait_for_previous_kernel();
    if (place >= 0 && begin < end) {
      const T* from = row_of<T>(v, token);
      T* to = row_of<T>(v_cache, place / block_size, place % block_size);
      for (int64_t i = begin + lane; i < end; i += 32) {
        to[i] = from[i];
      }
    }
    return;
  }
  const bool is_key = head >= q.n1;
  head -= is_key ? q.n1 : 0;
  T* row = is_key ? row_of<T>(k, token, head) : row_of<T>(q, token, head);
  T* cached = is_key && place >= 0
                  ? row_of<T>(k_cache, place / block_size, place % block_size) + head * width
                  : nullptr;
  const int64_t half = table.width / 2;
  const float* cosines = row_of<float>(table, token);
  const float* sines = cosines + half;
  const auto rotate = [&](int64_t i, float cosine, float sine) {
    const int64_t first = interleaved ? 2 * i : i;
    const int64_t second = interleaved ? 2 * i + 1 : i + half;
    const float a = to_f32(row[first]);
    const float b = to_f32(row[second]);
    const float x = a * cosine - b * sine;
    const float y = b * cosine + a * sine;
    store(row + first, x);
    store(row + second, y);
    if (cached != nullptr) {
      store(cached + first, x);
      store(cached + second, y);
    }
  };
  // The table is as old as the step: it is read while the kernel before this one still runs.
  constexpr int kHeld = 2;
  float cosine[kHeld];
  float sine[kHeld];
#pragma unroll
  for (int n = 0; n < kHeld; ++n) {
    const int64_t i = min(int64_t{lane} + n * 32, max(half, int64_t{1}) - 1);
    cosine[n] = half > 0 ? cosines[i] : 0.0F;
    sine[n] = half > 0 ? sines[i] : 0.0F;
  }
  const float* weights = is_key ? norms.k : norms.q;
  wait_for_previous_kernel();
  if (norms.squares.data != nullptr) {
    const float squares = norms.squares.data[token * norms.squares.stride + (is_key ? 1 : 0)];
    const float mean = squares / (is_key ? norms.k_width : norms.q_width);
    scale_head(row, weights + head * width, 1.0F / sqrtf(mean + norms.eps), width);
  } else if (weights != nullptr) {
    normalize_head(row, weights, norms.eps, width);
  }
#pragma unroll
  for (int n = 0; n < kHeld; ++n) {
    if (lane + n * 32 < half) {
      rotate(lane + n * 32, cosine[n], sine[n]);
    }
  }
  for (int64_t i = lane + kHeld * 32; i < half; i += 32) {
    rotate(i, cosines[i], sines[i]);
  }
  if (cached != nullptr) {  // what does not turn
    for (int64_t i = 2 * half + lane; i < width; i += 32) {
      cached[i] = row[i];
    }
  }
}

constexpr int kLatentThreads = 256;

// Two blocks per token: the latent row, and q.
template <class T, int kWidth>
__global__ void __launch_bounds__(kLatentThreads)
    write_latent_kernel(const __grid_constant__ LatentRows p) {
  let_next_kernel_start();
  const int64_t token = blockIdx.x;
  const auto normalise = [&p](NormRow<kWidth>& norm, T* row, T* also) {
    const auto read = [row](int64_t i, float(&values)[kWidth]) { load<kWidth>(row + i, values); };
    norm.normalise(read, read, row, p.eps, also);
  };
  if (blockIdx.y == 1) {
    NormRow<kWidth> norm(p.q_norm, p.q.width);
    wait_for_previous_kernel();
    normalise(norm, row_of<T>(p.q, token), nullptr);
    return;
  }
  NormRow<kWidth> norm(p.norm, p.normed);
  // Places and table are as old as the step: they are read while the kernel before still runs.
  const int32_t place = p.kv_places[token];
  const int32_t block_size = static_cast<int32_t>(p.cache.n1);
  T* row = row_of<T>(p.latent, token);
  T* cached = place >= 0 ? row_of<T>(p.cache, place / block_size, place % block_size) : nullptr;
  const float* cosines = row_of<float>(p.table, token);
  const int64_t half = (p.latent.width - p.normed) / 2;
  wait_for_previous_kernel();
  for (int64_t i = threadIdx.x; i < half; i += kLatentThreads) {
    const int64_t first = p.normed + (p.interleaved ? 2 * i : i);
    const int64_t second = p.normed + (p.interleaved ? 2 * i + 1 : i + half);
    const float a = to_f32(row[first]);
    const float b = to_f32(row[second]);
    store(row + first, a * cosines[i] - b * cosines[half + i]);
    store(row + second, b * cosines[i] + a * cosines[half + i]);
    if (cached != nullptr) {
      cached[first] = row[first];
      cached[second] = row[second];
    }
  }
  normalise(norm, row, cached);
}

// Block b copies row b of y; the sequence it belongs to is found by bisection.
template <class T>
__global__ void gather_kv_kernel(Rows y,
                                 ConstRows cache,
                                 Sequences sequences,
                                 const int32_t* key_begin) {
  take_turn();
  const int32_t row = static_cast<int32_t>(blockIdx.x);
  int low = 0;
  int high = sequences.count;  // the last s with key_begin[s] <= row is in [low, high)
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (key_begin[middle] <= row ? low : high) = middle;
  }
  if (row >= key_begin[sequences.count]) {
    return;
  }
  const int32_t position = row - key_begin[low];
  const int32_t block =
      sequences.block_table[low * sequences.table_stride + position / sequences.block_size];
  const T* from = row_of<T>(cache, block, position % sequences.block_size);
  T* to = row_of<T>(y, row);
  for (int64_t i = threadIdx.x; i < y.width; i += blockDim.x) {
    to[i] = from[i];
  }
}

}  // namespace

cudaError_t rope_table(const Rows& table,
                       const int32_t* positions,
                       const float* inv_freq,
                       float scale,
                       cudaStream_t s) {
  if (table.empty()) {
    return cudaSuccess;
  }
  launch_overlapped(rope_table_kernel,
                    static_cast<unsigned>(table.n0),
                    kThreads,
                    s,
                    table,
                    positions,
                    inv_freq,
                    scale);
  return cudaGetLastError();
}

cudaError_t rope(const Rows& x, const ConstRows& table, bool interleaved, cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    launch_overlapped(rope_kernel<decltype(act)>,
                      static_cast<unsigned>(x.n0),
                      kThreads,
                      s,
                      x,
                      table,
                      interleaved);
  });
  return cudaGetLastError();
}

cudaError_t write_kv(const Rows& cache,
                     const ConstRows& x,
                     const int32_t* kv_places,
                     cudaStream_t s) {
  if (x.empty()) {
    return cudaSuccess;
  }
  with_act(x.type, [&](auto act) {
    launch_overlapped(write_kv_kernel<decltype(act)>,
                      static_cast<unsigned>(x.n0),
                      kThreads,
                      s,
                      cache,
                      x,
                      kv_places);
  });
  return cudaGetLastError();
}

cudaError_t rope_and_write_kv(const Rows& q,
                              const Rows& k,
                              const ConstRows& v,
                              const ConstRows& table,
                              bool interleaved,
                              const Rows& k_cache,
                              const Rows& v_cache,
                              const int32_t* kv_places,
                              const HeadNorms& norms,
                              cudaStream_t s) {
  if (q.n0 == 0 || q.width == 0) {
    return cudaSuccess;
  }
  const int64_t heads = q.n1 + k.n1 + (v.width + q.width - 1) / q.width;
  const dim3 grid(static_cast<unsigned>(q.n0), blocks_for(heads, kHeadsPerBlock));
  with_act(q.type, [&](auto act) {
    launch_overlapped(rope_and_write_kv_kernel<decltype(act)>,
                      grid,
                      kHeadsPerBlock * 32,
                      s,
                      q,
                      k,
                      v,
                      table,
                      interleaved,
                      k_cache,
                      v_cache,
                      kv_places,
                      norms);
  });
  return cudaGetLastError();
}

cudaError_t write_latent(const LatentRows& p, cudaStream_t s) {
  if (p.latent.empty()) {
    return cudaSuccess;
  }
  const dim3 grid(static_cast<unsigned>(p.latent.n0), p.q.data != nullptr ? 2 : 1);
  cudaError_t code = cudaSuccess;
  // Of the cache only the row counts: places keep to multiples of its width.
  Rows cached = p.cache;
  cached.width = p.normed;
  const bool eight = moves_eight(p.latent) && moves_eight(cached) && p.normed % 8 == 0 &&
                     (p.q.data == nullptr || moves_eight(p.q));
  with_act(p.latent.type, [&](auto act) {
    with_width(eight, [&](auto width) {
      code = launch_overlapped(
          write_latent_kernel<decltype(act), width()>, grid, kLatentThreads, s, p);
    });
  });
  return code;
}

cudaError_t gather_kv(const Rows& y,
                      const ConstRows& cache,
                      const Sequences& sequences,
                      const int32_t* key_begin,
                      cudaStream_t s) {
  if (y.empty() || sequences.count == 0) {
    return cudaSuccess;
  }
  with_act(y.type, [&](auto act) {
    launch_overlapped(gather_kv_kernel<decltype(act)>,
                      static_cast<unsigned>(y.n0),
                      kThreads,
                      s,
                      y,
                      cache,
                      sequences,
                      key_begin);
  });
  return cudaGetLastError();
}

}  // namespace tutti::cuda
