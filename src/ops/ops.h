// The operations of op_calls.h on one rank's device. call() checks shapes and types once; backends
// never check again and cannot disagree on what is legal. The other functions are call() with
// arguments in a row.
#pragma once
#include <vector>

#include "base/status.h"
#include "ops/op_calls.h"

namespace tutti {

/// Calls that one of several kernels computed; a recorded call counts once, when it is recorded.
struct KernelCalls {
  const char* kernel = "";  ///< as in docs/kernels.md
  int64_t calls = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual const char* name() const = 0;

  /// What ran so far of the ops that a backend has several kernels for: none, unless it has. While
  /// no op is being queued.
  virtual std::vector<KernelCalls> kernel_calls() const { return {}; }

  /// While it is on, results are of no worth, and what runs may take the time to measure which of
  /// several kernels is fastest for its shape. Off, nothing is measured. Off at first.
  virtual void set_rehearsal(bool /*on*/) {}

  /// kUnsupported says why this backend cannot compute with activations of `act`.
  virtual Status check_compute(DType act) const;

  /// Asked of every operation of a model before its weights are read. kUnsupported says what the
  /// backend lacks, at which weight, what there is instead and what the user can do.
  virtual Status supports(const OpCall& op) const;

  /// Ends the program where shapes or types are not those of the operation's contract.
  void call(const OpCall& op);

  void embedding(TensorView y, ConstTensorView table, ConstTensorView ids, int64_t first_id) {
    call(op::Embedding{y, table, ids, first_id});
  }

  void rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) {
    call(op::RmsNorm{y, x, weight, eps});
  }

  void add_rms_norm(
      TensorView y, TensorView residual, ConstTensorView x, ConstTensorView weight, float eps) {
    call(op::AddRmsNorm{y, residual, x, weight, eps});
  }

  void add(TensorView y, ConstTensorView x) { call(op::Add{y, x}); }

  void linear(TensorView y,
              ConstTensorView x,
              const WeightView& weight,
              ConstTensorView bias,
              TensorView scratch = {}) {
    call(op::Linear{y, x, weight, bias, scratch});
  }

  void grouped_linear(TensorView y,
                      ConstTensorView x,
                      const WeightView& weight,
                      ConstTensorView offsets,
                      TensorView scratch = {}) {
    call(op::GroupedLinear{y, x, weight, offsets, scratch});
  }

