// Attention over a paged bf16 cache on tensor cores: one kernel for prompts, one for decoding.
// Both compute softmax(q k^T * scale) v with causal masking; sums and softmax in f32, probabilities
// rounded to bf16 before they meet v (as FlashAttention, arXiv:2205.14135, and Hugging Face's eager
// bf16 path do).
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

#include "base/status.h"
#include "cuda/kernels/attention_kernels.h"

namespace tutti::cuda {

/// Ok if the prompt kernel takes this problem on a device of this compute capability: 9.0, head_dim
/// 64 or 128, block_size a power of two from 8 to 128, 16-byte aligned rows. Otherwise why not.
Status prefill_attention_fits(const PagedAttention& problem, int compute_capability);

/// FlashAttention-3 style (arXiv:2407.08608): one warp group loads keys and values through the
/// tensor memory accelerator, two compute 64 rows each; a row is one (token, head of the KV group)
/// pair.
Status launch_prefill_attention(const PagedAttention& problem, cudaStream_t stream);

/// Ok if the decode kernel takes this problem: compute capability 8.0 or later, head_dim 64 or 128,
/// heads / kv_heads at most 16, block_size a power of two from 16, one query row per sequence.
Status decode_attention_fits(const PagedAttention& problem, int compute_capability);

/// The keys of all sequences are laid end to end and cut into equal parts, one per thread block, so
/// that uneven lengths do not leave multiprocessors idle; partial results are merged by a second
/// kernel. The cut depends on the lengths of the whole batch: identical batches give identical
/// bits.
Status launch_decode_attention(const PagedAttention& problem,
                               const DecodeScratch& scratch,
                               int sms,
                               cudaStream_t stream);

}  // namespace tutti::cuda
