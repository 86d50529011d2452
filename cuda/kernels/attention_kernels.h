// The attention kernels without their checks: paged_attention.h decides, these compute. Free of the
// core's headers, which nvcc's front end need not read.
#pragma once
#include <cstdint>

#include <cuda.h>
#include <cuda_runtime_api.h>

namespace tutti::cuda {

inline constexpr float kLog2E = 1.4426950408889634F;

/// All pointers are device memory. Query row j of sequence i stands at position context_before[i] +
/// j and sees positions 0 .. that. Query head h reads KV head h / (heads / kv_heads).
struct PagedAttention {
  void* out = nullptr;      ///< [tokens, heads, head_dim] bf16, tokens `out_stride` elements apart
  const void* q = nullptr;  ///< [tokens, heads, head_dim] bf16, tokens `q_stride` elements apart
  const void* k_cache = nullptr;  ///< [blocks, block_size, kv_heads * head_dim] bf16, contiguous
  const void* v_cache = nullptr;  ///< same shape
  const int32_t* query_begin = nullptr;     ///< [sequences + 1]
  const int32_t* context_before = nullptr;  ///< [sequences]
  const int32_t* block_table = nullptr;     ///< [sequences, table_stride]
  int64_t out_stride = 0;
  int64_t q_stride = 0;
  int64_t tokens = 0;
  int64_t blocks = 0;
  int table_stride = 0;
  int sequences = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int block_size = 0;
  float scale = 0.0F;
};

/// `k_map`, `v_map`: tensor maps of the caches with boxes of [block_size, 64].
cudaError_t prefill_attention(const PagedAttention& problem,
                              const CUtensorMap& k_map,
                              const CUtensorMap& v_map,
                              cudaStream_t stream);

/// Work space of the decode kernel, one per stream. `arrivals` must be zero before the first
/// launch; every launch leaves it so.
struct DecodeScratch {
  float* partials = nullptr;    ///< [decode_partials()]
  int32_t* arrivals = nullptr;  ///< [sequences * kv_heads]
};

/// f32 values of DecodeScratch::partials for up to `sequences` sequences on a device of `sms`
/// multiprocessors.
int64_t decode_partials(int sequences, int heads, int kv_heads, int head_dim, int sms);

cudaError_t decode_attention(const PagedAttention& problem,
                             const DecodeScratch& scratch,
                             int sms,
                             cudaStream_t stream);

}  // namespace tutti::cuda
