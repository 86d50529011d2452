// Absorbed MLA for prompts on Hopper's warp-group matrix units. The rows of a tile are (token,
// head) pairs, which all read the same cached rows: a tile of 64 keys is brought once, as keys
// [latent | rope] and again as values. Two warp groups compute the same scores, which costs less
// than telling each other, and half of the columns of the result each.
#include "cuda/kernels/attention_kernels.h"
#include "cuda/kernels/mla_prefill.h"
#include "cuda/kernels/prefill_tiles.cuh"
#include "cuda/kernels/wgmma.cuh"

namespace tutti::cuda {

namespace {

constexpr int kRows = 64;   // of a tile: those of one warp group
constexpr int kKeys = 64;   // of a tile
constexpr int kStages = 2;  // 2 x 72 KiB of cached rows beside 72 KiB of queries
constexpr int kThreads = 384;
[[maybe_unused]] constexpr int kGroupThreads = 128;
constexpr int kColumns = 64;    // of a swizzled tile: 128 bytes
constexpr int kRowBytes = 128;  // of a swizzled tile
constexpr int kTileBytes = kKeys * kRowBytes;
constexpr int kWidth = kMlaLatent + kMlaRope;
constexpr int kTiles = kWidth / kColumns;                              // of a cached row
[[maybe_unused]] constexpr int kOutTiles = kMlaLatent / kColumns / 2;  // of a warp group's result
[[maybe_unused]] constexpr int kProducerRegisters = 24;
[[maybe_unused]] constexpr int kConsumerRegisters = 240;  // 24 * 128 + 240 * 256 <= 65536

struct Params {
  MlaPrefill p;
  PromptSequences sequences;
  int block_shift;
  float scale_log2;
};

struct alignas(1024) Shared {
  uint8_t q[kTiles][kRows * kRowBytes];
  uint8_t cache[kStages][kTiles][kTileBytes];
  uint64_t full[kStages];
  uint64_t empty[kStages];
};

#if TUTTI_HAS_WGMMA

// One warp brings the cached rows, last keys first: those are the ones that need a mask.
__device__ void produce(const Params& params,
                        const PromptTile& tile,
                        Shared& s,
                        const CUtensorMap& map) {
  const MlaPrefill& p = params.p;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tiles = (tile.keys + kKeys - 1) / kKeys;
  const int pages = kKeys >> params.block_shift;
  const int last_page = (tile.keys - 1) >> params.block_shift;
  const int32_t* table = p.block_table + static_cast<int64_t>(tile.sequence) * p.table_stride;
  for (int i = 0; i < tiles; ++i) {
    const int stage = i % kStages;
    barrier_wait(&s.empty[stage], static_cast<uint32_t>((i / kStages) & 1) ^ 1U);
    if (lane == 0) {
      barrier_expect(&s.full[stage], kTiles * kTileBytes);
    }
    __syncwarp();
    for (int load = lane; load < pages * kTiles; load += 32) {
      const int page = load / kTiles;
      const int column = load % kTiles;
      // Pages past the end hold nothing of this sequence: read a valid one, masked later.
      const int block = table[min((tiles - 1 - i) * pages + page, last_page)];
      tma_load_2d(s.cache[stage][column] + (page << params.block_shift) * kRowBytes,
                  &map,
                  column * kColumns,
                  block << params.block_shift,
                  &s.full[stage]);
    }
    __syncwarp();
  }
}

// Both warp groups together.
__device__ void load_queries(const MlaPrefill& p, const PromptTile& tile, Shared& s) {
  constexpr int kChunks = kWidth / 8;  // of 16 bytes
  const int rows = tile.queries * p.heads;
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += 2 * kGroupThreads) {
    const int local = i / kChunks;
    const int chunk = i % kChunks;
    const int row = tile.row0 + local;
    uint4 value{0, 0, 0, 0};
    if (row < rows) {
      const int64_t token = tile.query_begin + row / p.heads;
      const int head = row % p.heads;
      const auto* latent =
          static_cast<const __nv_bfloat16*>(p.q_latent) + (token * p.heads + head) * kMlaLatent;
      const auto* rope = static_cast<const __nv_bfloat16*>(p.q_rope) + token * p.q_rope_stride +
                         head * p.q_rope_head_stride;
      value = *reinterpret_cast<const uint4*>(
          chunk < kMlaLatent / 8 ? latent + chunk * 8 : rope + (chunk * 8 - kMlaLatent));
    }
    *reinterpret_cast<uint4*>(s.q[chunk / 8] + local * kRowBytes +
                              ((chunk % 8) ^ (local % 8)) * 16) = value;
  }
  fence_async_proxy();
  named_barrier<2 * kGroupThreads>(1);
}

__device__ __forceinline__ void issue_scores(float (&scores)[kKeys / 2],
                                             const Shared& s,
                                             int stage) {
  wgmma_fence();
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const uint32_t q = smem_address(s.q[tile]);
    const uint32_t k = smem_address(s.cache[stage][tile]);
#pragma unroll
    for (int step = 0; step < kColumns / 16; ++step) {
      wgmma_bf16(scores,
                 swizzled_operand(q + step * 32, 16, 8 * kRowBytes),
                 swizzled_operand(k + step * 32, 16, 8 * kRowBytes),
                 tile + step > 0 ? 1 : 0);
    }
  }
  wgmma_commit();
}

