// Attention for any head width and either compute type: the path that is always there. The fast
// kernels of cuda/kernels take what they can (cuda_attention.cc decides).
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

/// out [t, hq, dv], q [t, hq, d], caches [blocks, block_size, hkv * d] and [.., hkv * dv].
cudaError_t simple_attention(const Rows& out,
                             const ConstRows& q,
                             const ConstRows& k_cache,
                             const ConstRows& v_cache,
                             const Sequences& sequences,
                             float scale,
                             cudaStream_t s);

/// out and q_latent [t, h, latent], q_rope [t, h, rope], cache [blocks, block_size, latent + rope].
cudaError_t mla_attention(const Rows& out,
                          const ConstRows& q_latent,
                          const ConstRows& q_rope,
                          const ConstRows& cache,
                          const Sequences& sequences,
                          float scale,
                          cudaStream_t s);

/// out [t, h, dv], q [t, h, nope + rope], kv [c, h, nope + dv], k_rope [c, rope].
cudaError_t mla_expanded_attention(const Rows& out,
                                   const ConstRows& q,
                                   const ConstRows& kv,
                                   const ConstRows& k_rope,
                                   const Sequences& sequences,
                                   const int32_t* key_begin,
                                   float scale,
                                   cudaStream_t s);

}  // namespace tutti::cuda
