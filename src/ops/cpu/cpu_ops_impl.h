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

 private:
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
