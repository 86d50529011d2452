// The attentions: which kernel computes what. The simple kernels take every shape.
#include "cuda/cuda_ops.h"
#include "cuda/ops/attention.h"
#include "cuda/ops/rows.h"
#include "cuda/views.h"

namespace tutti::cuda {

void CudaOps::do_attention(TensorView out,
                           ConstTensorView q,
                           ConstTensorView k_cache,
                           ConstTensorView v_cache,
                           const AttentionBatch& batch,
                           float scale) {
  enter();
  finish(cuda::simple_attention(rows(out),
                                const_rows(q),
                                const_rows(k_cache),
                                const_rows(v_cache),
                                sequences(batch),
                                scale,
                                o_.stream),
         "attention");
}

void CudaOps::do_mla_attention(TensorView out,
                               ConstTensorView q_latent,
                               ConstTensorView q_rope,
                               ConstTensorView cache,
                               const AttentionBatch& batch,
                               float scale) {
  enter();
  finish(cuda::mla_attention(rows(out),
                             const_rows(q_latent),
                             const_rows(q_rope),
                             const_rows(cache),
                             sequences(batch),
                             scale,
                             o_.stream),
         "mla_attention");
}

void CudaOps::do_mla_expanded_attention(TensorView out,
                                        ConstTensorView q,
                                        ConstTensorView kv,
                                        ConstTensorView k_rope,
                                        const AttentionBatch& batch,
                                        ConstTensorView key_begin,
                                        float scale) {
  enter();
  finish(cuda::mla_expanded_attention(rows(out),
                                      const_rows(q),
                                      const_rows(kv),
                                      const_rows(k_rope),
                                      sequences(batch),
                                      key_begin.data<int32_t>(),
                                      scale,
                                      o_.stream),
         "mla_expanded_attention");
}

}  // namespace tutti::cuda
