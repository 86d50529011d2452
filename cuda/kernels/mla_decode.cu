// A thread block takes 16 heads of a sequence and a part of its keys, 64 at a time: all heads share
// the cached rows, so a tile is read once, as keys [latent | rope] and again as values. Each of
// eight warps computes the scores of 8 keys, then 64 columns of the result. Two tiles take turns in
// shared memory.
#include "cuda/kernels/attention_kernels.h"
#include "cuda/kernels/mla_decode.h"
#include "cuda/kernels/ptx.h"

namespace tutti::cuda {

namespace {

constexpr int kWidth = kMlaLatent + kMlaRope;
constexpr int kChunks = kWidth / 8;  // of 16 bytes
constexpr int kHeads = 16;           // of a thread block: rows of a fragment
constexpr int kKeys = 64;            // of a tile
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * 32;
constexpr int kStages = 2;
constexpr int kColumns = kMlaLatent / kWarps;  // of the result, per warp
constexpr int kPartFloats = kMlaLatent + 2;    // sums, largest score, sum of weights

struct Params {
  MlaDecode p;
  float* partials;  // [sequences, heads, parts][kPartFloats]
  int parts;
  int block_shift;
  float scale_log2;
};

// Rows of 16-byte chunks; chunk c of row r lies at c ^ (r % 8).
struct Shared {
  __nv_bfloat16 cache[kStages][kKeys * kWidth];
  __nv_bfloat16 q[kHeads * kWidth];
  __nv_bfloat16 weights[kHeads * kKeys];
  float largest[kWarps][kHeads];
  float sums[kWarps][kHeads];
};

__device__ __forceinline__ int at(int row, int chunk, int width) {
  return row * width + ((chunk ^ (row & 7)) << 3);
}

// Parts that a sequence of so many keys is really cut into: a tile each; beyond 32 parts, whose
// merging costs more than it saves, two or more.
__device__ __forceinline__ int parts_of(int keys, int most) {
  constexpr int kCheapParts = 32;
  const int tiles = (keys + kKeys - 1) / kKeys;
  return min(most, max(min(tiles, kCheapParts), tiles / 2));
}

// 8 columns of a head's q_rope, from column `first` on, rotated.
__device__ uint4 rotated(const MlaDecode& p,
                         const __nv_bfloat16* rope,
                         const float* cosines,
                         int first) {
  constexpr int kHalf = kMlaRope / 2;
  const float* sines = cosines + kHalf;
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int column = first + i;
    const bool second = p.interleaved ? i % 2 == 1 : first >= kHalf;
    const int pair = p.interleaved ? column / 2 : column % kHalf;
    const int other = p.interleaved ? column ^ 1 : column ^ kHalf;
    const float own = __bfloat162float(rope[column]);
    const float turned = __bfloat162float(rope[other]) * sines[pair];
    x[i] = own * cosines[pair] + (second ? turned : -turned);
  }
  return {
      pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7])};
}

// Chunks [begin, end) of each head's row.
template <int kBegin, int kEnd>
__device__ void load_queries(const MlaDecode& p, Shared& s, int sequence, int head0) {
  constexpr int kCount = kEnd - kBegin;
  for (int i = static_cast<int>(threadIdx.x); i < kHeads * kCount; i += kThreads) {
    const int row = i / kCount;
    const int chunk = kBegin + i % kCount;
    const int head = min(head0 + row, p.heads - 1);
    const auto* latent = static_cast<const __nv_bfloat16*>(p.q_latent) +
                         (int64_t{sequence} * p.heads + head) * kMlaLatent;
    const auto* rope = static_cast<const __nv_bfloat16*>(p.q_rope) + sequence * p.q_rope_stride +
                       head * p.q_rope_head_stride;
    const int in_rope = chunk * 8 - kMlaLatent;
    __nv_bfloat16* to = s.q + at(row, chunk, kWidth);
    if (in_rope >= 0 && p.rope_table != nullptr) {
      *reinterpret_cast<uint4*>(to) =
          rotated(p, rope, p.rope_table + sequence * p.rope_table_stride, in_rope);
    } else {
      copy_async_16(to, in_rope < 0 ? latent + chunk * 8 : rope + in_rope, head0 + row < p.heads);
    }
  }
}

