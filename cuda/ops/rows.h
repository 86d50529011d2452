// Kernels that work row by row; contracts in ops/ops.h. Each result depends on its own row only.
#pragma once
#include "cuda/ops/launch.h"

namespace tutti::cuda {

cudaError_t embedding(
    const Rows& y, const ConstRows& table, const int32_t* ids, int64_t first_id, cudaStream_t s);
cudaError_t rms_norm(
    const Rows& y, const ConstRows& x, const float* weight, float eps, cudaStream_t s);
cudaError_t add_rms_norm(const Rows& y,
                         const Rows& residual,
                         const ConstRows& x,
                         const float* weight,
                         float eps,
                         cudaStream_t s);
/// `bias` may be null.
cudaError_t layer_norm(const Rows& y,
                       const ConstRows& x,
                       const float* weight,
                       const float* bias,
                       float eps,
                       cudaStream_t s);
/// `y`: [t, 2]; also.data nullptr: 0 for it.
cudaError_t sum_squares(const TypedRows<float>& y,
                        const ConstRows& x,
                        const ConstRows& also,
                        cudaStream_t s);
/// `squares`: [t, 1].
cudaError_t norm_part(const Rows& y,
                      const ConstRows& x,
                      const float* weight,
                      const TypedRows<const float>& squares,
                      int64_t width,
                      float eps,
                      cudaStream_t s);
cudaError_t add(const Rows& y, const ConstRows& x, cudaStream_t s);
cudaError_t silu_mul(const Rows& y, const ConstRows& gate, const ConstRows& up, cudaStream_t s);
cudaError_t gelu_mul(
    const Rows& y, const ConstRows& gate, const ConstRows& up, bool tanh, cudaStream_t s);
cudaError_t gather_rows(const Rows& y, const ConstRows& x, const int32_t* rows, cudaStream_t s);

/// `table`: [t, 2 * half] f32.
cudaError_t rope_table(const Rows& table,
                       const int32_t* positions,
                       const float* inv_freq,
                       float scale,
                       cudaStream_t s);
cudaError_t rope(const Rows& x, const ConstRows& table, bool interleaved, cudaStream_t s);

/// RMSNorm of the heads of q and of k; null: none.
struct HeadNorms {
  const float* q = nullptr;  ///< [width of a head]; with `squares` of all heads
  const float* k = nullptr;
  float eps = 0.0F;
  TypedRows<const float> squares{};  ///< [t, 2] or null: all heads of q, and of k, have one norm
  float q_width = 0.0F;              ///< over so many values, with `squares`
  float k_width = 0.0F;
};

/// What op::WriteLatent is about; q.data nullptr: there is no q.
struct LatentRows {
  Rows latent;
  const float* norm = nullptr;  ///< [normed]
  int64_t normed = 0;           ///< columns that are normalised; the others turn
  ConstRows table;
  bool interleaved = true;
  Rows cache;
  const int32_t* kv_places = nullptr;
  Rows q;
  const float* q_norm = nullptr;
  float eps = 0.0F;
};

cudaError_t write_latent(const LatentRows& rows, cudaStream_t s);

/// `cache`: [blocks, block_size, w].
cudaError_t write_kv(const Rows& cache,
                     const ConstRows& x,
                     const int32_t* kv_places,
                     cudaStream_t s);
cudaError_t rope_and_write_kv(const Rows& q,
                              const Rows& k,
                              const ConstRows& v,
                              const ConstRows& table,
                              bool interleaved,
                              const Rows& k_cache,
                              const Rows& v_cache,
                              const int32_t* kv_places,
                              const HeadNorms& norms,
                              cudaStream_t s);
cudaError_t gather_kv(const Rows& y,
                      const ConstRows& cache,
                      const Sequences& sequences,
                      const int32_t* key_begin,
                      cudaStream_t s);

/// cudaErrorNoKernelImageForDevice if the kernels were not compiled for the current device.
cudaError_t find_kernel();

}  // namespace tutti::cuda