// This warp group's columns, in two parts of 128.
__device__ __forceinline__ void issue_values(float (&out)[2][64],
                                             const uint32_t (&weights)[kKeys / 4],
                                             const Shared& s,
                                             int stage,
                                             int group) {
  wgmma_fence();
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const uint32_t v = smem_address(s.cache[stage][group * kOutTiles + part * 2]);
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      wgmma_k16_rs(out[part],
                   &weights[step * 4],
                   swizzled_operand(v + step * 16 * kRowBytes, kTileBytes, 8 * kRowBytes));
    }
  }
  wgmma_commit();
}

// Weight 0 times a stale NaN would still be NaN: values past the last key become 0, each warp group
// its own.
__device__ void clear_values(Shared& s, int stage, int from, int group) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  const int chunks = (kKeys - from) * (kRowBytes / 16);
#pragma unroll
  for (int tile = 0; tile < kOutTiles; ++tile) {
    for (int i = thread; i < chunks; i += kGroupThreads) {
      *reinterpret_cast<uint4*>(s.cache[stage][group * kOutTiles + tile] + from * kRowBytes +
                                i * 16) = uint4{0, 0, 0, 0};
    }
  }
  fence_async_proxy();
  named_barrier<kGroupThreads>(2 + group);
}

__device__ void store_rows(const MlaPrefill& p,
                           const PromptTile& tile,
                           const float (&out)[2][64],
                           const ThreadRows& rows,
                           int first_row,
                           int group) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float inverse = inverse_sum(rows, r);
    const int row = first_row + 8 * r;
    if (row >= tile.queries * p.heads) {
      continue;
    }
    const int64_t token = tile.query_begin + row / p.heads;
    auto* to = static_cast<__nv_bfloat16*>(p.out) + (token * p.heads + row % p.heads) * kMlaLatent +
               group * kOutTiles * kColumns + 2 * (static_cast<int>(threadIdx.x) % 4);
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        *reinterpret_cast<uint32_t*>(to + part * 128 + i * 8) =
            pack_bf16(out[part][i * 4 + 2 * r] * inverse, out[part][i * 4 + 2 * r + 1] * inverse);
      }
    }
  }
}