// Starts the copy of a tile; always commits a group, so that counting works.
__device__ void load_tile(
    const Params& params, Shared& s, const int32_t* table, int tile, int end, int keys) {
  if (tile < end) {
    const MlaDecode& p = params.p;
    constexpr int kPerRow = 8;  // threads of a row
    __nv_bfloat16* to = s.cache[tile % kStages];
#pragma unroll
    for (int half = 0; half < kKeys * kPerRow / kThreads; ++half) {
      const int row = half * (kThreads / kPerRow) + static_cast<int>(threadIdx.x) / kPerRow;
      const int key = min(tile * kKeys + row, keys - 1);
      const int64_t slot = (int64_t{table[key >> params.block_shift]} << params.block_shift) +
                           (key & ((1 << params.block_shift) - 1));
      const auto* from = static_cast<const __nv_bfloat16*>(p.cache) + slot * kWidth;
      // Rows past the end become zeros: 0 times a stale NaN would be NaN.
      const bool valid = tile * kKeys + row < keys;
#pragma unroll
      for (int i = 0; i < kChunks / kPerRow; ++i) {
        const int chunk = i * kPerRow + static_cast<int>(threadIdx.x) % kPerRow;
        copy_async_16(to + at(row, chunk, kWidth), from + chunk * 8, valid);
      }
    }
  }
  copy_async_commit();
}

// Scores of this warp's 8 keys for all heads.
__device__ __forceinline__ void multiply_keys(const uint32_t (&q)[kWidth / 16][4],
                                              const __nv_bfloat16* cache,
                                              float (&scores)[4]) {
  constexpr int kChains = 4;  // sums that do not wait for each other
  float parts[kChains][4] = {};
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = warp * 8 + lane % 8;
#pragma unroll
  for (int step = 0; step < kWidth / 16; step += 2) {
    uint32_t b[4];
    load_matrix_x4(b, smem_address(cache + at(row, step * 2 + lane / 8, kWidth)));
    mma_bf16(parts[step % kChains], q[step], b[0], b[1]);
    mma_bf16(parts[(step + 1) % kChains], q[step + 1], b[2], b[3]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    scores[i] = (parts[0][i] + parts[1][i]) + (parts[2][i] + parts[3][i]);
  }
}

// This warp's columns of the result.
__device__ __forceinline__ void multiply_values(const Shared& s,
                                                const __nv_bfloat16* cache,
                                                float (&out)[kColumns / 8][4]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = (lane / 8) % 2 * 8 + lane % 8;
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    uint32_t a[4];
    load_matrix_x4(a, smem_address(s.weights + at(row, step * 2 + lane / 16, kKeys)));
#pragma unroll
    for (int n = 0; n < kColumns / 16; ++n) {
      uint32_t b[4];
      load_matrix_x4_transposed(
          b,
          smem_address(cache +
                       at(step * 16 + row, warp * (kColumns / 8) + n * 2 + lane / 16, kWidth)));
      mma_bf16(out[2 * n], a, b[0], b[1]);
      mma_bf16(out[2 * n + 1], a, b[2], b[3]);
    }
  }
}

__global__ void __launch_bounds__(kThreads, 1)
    mla_decode_kernel(const __grid_constant__ Params params) {
  extern __shared__ __align__(128) uint8_t raw[];
  Shared& s = *reinterpret_cast<Shared*>(raw);
  const MlaDecode& p = params.p;
  const int part = static_cast<int>(blockIdx.x);
  const int head0 = static_cast<int>(blockIdx.y) * kHeads;
  const int sequence = static_cast<int>(blockIdx.z);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (!p.read_ahead) {
    wait_for_previous_kernel();
  }
  const int keys = p.context_before[sequence] + 1;
  const int parts = parts_of(keys, params.parts);
  if (part >= parts) {
    wait_for_previous_kernel();
    return;
  }
  const int64_t tiles = (keys + kKeys - 1) / kKeys;
  const int begin = static_cast<int>(part * tiles / parts);
  const int end = static_cast<int>((part + 1) * tiles / parts);
  const int32_t* table = p.block_table + int64_t{sequence} * p.table_stride;
  constexpr int kLatentChunks = kMlaLatent / 8;
  load_tile(params, s, table, begin, end, keys);
  load_tile(params, s, table, begin + 1, end, keys);
  load_queries<kLatentChunks, kChunks>(p, s, sequence, head0);
  wait_for_previous_kernel();
  load_queries<0, kLatentChunks>(p, s, sequence, head0);
  copy_async_commit();
  let_next_kernel_start();

  uint32_t q[kWidth / 16][4];
  float out[kColumns / 8][4] = {};
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};
  for (int tile = begin; tile < end; ++tile) {
    const __nv_bfloat16* cache = s.cache[tile % kStages];
    if (tile == begin) {
      copy_async_wait<0>();  // the queries came last
    } else {
      copy_async_wait<1>();
    }
    __syncthreads();
    if (tile == begin) {
      const int row = (lane / 8) % 2 * 8 + lane % 8;
#pragma unroll
      for (int step = 0; step < kWidth / 16; ++step) {
        load_matrix_x4(q[step], smem_address(s.q + at(row, step * 2 + lane / 16, kWidth)));
      }
    }
    float scores[4];
    multiply_keys(q, cache, scores);
    // The largest score of each head in this tile, over all warps.
    const int key = tile * kKeys + warp * 8 + 2 * (lane % 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float mine = -INFINITY;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        float& score = scores[2 * r + j];
        score = key + j < keys ? score : -INFINITY;
        mine = fmaxf(mine, score);
      }
      mine = fmaxf(mine, __shfl_xor_sync(0xFFFFFFFF, mine, 1));
      mine = fmaxf(mine, __shfl_xor_sync(0xFFFFFFFF, mine, 2));
      if (lane % 4 == 0) {
        s.largest[warp][lane / 4 + 8 * r] = mine;
      }
    }
    __syncthreads();
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int head = lane / 4 + 8 * r;
      float now = largest[r];
