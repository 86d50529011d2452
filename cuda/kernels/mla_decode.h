// Absorbed MLA (DeepSeek-V2, arXiv:2405.04434) for one query row per sequence, on tensor cores.
#pragma once
#include <cstdint>

#include <cuda_runtime_api.h>

namespace tutti::cuda {

inline constexpr int kMlaLatent = 512;
inline constexpr int kMlaRope = 64;

/// score = (q_latent . latent + q_rope . rope) * scale over cached [latent | rope] rows; out = sum
/// of probabilities times latent. All pointers are device memory, rows 16-byte aligned.
struct MlaDecode {
  void* out = nullptr;             ///< [sequences, heads, kMlaLatent] bf16, contiguous
  const void* q_latent = nullptr;  ///< [sequences, heads, kMlaLatent] bf16, contiguous
  const void* q_rope = nullptr;    ///< [sequences, heads, kMlaRope] bf16
  const void* cache = nullptr;     ///< [blocks, block_size, kMlaLatent + kMlaRope] bf16, contiguous
  /// [sequences, kMlaRope] f32, cosines and then sines: q_rope is rotated by it first, and rounded
  /// to bf16. nullptr: it is as it shall be.
  const float* rope_table = nullptr;
  const int32_t* context_before = nullptr;  ///< [sequences]: keys before the query's own
  const int32_t* block_table = nullptr;     ///< [sequences, table_stride]
  int64_t q_rope_stride = 0;                ///< elements between sequences
  int64_t q_rope_head_stride = 0;           ///< elements between heads
  int64_t rope_table_stride = 0;            ///< elements between sequences
  int table_stride = 0;
  int sequences = 0;
  int heads = 0;
  int block_size = 0;  ///< a power of two
  /// All but q_latent was complete when the kernel before this one began, as it is where that one
  /// is a product (overlap.cuh): it may be read while that one runs.
  bool read_ahead = false;
  bool interleaved = true;  ///< pairs of q_rope that turn: neighbours, or column i and 32 + i
  float scale = 0.0F;
};

/// f32 values that `partials` needs.
int64_t mla_decode_partials(int sequences, int heads, int sms);

/// Every sequence's keys are cut into parts, so that few sequences fill the device; a second kernel
/// merges them. Sums and softmax in f32, probabilities rounded to bf16 before they meet the
/// latents. A row's bits depend on how many sequences there are, not on what the others hold.
cudaError_t mla_decode(const MlaDecode& problem, float* partials, int sms, cudaStream_t stream);

}  // namespace tutti::cuda
