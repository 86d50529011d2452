// CpuOps, split over cpu_ops.cc, cpu_linear.cc and cpu_attention.cc.
#pragma once
#include <memory>

#include "ops/cpu/cpu_kernels.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/thread_pool.h"
#include "ops/ref/ref_ops.h"

namespace tutti {

class CpuOps final : public Ops {
 public:
  CpuOps(const cpu::CpuKernels& kernels, CpuIsa isa, int threads, int spin_us);

  const char* name() const override { return name_.c_str(); }

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

  /// Calls fn(begin, count) for pieces of [0, rows) that cost about row_bytes each.
  template <class Fn>
  void for_rows(int64_t rows, int64_t row_bytes, const Fn& fn);
  /// Rows of the weight per piece of work.
  int64_t linear_piece(int64_t n, int64_t k, int64_t m) const;
  /// Runs job(unit index) -> LinearJob for all rows of `matrices` weights, in pieces.
  template <class MakeJob>
  void run_linear(int64_t matrices, int64_t n, int64_t piece, const MakeJob& make_job);
  /// Runs tiles of query rows that share keys; see cpu_attention.cc.
  template <class Source>
  void run_attention(const AttentionBatch& batch, int64_t tokens, const Source& source);

  const cpu::CpuKernels& kernels_;
  std::string name_;
  CpuThreadPool pool_;
  std::vector<std::unique_ptr<float[]>> scratch_;  // one per thread
  RefOps ref_;
};

template <class Fn>
void CpuOps::for_rows(int64_t rows, int64_t row_bytes, const Fn& fn) {
  // Waking another thread costs a few microseconds, in which one core moves about this much.
  constexpr int64_t kBytesPerPiece = int64_t{1} << 16;
  const int64_t piece = std::max<int64_t>(1, kBytesPerPiece / std::max<int64_t>(1, row_bytes));
  pool_.parallel_for(ceil_div(rows, piece),
                     [&](int64_t i, int) { fn(i * piece, std::min(piece, rows - i * piece)); });
}

}  // namespace tutti
