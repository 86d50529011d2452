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
#include "cuda/ops/quantize.h"
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
            {"mla_decode", calls_.mla_decode},
            {"mla_prefill", calls_.mla_prefill},
            {"simple_attention", calls_.simple_attention},
            {"simple_mla_attention", calls_.simple_mla_attention},
            {"skinny_gemm", calls_.skinny_gemm},
            {"few_rows_gemm", calls_.few_rows_gemm},
            {"combine_gemm", calls_.combine_gemm},
            {"grouped_gemm", calls_.grouped_gemm},
            {"cublaslt", calls_.cublaslt},
            {"simple_matmul", calls_.simple_matmul}};
  }

  void set_rehearsal(bool on) override { rehearsal_ = on; }

  /// f32 and bf16.
  Status check_compute(DType act) const override;

  /// Weights that a kernel knows.
  Status supports(const OpCall& op) const override;

  void run(const op::Embedding& args);
  void run(const op::RmsNorm& args);
  void run(const op::AddRmsNorm& args);
  void run(const op::LayerNorm& args);
  void run(const op::SumSquares& args);
  void run(const op::NormPart& args);
  void run(const op::Add& args);
  void run(const op::Linear& args);
  void run(const op::GroupedLinear& args);
  void run(const op::BatchedLinear& args);
  void run(const op::SiluMul& args);
  void run(const op::GeluMul& args);
  void run(const op::GatedLinear& args);
  void run(const op::GroupedGatedLinear& args);
  void run(const op::RopeAndWriteKv& args);
  void run(const op::WriteLatent& args);
  void run(const op::RopeAndMlaAttention& args);
  void run(const op::RopeTable& args);
  void run(const op::Rope& args);
  void run(const op::WriteKv& args);
  void run(const op::Attention& args);
  void run(const op::MlaAttention& args);
  void run(const op::GatherKv& args);
  void run(const op::MlaExpandedAttention& args);
  void run(const op::MoeRoute& args);
  void run(const op::MoePermute& args);
  void run(const op::MoeAssign& args);
  void run(const op::MoeCombine& args);
  void run(const op::GroupedLinearCombine& args);
  void run(const op::GatherRows& args);
  void run(const op::Argmax& args);
  void run(const op::ShardArgmax& args);
  void run(const op::MergeArgmax& args);
  void run(const op::Draw& args);
  void run(const op::LogProbs& args);
  void run(const op::AdjustLogits& args);
  void run(const op::TakeAdjusted& args);
  void run(const op::FillTokens& args);
  void run(const op::Scatter& args);

 private:
  void execute(const OpCall& op) override { execute_on(*this, op); }

  /// Ends every op: throws if its launch failed.
  void finish(cudaError_t code, const char* op) const;
  /// Before every op: threads have a current device each.
  void enter() const;
  void run_matmul(const MatMul& problem, const char* op);

  /// A product of experts, or by e4m3 blocks.
  struct OwnProduct {
    MatMul p;
    TensorView scratch{};             ///< Linear::scratch
    const int32_t* x_rows = nullptr;  ///< [p.m]: the row of x behind each row of y, if not the same
    int64_t x_rows_count = 0;         ///< of x
    bool gated = false;
    /// A matrix that few_rows_gemm takes along, or an empty problem.
    MatMul beside{};
  };

  /// Whether few_rows_gemm would take it, and can take the other matrix along.
  bool takes_along(const OwnProduct& own, const MatMul& beside) const;
  /// False: not a shape for the kernels that are meant.
  bool run_own(const OwnProduct& own, const char* op);
  bool run_tiles(const OwnProduct& own, const char* op);
  bool quantize(const OwnProduct& own, QuantizeRows& q, const char* op);
  bool decode_fits(const PagedAttention& problem, const AttentionBatch& batch) const;
  /// table: of Rope for q_rope, or undefined; where there is one, the operation before was the
  /// product that made q_latent. False: not a shape of the kernel.
  bool run_mla_decode(const op::MlaAttention& args, ConstTensorView table, RopeLayout layout);
  bool run_mla_prefill(const op::MlaAttention& args);

  struct Calls {
    int64_t decode_attention = 0;
    int64_t prefill_attention = 0;
    int64_t mla_decode = 0;
    int64_t mla_prefill = 0;
    int64_t simple_attention = 0;
    int64_t simple_mla_attention = 0;
    int64_t skinny_gemm = 0;
    int64_t few_rows_gemm = 0;
    int64_t combine_gemm = 0;
    int64_t grouped_gemm = 0;
    int64_t cublaslt = 0;
    int64_t simple_matmul = 0;
  };

  CudaOpsOptions o_;
  Calls calls_;
  bool rehearsal_ = false;
};

}  // namespace tutti::cuda
