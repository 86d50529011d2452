// Prompt attention on Hopper's warp-group matrix units. The shape of the pipeline is
// FlashAttention-3's (arXiv:2407.08608); the rows of a tile are (token, head) pairs of one KV
// group, so that a group of 7 fills tiles as well as one of 8, and short chunks do too.
#include "cuda/kernels/attention_kernels.h"
#include "cuda/kernels/prefill_tiles.cuh"

namespace tutti::cuda {

namespace {

constexpr int kRows = 128;  // of a tile: two warp groups of 64
constexpr int kKeys = 128;  // of a tile
constexpr int kStages = 2;  // 2 x (K + V) of 128 x 128 bf16 = 128 KiB beside 32 KiB of Q
constexpr int kThreads = 384;
[[maybe_unused]] constexpr int kGroupThreads = 128;
constexpr int kHalf = 64;       // columns of a swizzled tile: 128 bytes
constexpr int kRowBytes = 128;  // of a swizzled tile
constexpr int kTileBytes = kKeys * kRowBytes;
[[maybe_unused]] constexpr int kProducerRegisters = 24;
[[maybe_unused]] constexpr int kConsumerRegisters = 240;  // 24 * 128 + 240 * 256 <= 65536

struct Params {
  __nv_bfloat16* out;
  const __nv_bfloat16* q;
  PromptSequences sequences;
  const int32_t* block_table;
  int64_t out_stride;
  int64_t q_stride;
  int table_stride;
  int group;  // query heads per KV head
  int block_size;
  int block_shift;
  float scale_log2;  // scale * log2(e)
};

template <int kHeadDim>
struct alignas(1024) Shared {
  static constexpr int kHalves = kHeadDim / kHalf;
  uint8_t q[kHalves][kRows * kRowBytes];
  uint8_t k[kStages][kHalves][kTileBytes];
  uint8_t v[kStages][kHalves][kTileBytes];
  uint64_t k_full[kStages];
  uint64_t k_empty[kStages];
  uint64_t v_full[kStages];
  uint64_t v_empty[kStages];
};

#if TUTTI_HAS_WGMMA

template <int kHeadDim>
__device__ void produce(const Params& p,
                        const PromptTile& tile,
                        Shared<kHeadDim>& s,
                        const CUtensorMap& k_map,
                        const CUtensorMap& v_map,
                        int kv_head) {
  constexpr int kHalves = kHeadDim / kHalf;
  constexpr uint32_t kBytes = kHalves * kTileBytes;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tiles = (tile.keys + kKeys - 1) / kKeys;
  const int pages_per_tile = kKeys >> p.block_shift;
  const int last_page = (tile.keys - 1) >> p.block_shift;
  const int32_t* table = p.block_table + static_cast<int64_t>(tile.sequence) * p.table_stride;
  const int loads = pages_per_tile * kHalves;
  for (int i = 0; i < tiles; ++i) {
    const int stage = i % kStages;
    const uint32_t parity = static_cast<uint32_t>((i / kStages) & 1) ^ 1U;
    const int page0 = (tiles - 1 - i) * pages_per_tile;
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      uint64_t* full = which == 0 ? &s.k_full[stage] : &s.v_full[stage];
      barrier_wait(which == 0 ? &s.k_empty[stage] : &s.v_empty[stage], parity);
      if (lane == 0) {
        barrier_expect(full, kBytes);
      }
      __syncwarp();
      for (int load = lane; load < loads; load += 32) {
        const int page = load / kHalves;
        const int half = load % kHalves;
        // Pages past the end hold nothing of this sequence: read a valid one, masked later.
        const int block = table[min(page0 + page, last_page)];
        uint8_t* to = (which == 0 ? s.k[stage][half] : s.v[stage][half]) +
                      (page << p.block_shift) * kRowBytes;
        tma_load_2d(to,
                    which == 0 ? &k_map : &v_map,
                    kv_head * kHeadDim + half * kHalf,
                    block << p.block_shift,
                    full);
      }
      __syncwarp();
    }
  }
}

template <int kHeadDim>
__device__ __forceinline__ void issue_scores(float (&s)[64],
                                             const Shared<kHeadDim>& shared,
                                             int group,
                                             int stage) {
  wgmma_fence();
#pragma unroll
  for (int half = 0; half < kHeadDim / kHalf; ++half) {
    const uint32_t q = smem_address(shared.q[half]) + static_cast<uint32_t>(group) * 64 * kRowBytes;
    const uint32_t k = smem_address(shared.k[stage][half]);
#pragma unroll
    for (int step = 0; step < kHalf / 16; ++step) {
      wgmma_m64n128k16_ss(s,
                          swizzled_operand(q + step * 32, 16, 8 * kRowBytes),
                          swizzled_operand(k + step * 32, 16, 8 * kRowBytes),
                          half + step > 0 ? 1 : 0);
    }
  }
  wgmma_commit();
}

template <int kHeadDim>
__device__ __forceinline__ void issue_values(float (&o)[kHeadDim / 2],
                                             const uint32_t (&p)[32],
                                             const Shared<kHeadDim>& shared,
                                             int stage) {
  wgmma_fence();
  const uint32_t v = smem_address(shared.v[stage][0]);
#pragma unroll
  for (int step = 0; step < kKeys / 16; ++step) {
    wgmma_k16_rs(
        o, &p[step * 4], swizzled_operand(v + step * 16 * kRowBytes, kTileBytes, 8 * kRowBytes));
  }
  wgmma_commit();
}

// Probability 0 times a stale NaN would still be NaN: values past the last key become 0.
template <int kHeadDim>
__device__ void clear_values(Shared<kHeadDim>& s, int stage, int from, int group) {
  const int t = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int chunks = (kKeys - from) * (kRowBytes / 16);
#pragma unroll
  for (int half = 0; half < kHeadDim / kHalf; ++half) {
    for (int i = t; i < chunks; i += kGroupThreads) {
      *reinterpret_cast<uint4*>(s.v[stage][half] + from * kRowBytes + i * 16) = uint4{0, 0, 0, 0};
    }
  }
  fence_async_proxy();
  named_barrier<kGroupThreads>(1 + group);
}

template <int kHeadDim>
__device__ void load_queries(
    const Params& p, const PromptTile& tile, Shared<kHeadDim>& s, int kv_head, int group) {
  const int t = static_cast<int>(threadIdx.x) % kGroupThreads;
  constexpr int kChunks = kHeadDim / 8;  // of 16 bytes
  const int rows = tile.queries * p.group;
  for (int i = t; i < 64 * kChunks; i += kGroupThreads) {
    const int local = group * 64 + i / kChunks;
    const int chunk = i % kChunks;
    const int row = tile.row0 + local;
    uint4 value{0, 0, 0, 0};
    if (row < rows) {
      const int token = row / p.group;
      const int head = kv_head * p.group + row % p.group;
      value = *reinterpret_cast<const uint4*>(
          p.q + static_cast<int64_t>(tile.query_begin + token) * p.q_stride + head * kHeadDim +
          chunk * 8);
    }
    const int half = chunk / 8;
    const int swizzled = (chunk % 8) ^ (local % 8);
    *reinterpret_cast<uint4*>(s.q[half] + local * kRowBytes + swizzled * 16) = value;
  }
  fence_async_proxy();
  named_barrier<kGroupThreads>(1 + group);
}

template <int kHeadDim>
__device__ void store_rows(const Params& p,
                           const PromptTile& tile,
                           const float (&o)[kHeadDim / 2],
                           const ThreadRows& rows,
                           int kv_head,
                           int first_row) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = inverse_sum(rows, r);
    const int row = first_row + 8 * r;
    if (row >= tile.queries * p.group) {
      continue;
    }
    const int token = row / p.group;
    const int head = kv_head * p.group + row % p.group;
    __nv_bfloat16* out = p.out + static_cast<int64_t>(tile.query_begin + token) * p.out_stride +
                         head * kHeadDim + 2 * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int i = 0; i < kHeadDim / 8; ++i) {
      *reinterpret_cast<uint32_t*>(out + i * 8) =
          pack_bf16(o[i * 4 + 2 * r] * inverse, o[i * 4 + 2 * r + 1] * inverse);
    }
  }
}

