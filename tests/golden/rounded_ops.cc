#include "golden/rounded_ops.h"

#include "backend/cpu_backend.h"
#include "golden/forwarding_ops.h"
#include "golden/wrapped_backend.h"
#include "tensor/dtype.h"

namespace tutti::testing {

namespace {

void round_all(TensorView x) {
  if (x.rank() > 1) {
    for (int64_t i = 0; i < x.dim(0); ++i) {
      round_all(x.at(i));
    }
    return;
  }
  auto* values = x.data<float>();
  for (int64_t i = 0; i < x.dim(0); ++i) {
    values[i] = to_float(to_bf16(values[i]));
  }
}

class RoundedOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

 private:
  void execute(const OpCall& op) override {
    op.visit([this](const auto& args) { run(args); });
  }

  template <class Op>
  void run(const Op& args) {
    inner().call(args);
  }

  void run(op::RmsNorm args) {
    inner().rms_norm(args.y, args.x, args.weight, args.eps);
    round_all(args.y);
  }

  void run(op::AddRmsNorm args) {
    inner().add_rms_norm(args.y, args.residual, args.x, args.weight, args.eps);
    round_all(args.y);
  }

  void run(op::Linear args) {
    inner().linear(args.y, args.x, args.weight, args.bias);
    if (args.weight.format().kernels != WeightKernels::kF32) {
      round_all(args.y);
    }
  }

  void run(op::GroupedLinear args) {
    inner().grouped_linear(args.y, args.x, args.weight, args.offsets);
    round_all(args.y);
  }

  void run(op::BatchedLinear args) {
    inner().batched_linear(args.y, args.x, args.weight);
    round_all(args.y);
  }

  void run(op::SiluMul args) {
    inner().silu_mul(args.y, args.gate, args.up);
    round_all(args.y);
  }

  // In parts, which round.
  void run(op::GatedLinear args) { run_in_parts(*this, args); }

  void run(op::RopeAndWriteKv args) { run_in_parts(*this, args); }

  void run(op::Rope args) {
    inner().rope(args.x, args.table, args.layout);
    round_all(args.x);
  }

  void run(op::Attention args) {
    inner().attention(args.out, args.q, args.k_cache, args.v_cache, args.batch, args.scale);
    round_all(args.out);
  }

  void run(op::MlaAttention args) {
    inner().mla_attention(args.out, args.q_latent, args.q_rope, args.cache, args.batch, args.scale);
    round_all(args.out);
  }

  void run(op::MoeCombine args) {
    inner().moe_combine(args.y, args.x, args.pair_row, args.weights);
    round_all(args.y);
  }
};

}  // namespace

std::unique_ptr<Backend> make_rounding_cpu_backend() {
  return std::make_unique<WrappedBackend>(
      make_cpu_backend({.threads = 2}),
      [](RankResources& rank) { return std::make_unique<RoundedOps>(std::move(rank.ops)); });
}

}  // namespace tutti::testing
