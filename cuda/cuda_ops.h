// The operations of ops/ops.h on one GPU, queued on one stream. Simple kernels take every shape;
// where a fast path exists (cuBLASLt for large products) the members here choose it.
//
// A launch that fails throws DeviceError naming the op. A kernel that fails later is found at the
// next synchronisation; built with TUTTI_CUDA_SYNC_EVERY_OP, at once.
#pragma once
#include <memory>

#include "cuda/cublas.h"
#include "cuda/cuda_device.h"
#include "cuda/device_probe.h"
#include "cuda/kernels/attention_kernels.h"
#include "ops/ops.h"

namespace tutti::cuda {

// Scratch of the decode kernel. Attention of more sequences or heads at once, which no model comes
// near, takes the other kernels.
inline constexpr int64_t kDecodePartialBytes = int64_t{32} << 20;
inline constexpr int64_t kMaxDecodePairs = int64_t{1} << 16;  // sequences x KV heads

struct CudaOpsOptions {
  CudaDeviceInfo gpu;
  cudaStream_t stream = nullptr;
  std::unique_ptr<CublasLt> cublas;
  // Scratch for this stream alone.
  Buffer workspace;        ///< of matrix products
  Buffer decode_partials;  ///< kDecodePartialBytes
  Buffer decode_arrivals;  ///< kMaxDecodePairs i32, all zero
};

class CudaOps final : public Ops {
 public:
  explicit CudaOps(CudaOpsOptions options) : o_(std::move(options)) {}

  const char* name() const override { return "cuda"; }

  std::vector<KernelCalls> kernel_calls() const override {
    return {{"decode_attention", calls_.decode_attention},
            {"prefill_attention", calls_.prefill_attention},
            {"simple_attention", calls_.simple_attention},
            {"skinny_gemm", calls_.skinny_gemm},
            {"cublaslt", calls_.cublaslt},
            {"simple_matmul", calls_.simple_matmul}};
  }

  void set_rehearsal(bool on) override { rehearsal_ = on; }

  /// f32 and bf16.
  Status check_compute(DType act) const override;

 private:
  /// Ends every op: throws if its launch failed.
  void finish(cudaError_t code, const char* op) const;
  /// Before every op: threads have a current device each.
  void enter() const;
  void run_matmul(const MatMul& problem, const char* op);
  bool decode_fits(const PagedAttention& problem, const AttentionBatch& batch) const;

  void do_embedding(TensorView y,
                    ConstTensorView table,
                    ConstTensorView ids,
                    int64_t first_id) override;
  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override;
  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override;
  void do_add(TensorView y, ConstTensorView x) override;
  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override;
  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override;
  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override;
  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override;
  void do_gated_linear(TensorView y,
                       ConstTensorView x,
                       const WeightView& weight,
                       ConstTensorView bias) override;
  void do_rope_and_write_kv(TensorView q,
                            TensorView k,
                            ConstTensorView v,
                            ConstTensorView table,
                            RopeLayout layout,
                            TensorView k_cache,
                            TensorView v_cache,
                            ConstTensorView slots) override;
  void do_rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) override;
  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override;
  void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) override;
  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override;
  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override;
  void do_gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) override;
  void do_mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) override;
  void do_moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) override;
  void do_moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) override;
  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override;
  void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) override;
  void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) override;
  void do_shard_argmax(const ShardArgmax& args) override;
  void do_merge_argmax(const MergeArgmax& args) override;
  void do_draw(TensorView tokens,
               ConstTensorView logits,
               int64_t limit,
               ConstTensorView rows) override;
  void do_log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) override;
  void do_adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) override;
  void do_take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) override;
  void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) override;
  void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) override;

  struct Calls {
    int64_t decode_attention = 0;
    int64_t prefill_attention = 0;
    int64_t simple_attention = 0;
    int64_t skinny_gemm = 0;
    int64_t cublaslt = 0;
    int64_t simple_matmul = 0;
  };

  CudaOpsOptions o_;
  Calls calls_;
  bool rehearsal_ = false;
};

}  // namespace tutti::cuda