  void batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) {
    call(op::BatchedLinear{y, x, weight});
  }

  void silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) {
    call(op::SiluMul{y, gate, up});
  }

  void gated_linear(TensorView y,
                    ConstTensorView x,
                    const WeightView& weight,
                    ConstTensorView bias,
                    TensorView scratch = {}) {
    call(op::GatedLinear{y, x, weight, bias, scratch});
  }

  void rope_table(TensorView table,
                  ConstTensorView positions,
                  ConstTensorView inv_freq,
                  float scale) {
    call(op::RopeTable{table, positions, inv_freq, scale});
  }

  void rope(TensorView x, ConstTensorView table, RopeLayout layout) {
    call(op::Rope{x, table, layout});
  }

  void write_kv(TensorView cache, ConstTensorView x, ConstTensorView kv_places) {
    call(op::WriteKv{cache, x, kv_places});
  }

  void rope_and_write_kv(TensorView q,
                         TensorView k,
                         ConstTensorView v,
                         ConstTensorView table,
                         RopeLayout layout,
                         TensorView k_cache,
                         TensorView v_cache,
                         ConstTensorView kv_places) {
    call(op::RopeAndWriteKv{q, k, v, table, layout, k_cache, v_cache, kv_places, {}, {}});
  }

  void attention(TensorView out,
                 ConstTensorView q,
                 ConstTensorView k_cache,
                 ConstTensorView v_cache,
                 const AttentionBatch& batch,
                 float scale) {
    call(op::Attention{out, q, k_cache, v_cache, batch, scale});
  }

  void mla_attention(TensorView out,
                     ConstTensorView q_latent,
                     ConstTensorView q_rope,
                     ConstTensorView cache,
                     const AttentionBatch& batch,
                     float scale) {
    call(op::MlaAttention{out, q_latent, q_rope, cache, batch, scale});
  }

  void gather_kv(TensorView y,
                 ConstTensorView cache,
                 const AttentionBatch& batch,
                 ConstTensorView key_begin) {
    call(op::GatherKv{y, cache, batch, key_begin});
  }

  void mla_expanded_attention(TensorView out,
                              ConstTensorView q,
                              ConstTensorView kv,
                              ConstTensorView k_rope,
                              const AttentionBatch& batch,
                              ConstTensorView key_begin,
                              float scale) {
    call(op::MlaExpandedAttention{out, q, kv, k_rope, batch, key_begin, scale});
  }

  void moe_route(TensorView experts,
                 TensorView weights,
                 ConstTensorView logits,
                 ConstTensorView bias,
                 const RouterParams& params) {
    call(op::MoeRoute{experts, weights, logits, bias, params});
  }

  void moe_permute(TensorView row_token,
                   TensorView pair_row,
                   TensorView offsets,
                   ConstTensorView experts) {
    call(op::MoePermute{row_token, pair_row, offsets, experts});
  }

  void moe_combine(TensorView y,
                   ConstTensorView x,
                   ConstTensorView pair_row,
                   ConstTensorView weights) {
    call(op::MoeCombine{y, x, pair_row, weights, {}});
  }

  void gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) {
    call(op::GatherRows{y, x, rows});
  }

  void argmax(TensorView tokens, ConstTensorView logits, int64_t limit) {
    call(op::Argmax{tokens, logits, limit});
  }

  void shard_argmax(const op::ShardArgmax& args) { call(args); }

  void merge_argmax(const op::MergeArgmax& args) { call(args); }

  void draw(TensorView tokens, ConstTensorView logits, int64_t limit, ConstTensorView rows) {
    call(op::Draw{tokens, logits, limit, rows});
  }

  void log_probs(TensorView ids,
                 TensorView values,
                 ConstTensorView tokens,
                 ConstTensorView logits,
                 int64_t limit,
                 ConstTensorView counts) {
    call(op::LogProbs{ids, values, tokens, logits, limit, counts});
  }

  void adjust_logits(TensorView y,
                     ConstTensorView logits,
                     int64_t limit,
                     const AdjustTables& tables,
                     ConstTensorView rows) {
    call(op::AdjustLogits{y, logits, limit, tables, rows});
  }

  void take_adjusted(TensorView chosen,
                     const AdjustTables& tables,
                     ConstTensorView tokens,
                     ConstTensorView rows) {
    call(op::TakeAdjusted{chosen, tables, tokens, rows});
  }

  void fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) {
    call(op::FillTokens{tokens, last, rows});
  }

  void scatter(TensorView y, ConstTensorView values, ConstTensorView at) {
    call(op::Scatter{y, values, at});
  }

 private:
  virtual void execute(const OpCall& op) = 0;
};

/// Fused operations by their parts, for backends that know nothing better.
void run_in_parts(Ops& ops, const op::GatedLinear& args);
void run_in_parts(Ops& ops, const op::GroupedGatedLinear& args);
void run_in_parts(Ops& ops, const op::RopeAndWriteKv& args);
void run_in_parts(Ops& ops, const op::WriteLatent& args);
void run_in_parts(Ops& ops, const op::RopeAndMlaAttention& args);
void run_in_parts(Ops& ops, const op::MoeAssign& args);
void run_in_parts(Ops& ops, const op::GroupedLinearCombine& args);

/// backend.run(the arguments), or in parts where there is no such overload.
template <class Backend>
void execute_on(Backend& backend, const OpCall& op) {
  op.visit([&backend](const auto& args) {
    if constexpr (requires { backend.run(args); }) {
      backend.run(args);
    } else {
      run_in_parts(backend, args);
    }
  });
}

}  // namespace tutti