template <int kHeadDim>
__device__ void consume(
    const Params& p, const PromptTile& tile, Shared<kHeadDim>& shared, int kv_head, int group) {
  load_queries<kHeadDim>(p, tile, shared, kv_head, group);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const int first_row = tile.row0 + group * 64 + warp * 16 + lane / 4;
  ThreadRows rows = thread_rows(tile, p.group, first_row);
  const int tiles = (tile.keys + kKeys - 1) / kKeys;
  const int full_until = tile.context + tile.row0 / p.group + 1;  // every row sees the keys below
  float s[64];
  float o[kHeadDim / 2];
  uint32_t probabilities[32];
  float factor[2];
#pragma unroll
  for (float& value : o) {
    value = 0.0F;
  }

  barrier_wait(&shared.k_full[0], 0);
  issue_scores<kHeadDim>(s, shared, group, 0);
  wgmma_wait<0>();
  wgmma_pin(s);
  barrier_arrive(&shared.k_empty[0]);
  softmax_step<true, kKeys>(s, rows, factor, (tiles - 1) * kKeys, p.scale_log2);
  to_bf16(probabilities, s);
  if (const int valid = tile.keys - (tiles - 1) * kKeys; valid < kKeys) {
    barrier_wait(&shared.v_full[0], 0);
    clear_values<kHeadDim>(shared, 0, valid, group);
  }

  // The scores of tile i are computed while the values of tile i - 1 are summed up.
  for (int i = 1; i < tiles; ++i) {
    const int stage = i % kStages;
    const int before = (i - 1) % kStages;
    barrier_wait(&shared.k_full[stage], static_cast<uint32_t>((i / kStages) & 1));
    issue_scores<kHeadDim>(s, shared, group, stage);
    barrier_wait(&shared.v_full[before], static_cast<uint32_t>(((i - 1) / kStages) & 1));
    issue_values<kHeadDim>(o, probabilities, shared, before);
    wgmma_wait<1>();
    wgmma_pin(s);
    barrier_arrive(&shared.k_empty[stage]);
    const int key0 = (tiles - 1 - i) * kKeys;
    if (key0 + kKeys > full_until) {
      softmax_step<true, kKeys>(s, rows, factor, key0, p.scale_log2);
    } else {
      softmax_step<false, kKeys>(s, rows, factor, key0, p.scale_log2);
    }
    wgmma_wait<0>();
    wgmma_pin(o);
    barrier_arrive(&shared.v_empty[before]);
#pragma unroll
    for (int j = 0; j < kHeadDim / 2; ++j) {
      o[j] *= factor[(j >> 1) & 1];
    }
    to_bf16(probabilities, s);
  }
  const int last = tiles - 1;
  barrier_wait(&shared.v_full[last % kStages], static_cast<uint32_t>((last / kStages) & 1));
  issue_values<kHeadDim>(o, probabilities, shared, last % kStages);
  wgmma_wait<0>();
  wgmma_pin(o);
  store_rows<kHeadDim>(p, tile, o, rows, kv_head, first_row);
}

