#include "golden/rounded_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu_backend.h"
#include "base/checked.h"
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

void round_row_to_e4m3(float* x, int64_t count) {
  constexpr int64_t kBlock = 128;
  constexpr float kLargest = 448.0F;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = std::min(count, begin + kBlock);
    float largest = 0;
    for (int64_t i = begin; i < end; ++i) {
      largest = std::max(largest, std::abs(x[i]));
    }
    const float scale = largest / kLargest;
    for (int64_t i = begin; scale > 0 && i < end; ++i) {
      x[i] = to_float(to_f8e4m3(x[i] / scale)) * scale;
    }
  }
}

class RoundedOps final : public ForwardingOps {
 public:
  RoundedOps(std::unique_ptr<Ops> inner, bool e4m3)
      : ForwardingOps(std::move(inner)), e4m3_(e4m3) {}

 private:
  // x as the product takes it; valid until the next call.
  ConstTensorView taken(ConstTensorView x, const WeightView& weight) {
    if (!e4m3_ || weight.format().kernels != WeightKernels::kE4M3Blocks) {
      return x;
    }
    rounded_.resize(usize(x.numel()));
    const int64_t width = x.dim(1);
    for (int64_t r = 0; r < x.dim(0); ++r) {
      float* row = rounded_.data() + r * width;
      std::copy_n(x.data<float>() + r * x.stride(0), width, row);
      round_row_to_e4m3(row, width);
    }
    return {rounded_.data(), DType::kF32, x.shape()};
  }

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

  void run(op::LayerNorm args) {
    inner().call(args);
    round_all(args.y);
  }

  void run(op::GeluMul args) {
    inner().call(args);
    round_all(args.y);
  }

  void run(op::NormPart args) {
    inner().call(args);
    round_all(args.y);
  }

  void run(op::Linear args) {
    inner().linear(args.y, taken(args.x, args.weight), args.weight, args.bias, args.scratch);
    if (args.weight.format().kernels != WeightKernels::kF32) {
      round_all(args.y);
    }
  }

  void run(op::GroupedLinear args) {
    inner().grouped_linear(
        args.y, taken(args.x, args.weight), args.weight, args.offsets, args.scratch);
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

  void run(op::GroupedGatedLinear args) { run_in_parts(*this, args); }

  void run(op::GroupedLinearCombine args) { run_in_parts(*this, args); }

  void run(op::RopeAndWriteKv args) { run_in_parts(*this, args); }

  void run(op::WriteLatent args) { run_in_parts(*this, args); }

  void run(op::RopeAndMlaAttention args) { run_in_parts(*this, args); }

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
    inner().call(args);
    round_all(args.y);
  }

  bool e4m3_;
  std::vector<float> rounded_;
};

}  // namespace

std::unique_ptr<Backend> make_rounding_cpu_backend(bool e4m3) {
  return std::make_unique<WrappedBackend>(
      make_cpu_backend({.threads = 2}), [e4m3](RankResources& rank) {
        return std::make_unique<RoundedOps>(std::move(rank.ops), e4m3);
      });
}

}  // namespace tutti::testing
