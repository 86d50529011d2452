// Absorbed MLA (DeepSeek-V2, arXiv:2405.04434) for any number of query rows per sequence, on
// Hopper's tensor cores.
#pragma once
#include <cstdint>

#include <cuda.h>
#include <cuda_runtime_api.h>

#include "cuda/kernels/mla_decode.h"

namespace tutti::cuda {

/// As MlaDecode, with causal masking among the queries of a sequence; q_rope is rotated already.
struct MlaPrefill {
  void* out = nullptr;                      ///< [tokens, heads, kMlaLatent] bf16, contiguous
  const void* q_latent = nullptr;           ///< [tokens, heads, kMlaLatent] bf16, contiguous
  const void* q_rope = nullptr;             ///< [tokens, heads, kMlaRope] bf16, 16-byte aligned
  const int32_t* query_begin = nullptr;     ///< [sequences + 1]
  const int32_t* context_before = nullptr;  ///< [sequences]: keys before the first query's own
  const int32_t* block_table = nullptr;     ///< [sequences, table_stride]
  int64_t q_rope_stride = 0;                ///< elements between tokens
  int64_t q_rope_head_stride = 0;           ///< elements between heads
  int table_stride = 0;
  int tokens = 0;
  int sequences = 0;
  int heads = 0;
  int block_size = 0;
  float scale = 0.0F;
};

/// Compute capability 9.0, block_size a power of two from 8 to 64.
bool mla_prefill_fits(const MlaPrefill& problem, int compute_capability);

/// `map`: of the cache [blocks * block_size, kMlaLatent + kMlaRope], boxes of block_size rows. Sums
/// and softmax in f32, weights rounded to bf16 before they meet the latents.
cudaError_t mla_prefill(const MlaPrefill& problem, const CUtensorMap& map, cudaStream_t stream);

}  // namespace tutti::cuda
