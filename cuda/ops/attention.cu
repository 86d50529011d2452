// One block per (head, query row). Keys come in tiles of one per thread, in the order of their
// positions from 0 on; the softmax is rescaled from tile to tile (online softmax,
// arXiv:1805.02867). The tiles do not depend on the batch or on how a prompt is cut, so neither do
// the bits.
#include "cuda/ops/attention.h"
#include "cuda/ops/device_math.cuh"

namespace tutti::cuda {

namespace {

constexpr int kTile = 128;  // keys of a tile = threads of a block

// Where keys and values lie, per kind of attention. A key has two parts, k0 values wide and k1.
template <class T>
struct Key {
  const T* part0;
  const T* part1;
  const T* value;
};

template <class T>
struct PagedHeads {
  ConstRows k_cache;
  ConstRows v_cache;
  int heads_per_kv;
  int64_t d;
  int64_t dv;

  __device__ Key<T> at(const Sequences& seq, int s, int position, int head) const {
    const int32_t block = seq.block_table[s * seq.table_stride + position / seq.block_size];
    const int slot = position % seq.block_size;
    const int64_t kv_head = head / heads_per_kv;
    const T* k = row_of<T>(k_cache, block, slot) + kv_head * d;
    return {k, k, row_of<T>(v_cache, block, slot) + kv_head * dv};
  }
};

template <class T>
struct PagedLatents {
  ConstRows cache;
  int64_t latent;

  __device__ Key<T> at(const Sequences& seq, int s, int position, int) const {
    const int32_t block = seq.block_table[s * seq.table_stride + position / seq.block_size];
    const T* row = row_of<T>(cache, block, position % seq.block_size);
    return {row, row + latent, row};
  }
};

template <class T>
struct GatheredHeads {
  ConstRows kv;
  ConstRows k_rope;
  const int32_t* key_begin;
  int64_t nope;

  __device__ Key<T> at(const Sequences&, int s, int position, int head) const {
    const int64_t row = key_begin[s] + position;
    const T* head_row = row_of<T>(kv, row, head);
    return {head_row, row_of<T>(k_rope, row), head_row + nope};
  }
};

template <class T>
__device__ float dot(const float* q, const T* k, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    sum += q[i] * to_f32(k[i]);
  }
  return sum;
}

// The last sequence whose first query row is not behind `row`; false if the row belongs to none.
__device__ bool find_sequence(const Sequences& seq, int row, int& s) {
  int low = 0;
  int high = seq.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (seq.query_begin[middle] <= row ? low : high) = middle;
  }
  s = low;
  return row < seq.query_begin[seq.count];
}

// q0 [t, h, k0] and q1 [t, h, k1] are the parts of the queries.
template <class T, class Keys>
__global__ void __launch_bounds__(kTile) attention_kernel(
    Rows out, ConstRows q0, ConstRows q1, Keys keys, Sequences sequences, float scale) {
  extern __shared__ float shared[];
  const int head = static_cast<int>(blockIdx.y);
  const int token = static_cast<int>(blockIdx.x);
  const int k0 = static_cast<int>(q0.width);
  const int k1 = static_cast<int>(q1.width);
  const int dv = static_cast<int>(out.width);
  float* query = shared;           // [k0 + k1]
  float* sums = shared + k0 + k1;  // [dv]
  __shared__ float weights[kTile];
  const __shared__ T* values[kTile];
  int s = 0;
  if (!find_sequence(sequences, token, s)) {
    return;
  }
  const int visible = sequences.context_before[s] + token - sequences.query_begin[s] + 1;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < k0 + k1; i += kTile) {
    query[i] = to_f32(i < k0 ? row_of<T>(q0, token, head)[i] : row_of<T>(q1, token, head)[i - k0]);
  }
  for (int i = thread; i < dv; i += kTile) {
    sums[i] = 0;
  }
  float largest = -INFINITY;
  float total = 0;
  __syncthreads();
  for (int begin = 0; begin < visible; begin += kTile) {
    float score = -INFINITY;
    if (begin + thread < visible) {
      const Key<T> key = keys.at(sequences, s, begin + thread, head);
      score = scale * (dot(query, key.part0, k0) + dot(query + k0, key.part1, k1));
      values[thread] = key.value;
    }
    const float peak = fmaxf(largest, block_reduce<Max>(score));
    const float weight = begin + thread < visible ? expf(score - peak) : 0.0F;
    const float rescale = expf(largest - peak);
    weights[thread] = weight;
    total = total * rescale + block_reduce<Sum>(weight);
    largest = peak;
    const int count = min(kTile, visible - begin);
    for (int i = thread; i < dv; i += kTile) {
      float sum = sums[i] * rescale;
      for (int j = 0; j < count; ++j) {
        sum += weights[j] * to_f32(values[j][i]);
      }
      sums[i] = sum;
    }
    __syncthreads();  // weights and values are overwritten by the next tile
  }
  T* to = row_of<T>(out, token, head);
  for (int i = thread; i < dv; i += kTile) {
    store(&to[i], sums[i] / total);
  }
}