#pragma unroll
      for (int w = 0; w < kWarps; ++w) {
        now = fmaxf(now, s.largest[w][head]);
      }
      // Every tile holds a valid key, so the maximum is finite unless a score is NaN or -inf
      // itself.
      const float base = now == -INFINITY ? 0.0F : now * params.scale_log2;
      factor[r] = exp2_fast(largest[r] * params.scale_log2 - base);
      largest[r] = now;
      const float low = exp2_fast(fmaf(scores[2 * r], params.scale_log2, -base));
      const float high = exp2_fast(fmaf(scores[2 * r + 1], params.scale_log2, -base));
      sum[r] = sum[r] * factor[r] + low + high;
      *reinterpret_cast<uint32_t*>(s.weights + at(head, warp, kKeys) + 2 * (lane % 4)) =
          pack_bf16(low, high);
    }
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      out[n][0] *= factor[0];
      out[n][1] *= factor[0];
      out[n][2] *= factor[1];
      out[n][3] *= factor[1];
    }
    __syncthreads();
    multiply_values(s, cache, out);
    __syncthreads();  // all are done with the tile
    load_tile(params, s, table, tile + kStages, end, keys);
  }
  copy_async_wait<0>();

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    sum[r] += __shfl_xor_sync(0xFFFFFFFF, sum[r], 1);
    sum[r] += __shfl_xor_sync(0xFFFFFFFF, sum[r], 2);
    if (lane % 4 == 0) {
      s.sums[warp][lane / 4 + 8 * r] = sum[r];
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = lane / 4 + 8 * r;
    const int head = head0 + row;
    if (head >= p.heads) {
      continue;
    }
    float total = 0.0F;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      total += s.sums[w][row];
    }
    const int column = warp * kColumns + 2 * (lane % 4);
    const int64_t pair = int64_t{sequence} * p.heads + head;
    if (parts == 1) {
      const float inverse = 1.0F / total;
      auto* to = static_cast<__nv_bfloat16*>(p.out) + pair * kMlaLatent + column;
#pragma unroll
      for (int n = 0; n < kColumns / 8; ++n) {
        *reinterpret_cast<uint32_t*>(to + n * 8) =
            pack_bf16(out[n][2 * r] * inverse, out[n][2 * r + 1] * inverse);
      }
      continue;
    }
    float* to = params.partials + (pair * params.parts + part) * kPartFloats;
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n) {
      *reinterpret_cast<float2*>(to + column + n * 8) = float2{out[n][2 * r], out[n][2 * r + 1]};
    }
    if (warp == 0 && lane % 4 == 0) {
      to[kMlaLatent] = largest[r];
      to[kMlaLatent + 1] = total;
    }
  }
}

constexpr int kMostParts = 132;
constexpr int kMergeColumns = 128;
constexpr int kLanesOfParts = (kMostParts + 31) / 32;

// What the sums of each part count for, of which lane l has every 32nd; *total = the sum of all.
__device__ void weigh_parts(
    const float* from, int parts, float scale_log2, float (&weights)[kLanesOfParts], float* total) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float sums[kLanesOfParts];
  float most = -INFINITY;
#pragma unroll
  for (int i = 0; i < kLanesOfParts; ++i) {
    const int part = i * 32 + lane;
    weights[i] = part < parts ? from[part * kPartFloats + kMlaLatent] : -INFINITY;
    sums[i] = part < parts ? from[part * kPartFloats + kMlaLatent + 1] : 0.0F;
    most = fmaxf(most, weights[i]);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFF, most, step));
  }
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kLanesOfParts; ++i) {
    weights[i] = weights[i] == -INFINITY ? 0.0F : exp2_fast((weights[i] - most) * scale_log2);
    sum += weights[i] * sums[i];
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xFFFFFFFF, sum, step);
  }
  *total = sum;
}