__device__ void consume(const Params& params, const PromptTile& tile, Shared& s, int group) {
  const MlaPrefill& p = params.p;
  load_queries(p, tile, s);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32 % 4;
  const int first_row = tile.row0 + warp * 16 + lane / 4;
  ThreadRows rows = thread_rows(tile, p.heads, first_row);
  const int tiles = (tile.keys + kKeys - 1) / kKeys;
  const int full_until = tile.context + tile.row0 / p.heads + 1;  // every row sees the keys below
  float scores[kKeys / 2];
  float out[2][64];
  uint32_t weights[kKeys / 4];
  float factor[2];
#pragma unroll
  for (int part = 0; part < 2; ++part) {
#pragma unroll
    for (float& value : out[part]) {
      value = 0.0F;
    }
  }

  barrier_wait(&s.full[0], 0);
  issue_scores(scores, s, 0);
  wgmma_wait<0>();
  wgmma_pin(scores);
  softmax_step<true, kKeys>(scores, rows, factor, (tiles - 1) * kKeys, params.scale_log2);
  to_bf16(weights, scores);
  if (const int valid = tile.keys - (tiles - 1) * kKeys; valid < kKeys) {
    clear_values(s, 0, valid, group);
  }
  // The scores of tile i are computed while the values of tile i - 1 are summed up.
  for (int i = 1; i < tiles; ++i) {
    const int stage = i % kStages;
    const int before = (i - 1) % kStages;
    barrier_wait(&s.full[stage], static_cast<uint32_t>((i / kStages) & 1));
    issue_scores(scores, s, stage);
    issue_values(out, weights, s, before, group);
    wgmma_wait<1>();
    wgmma_pin(scores);
    const int key0 = (tiles - 1 - i) * kKeys;
    if (key0 + kKeys > full_until) {
      softmax_step<true, kKeys>(scores, rows, factor, key0, params.scale_log2);
    } else {
      softmax_step<false, kKeys>(scores, rows, factor, key0, params.scale_log2);
    }
    wgmma_wait<0>();
    wgmma_pin(out[0]);
    wgmma_pin(out[1]);
    barrier_arrive(&s.empty[before]);
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
      for (int j = 0; j < 64; ++j) {
        out[part][j] *= factor[(j >> 1) & 1];
      }
    }
    to_bf16(weights, scores);
  }
  issue_values(out, weights, s, (tiles - 1) % kStages, group);
  wgmma_wait<0>();
  wgmma_pin(out[0]);
  wgmma_pin(out[1]);
  store_rows(p, tile, out, rows, first_row, group);
}

#endif  // TUTTI_HAS_WGMMA

__global__ void __launch_bounds__(kThreads, 1)
    mla_prefill_kernel(const __grid_constant__ Params params,
                       const __grid_constant__ CUtensorMap map) {
#if TUTTI_HAS_WGMMA
  extern __shared__ uint8_t raw[];
  Shared& s = *reinterpret_cast<Shared*>(raw + bytes_to_align(raw));
  wait_for_previous_kernel();
  const PromptTile tile =
      find_prompt_tile<kRows>(params.sequences, params.p.heads, static_cast<int>(blockIdx.x));
  if (tile.sequence < 0) {
    return;
  }
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], 2 * kGroupThreads);
    }
    barrier_init_fence();
  }
  __syncthreads();
  const int role = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (role == 2) {
    give_registers<kProducerRegisters>();
    if (threadIdx.x / 32 == 2 * kGroupThreads / 32) {
      produce(params, tile, s, map);
    }
  } else {
    take_registers<kConsumerRegisters>();
    consume(params, tile, s, role);
  }
#endif
}

}  // namespace

bool mla_prefill_fits(const MlaPrefill& p, int compute_capability) {
  return compute_capability == 90 && p.block_size >= 8 && p.block_size <= kKeys &&
         (p.block_size & (p.block_size - 1)) == 0;
}

cudaError_t mla_prefill(const MlaPrefill& p, const CUtensorMap& map, cudaStream_t stream) {
  if (p.tokens == 0 || p.heads == 0 || p.sequences == 0) {
    return cudaSuccess;
  }
  constexpr int kSharedBytes = sizeof(Shared) + 1024;  // room to align
  static_assert(kSharedBytes <= 227 * 1024);
  const cudaError_t code = cudaFuncSetAttribute(
      mla_prefill_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kSharedBytes);
  if (code != cudaSuccess) {
    return code;
  }
  const Params params{.p = p,
                      .sequences = {p.query_begin, p.context_before, p.sequences},
                      .block_shift = __builtin_ctz(static_cast<unsigned>(p.block_size)),
                      .scale_log2 = p.scale * kLog2E};
  // At most this many tiles: every sequence may leave one ragged.
  const int64_t tiles = (int64_t{p.tokens} * p.heads + kRows - 1) / kRows + p.sequences;
  mla_prefill_kernel<<<static_cast<unsigned>(tiles), kThreads, kSharedBytes, stream>>>(params, map);
  return cudaGetLastError();
}

}  // namespace tutti::cuda