#endif  // TUTTI_HAS_WGMMA

template <int kHeadDim>
__global__ void __launch_bounds__(kThreads, 1)
    prefill_attention_kernel(const __grid_constant__ Params p,
                             const __grid_constant__ CUtensorMap k_map,
                             const __grid_constant__ CUtensorMap v_map) {
#if TUTTI_HAS_WGMMA
  extern __shared__ uint8_t raw[];
  Shared<kHeadDim>& shared = *reinterpret_cast<Shared<kHeadDim>*>(raw + bytes_to_align(raw));
  const int kv_head = static_cast<int>(blockIdx.x);
  wait_for_previous_kernel();
  const PromptTile tile =
      find_prompt_tile<kRows>(p.sequences, p.group, static_cast<int>(blockIdx.y));
  if (tile.sequence < 0) {
    return;
  }
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      barrier_init(&shared.k_full[i], 1);
      barrier_init(&shared.v_full[i], 1);
      barrier_init(&shared.k_empty[i], 2 * kGroupThreads);
      barrier_init(&shared.v_empty[i], 2 * kGroupThreads);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const int role = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (role == 2) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x / 32 == 2 * kGroupThreads / 32) {
      produce<kHeadDim>(p, tile, shared, k_map, v_map, kv_head);
    }
  } else {
    take_registers<kConsumerRegisters>();
    consume<kHeadDim>(p, tile, shared, kv_head, role);
  }
#endif
}

template <int kHeadDim>
cudaError_t launch(const PagedAttention& a,
                   const Params& params,
                   const CUtensorMap& k_map,
                   const CUtensorMap& v_map,
                   cudaStream_t stream) {
  constexpr int kSharedBytes = sizeof(Shared<kHeadDim>) + 1024;  // room to align
  const cudaError_t code = cudaFuncSetAttribute(prefill_attention_kernel<kHeadDim>,
                                                cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                kSharedBytes);
  if (code != cudaSuccess) {
    return code;
  }
  // At most this many tiles: every sequence may leave one ragged.
  const int64_t tiles = (a.tokens * params.group + kRows - 1) / kRows + a.sequences;
  const dim3 grid(static_cast<unsigned>(a.kv_heads), static_cast<unsigned>(tiles));
  prefill_attention_kernel<kHeadDim>
      <<<grid, kThreads, kSharedBytes, stream>>>(params, k_map, v_map);
  return cudaGetLastError();
}

}  // namespace

cudaError_t prefill_attention(const PagedAttention& a,
                              const CUtensorMap& k_map,
                              const CUtensorMap& v_map,
                              cudaStream_t stream) {
  const Params params{.out = static_cast<__nv_bfloat16*>(a.out),
                      .q = static_cast<const __nv_bfloat16*>(a.q),
                      .sequences = {a.query_begin, a.context_before, a.sequences},
                      .block_table = a.block_table,
                      .out_stride = a.out_stride,
                      .q_stride = a.q_stride,
                      .table_stride = a.table_stride,
                      .group = a.heads / a.kv_heads,
                      .block_size = a.block_size,
                      .block_shift = __builtin_ctz(static_cast<unsigned>(a.block_size)),
                      .scale_log2 = a.scale * kLog2E};
  return a.head_dim == 128 ? launch<128>(a, params, k_map, v_map, stream)
                           : launch<64>(a, params, k_map, v_map, stream);
}

}  // namespace tutti::cuda