// 128 columns of one head of one sequence. kGroups groups of threads take turns with the parts.
template <int kGroups>
__global__ void __launch_bounds__(kMergeColumns* kGroups)
    merge_kernel(const __grid_constant__ Params params) {
  constexpr int kAtOnce = 8;  // loads under way
  __shared__ float of_groups[kGroups][kMergeColumns];
  const MlaDecode& p = params.p;
  let_next_kernel_start();
  const int pair = static_cast<int>(blockIdx.x);
  // Older than the kernel before, which let this one start after its own wait.
  const int parts = parts_of(p.context_before[pair / p.heads] + 1, params.parts);
  wait_for_previous_kernel();
  if (parts == 1) {
    return;
  }
  const float* from = params.partials + int64_t{pair} * params.parts * kPartFloats;
  const int group = static_cast<int>(threadIdx.x) / kMergeColumns;
  const int column = static_cast<int>(threadIdx.x) % kMergeColumns;
  const int in_row = static_cast<int>(blockIdx.y) * kMergeColumns + column;
  // Part `at` + kGroups * i of this column.
  const auto read = [&](int at, float(&values)[kAtOnce]) {
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int part = at + kGroups * i;
      values[i] = part < parts ? from[part * kPartFloats + in_row] : 0.0F;
    }
  };
  float values[kAtOnce];
  read(group, values);
  float weights[kLanesOfParts];
  float total;
  weigh_parts(from, parts, params.scale_log2, weights, &total);
  float sum = 0.0F;
#pragma unroll
  for (int begin = 0; begin < kMostParts; begin += kGroups * kAtOnce) {
    if (begin < parts) {
      if (begin > 0) {
        read(begin + group, values);
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int part = begin + group + kGroups * i;
        sum += __shfl_sync(0xFFFFFFFF, weights[(begin + kGroups * i) / 32], part % 32) * values[i];
      }
    }
  }
  of_groups[group][column] = sum;
  __syncthreads();
  if (group == 0) {
#pragma unroll
    for (int g = 1; g < kGroups; ++g) {
      sum += of_groups[g][column];
    }
    static_cast<__nv_bfloat16*>(p.out)[int64_t{pair} * kMlaLatent + in_row] =
        __float2bfloat16(sum / total);
  }
}

int head_blocks(int heads) {
  return (heads + kHeads - 1) / kHeads;
}

int most_parts(int sequences, int heads, int sms) {
  return min(kMostParts, max(1, sms / (sequences * head_blocks(heads))));
}

}  // namespace

int64_t mla_decode_partials(int sequences, int heads, int sms) {
  const int parts = sequences == 0 ? 1 : most_parts(sequences, heads, sms);
  return parts == 1 ? 0 : int64_t{sequences} * heads * parts * kPartFloats;
}

cudaError_t mla_decode(const MlaDecode& p, float* partials, int sms, cudaStream_t stream) {
  if (p.sequences == 0 || p.heads == 0) {
    return cudaSuccess;
  }
  const Params params{.p = p,
                      .partials = partials,
                      .parts = most_parts(p.sequences, p.heads, sms),
                      .block_shift = __builtin_ctz(static_cast<unsigned>(p.block_size)),
                      .scale_log2 = p.scale * kLog2E};
  cudaError_t code = cudaFuncSetAttribute(mla_decode_kernel,
                                          cudaFuncAttributeMaxDynamicSharedMemorySize,
                                          static_cast<int>(sizeof(Shared)));
  if (code != cudaSuccess) {
    return code;
  }
  code =
      launch_overlapped(mla_decode_kernel,
                        OverlappedLaunch{.grid = dim3(static_cast<unsigned>(params.parts),
                                                      static_cast<unsigned>(head_blocks(p.heads)),
                                                      static_cast<unsigned>(p.sequences)),
                                         .threads = kThreads,
                                         .shared_bytes = sizeof(Shared),
                                         .stream = stream},
                        params);
  if (code != cudaSuccess || params.parts == 1) {
    return code;
  }
  const auto merge = [&](auto kernel, int groups) {
    return launch_overlapped(
        kernel,
        dim3(static_cast<unsigned>(p.sequences * p.heads), kMlaLatent / kMergeColumns),
        static_cast<unsigned>(groups * kMergeColumns),
        stream,
        params);
  };
  return params.parts > 8 ? merge(merge_kernel<4>, 4) : merge(merge_kernel<1>, 1);
}

}  // namespace tutti::cuda