template <class T, class Keys>
cudaError_t launch(const Rows& out,
                   const ConstRows& q0,
                   const ConstRows& q1,
                   const Keys& keys,
                   const Sequences& sequences,
                   float scale,
                   cudaStream_t s) {
  const size_t bytes = static_cast<size_t>(q0.width + q1.width + out.width) * sizeof(float);
  constexpr size_t kWithoutAsking = 40 << 10;
  if (bytes > kWithoutAsking) {
    const cudaError_t code = cudaFuncSetAttribute(attention_kernel<T, Keys>,
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  static_cast<int>(bytes));
    if (code != cudaSuccess) {
      return code;
    }
  }
  const dim3 grid(static_cast<unsigned>(out.n0), static_cast<unsigned>(out.n1));
  attention_kernel<T><<<grid, kTile, bytes, s>>>(out, q0, q1, keys, sequences, scale);
  return cudaGetLastError();
}

ConstRows nothing() {
  return {};
}

}  // namespace

cudaError_t simple_attention(const Rows& out,
                             const ConstRows& q,
                             const ConstRows& k_cache,
                             const ConstRows& v_cache,
                             const Sequences& sequences,
                             float scale,
                             cudaStream_t s) {
  if (out.empty() || sequences.count == 0) {
    return cudaSuccess;
  }
  const int64_t kv_heads = k_cache.width / q.width;
  return with_act(q.type, [&](auto act) {
    using T = decltype(act);
    const PagedHeads<T> keys{
        k_cache, v_cache, static_cast<int>(q.n1 / kv_heads), q.width, out.width};
    return launch<T>(out, q, nothing(), keys, sequences, scale, s);
  });
}

cudaError_t mla_attention(const Rows& out,
                          const ConstRows& q_latent,
                          const ConstRows& q_rope,
                          const ConstRows& cache,
                          const Sequences& sequences,
                          float scale,
                          cudaStream_t s) {
  if (out.empty() || sequences.count == 0) {
    return cudaSuccess;
  }
  return with_act(q_latent.type, [&](auto act) {
    using T = decltype(act);
    const PagedLatents<T> keys{cache, q_latent.width};
    return launch<T>(out, q_latent, q_rope, keys, sequences, scale, s);
  });
}

cudaError_t mla_expanded_attention(const Rows& out,
                                   const ConstRows& q,
                                   const ConstRows& kv,
                                   const ConstRows& k_rope,
                                   const Sequences& sequences,
                                   const int32_t* key_begin,
                                   float scale,
                                   cudaStream_t s) {
  if (out.empty() || sequences.count == 0) {
    return cudaSuccess;
  }
  return with_act(q.type, [&](auto act) {
    using T = decltype(act);
    const int64_t nope = q.width - k_rope.width;
    ConstRows q_nope = q;
    q_nope.width = nope;
    ConstRows q_rope = q;
    q_rope.data = static_cast<const T*>(q.data) + nope;
    q_rope.width = k_rope.width;
    const GatheredHeads<T> keys{kv, k_rope, key_begin, nope};
    return launch<T>(out, q_nope, q_rope, keys, sequences, scale, s);
  });
}

}  // namespace tutti::cuda
