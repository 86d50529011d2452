// The slow, obvious implementation that every other backend is tested against: plain loops, double
// accumulation, one rounding at the end, no SIMD ever. One thread, no state.
#pragma once
#include <memory>

#include "ops/ops.h"

namespace tutti {

class RefOps final : public Ops {
 public:
  const char* name() const override { return "ref"; }

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
  void run(const op::RopeTable& args);
  void run(const op::Rope& args);
  void run(const op::WriteKv& args);
  void run(const op::Attention& args);
  void run(const op::MlaAttention& args);
  void run(const op::GatherKv& args);
  void run(const op::MlaExpandedAttention& args);
  void run(const op::MoeRoute& args);
  void run(const op::MoePermute& args);
  void run(const op::MoeCombine& args);
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
};

std::unique_ptr<Ops> make_ref_ops();

}  // namespace tutti
