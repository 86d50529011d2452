#include "golden/mutated_ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "backend/cpu_backend.h"

namespace tutti::testing {

namespace {

constexpr std::array<std::pair<Mistake, const char*>, 21> kNames{{
    {Mistake::kNone, "none"},
    {Mistake::kNormsDropped, "norms dropped"},
    {Mistake::kNormWeightsOne, "norm weights ignored"},
    {Mistake::kInnerEpsOuter, "inner norms with the outer epsilon"},
    {Mistake::kHeadNormsDropped, "head norms dropped"},
    {Mistake::kHeadWeightsOne, "head norm weights ignored"},
    {Mistake::kHeadEpsDefault, "head norms with the default epsilon"},
    {Mistake::kBiasIgnored, "bias ignored"},
    {Mistake::kRopePairing, "rope pairing"},
    {Mistake::kRopeBase, "rope base"},
    {Mistake::kRopeMultiplierOne, "rope multiplier ignored"},
    {Mistake::kSoftmaxScale, "softmax scale"},
    {Mistake::kKvHeads, "KV head mapping"},
    {Mistake::kRouterNormalize, "normalisation of expert weights"},
    {Mistake::kRouterScaleOne, "routed scaling ignored"},
    {Mistake::kRouterBiasIgnored, "selection bias ignored"},
    {Mistake::kRouterGroupsOff, "expert groups ignored"},
    {Mistake::kRouterMaskZero, "group mask 0"},
    {Mistake::kRouterScoring, "router scoring"},
    {Mistake::kSharedScaled, "shared experts scaled"},
    {Mistake::kScaleBlocksFirst, "scale blocks of the first rows"},
}};

void copy_rows(TensorView to, ConstTensorView from) {
  if (to.raw() == from.raw()) {
    return;
  }
  for (int64_t t = 0; t < from.dim(0); ++t) {
    std::copy_n(from.at(t).data<float>(), from.dim(1), to.at(t).data<float>());
  }
}

// The weights of the experts chosen with 0 in place of -inf, sigmoid scoring; f32 as the real op.
void route_with_zero_mask(TensorView experts,
                          TensorView weights,
                          ConstTensorView logits,
                          ConstTensorView bias,
                          const RouterParams& p) {
  const int64_t count = logits.dim(1);
  const int64_t size = count / p.num_groups;
  for (int64_t t = 0; t < logits.dim(0); ++t) {
    std::vector<float> score;
    std::vector<float> choice;
    for (int64_t e = 0; e < count; ++e) {
      score.push_back(1.0F / (1.0F + std::exp(-logits.at(t).data<float>()[e])));
      choice.push_back(score.back() + bias.data<float>()[e]);
    }
    std::vector<std::pair<float, int64_t>> groups;
    for (int64_t g = 0; g < p.num_groups; ++g) {
      std::vector<float> of(choice.begin() + g * size, choice.begin() + (g + 1) * size);
      std::sort(of.rbegin(), of.rend());
      groups.emplace_back(of[0] + of[1], g);
    }
    std::sort(groups.rbegin(), groups.rend());
    for (int64_t i = p.top_groups; i < p.num_groups; ++i) {
      std::fill_n(choice.begin() + groups[usize(i)].second * size, size, 0.0F);
    }
    std::vector<int64_t> order(usize(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return choice[usize(a)] > choice[usize(b)];
    });
    float sum = 0;
    for (int64_t k = 0; k < p.top_k; ++k) {
      sum += score[usize(order[usize(k)])];
    }
    for (int64_t k = 0; k < p.top_k; ++k) {
      const int64_t expert = order[usize(k)];
      experts.at(t).data<int32_t>()[k] = narrow<int32_t>(expert);
      weights.at(t).data<float>()[k] = score[usize(expert)] / (p.normalize ? sum : 1.0F) * p.scale;
    }
  }
}

class MutatedOps final : public Ops {
 public:
  MutatedOps(std::unique_ptr<Ops> inner, Mistake mistake)
      : inner_(std::move(inner)), mistake_(mistake) {}

  const char* name() const override { return "mutated"; }

 private:
  bool is(Mistake mistake) const { return mistake_ == mistake; }

  ConstTensorView ones(int64_t n) {
    ones_.assign(usize(n), 1.0F);
    return {ones_.data(), DType::kF32, {n}};
  }

  WeightView changed(WeightView weight) {
    if (is(Mistake::kScaleBlocksFirst) && weight.quantized()) {
      zero_rows_.assign(usize(weight.rows()), 0);
      weight.scale_row = ConstTensorView(zero_rows_.data(), DType::kI32, {weight.rows()});
    }
    return weight;
  }

  void do_embedding(TensorView y,
                    ConstTensorView table,
                    ConstTensorView ids,
                    int64_t first_id) override {
    inner_->embedding(y, table, ids, first_id);
  }

  void do_rms_norm(TensorView y, ConstTensorView x, ConstTensorView weight, float eps) override {
    const bool heads = x.rank() == 3;
    const bool inner = !heads && y.raw() == x.raw();
    if (heads && is(Mistake::kHeadNormsDropped)) {
      return;  // in place
    }
    if (!heads && is(Mistake::kNormsDropped)) {
      copy_rows(y, x);
      return;
    }
    if (is(heads ? Mistake::kHeadWeightsOne : Mistake::kNormWeightsOne)) {
      weight = ones(x.dim(-1));
    }
    if (heads && is(Mistake::kHeadEpsDefault)) {
      eps = 1e-6F;
    }
    if (inner && is(Mistake::kInnerEpsOuter)) {
      eps = 1e-5F;
    }
    inner_->rms_norm(y, x, weight, eps);
  }

  void do_add_rms_norm(TensorView y,
                       TensorView residual,
                       ConstTensorView x,
                       ConstTensorView weight,
                       float eps) override {
    if (is(Mistake::kNormsDropped)) {
      inner_->add(residual, x);
      copy_rows(y, residual);
      return;
    }
    inner_->add_rms_norm(
        y, residual, x, is(Mistake::kNormWeightsOne) ? ones(x.dim(-1)) : weight, eps);
  }

  void do_add(TensorView y, ConstTensorView x) override {
    inner_->add(y, x);
    if (std::exchange(after_combine_, false) && is(Mistake::kSharedScaled)) {
      inner_->add(y, x);
    }
  }

  void do_linear(TensorView y,
                 ConstTensorView x,
                 const WeightView& weight,
                 ConstTensorView bias) override {
    inner_->linear(y, x, changed(weight), is(Mistake::kBiasIgnored) ? ConstTensorView() : bias);
  }

  void do_grouped_linear(TensorView y,
                         ConstTensorView x,
                         const WeightView& weight,
                         ConstTensorView offsets) override {
    inner_->grouped_linear(y, x, changed(weight), offsets);
  }

  void do_batched_linear(TensorView y, ConstTensorView x, const WeightView& weight) override {
    inner_->batched_linear(y, x, changed(weight));
  }

  void do_silu_mul(TensorView y, ConstTensorView gate, ConstTensorView up) override {
    inner_->silu_mul(y, gate, up);
  }

  void do_rope_table(TensorView table,
                     ConstTensorView positions,
                     ConstTensorView inv_freq,
                     float scale) override {
    std::vector<float> changed(inv_freq.data<float>(), inv_freq.data<float>() + inv_freq.dim(0));
    if (is(Mistake::kRopeBase)) {
      for (size_t i = 0; i < changed.size(); ++i) {
        changed[i] *= std::pow(10.0F, -static_cast<float>(i) / static_cast<float>(changed.size()));
      }
    }
    inner_->rope_table(table,
                       positions,
                       {changed.data(), DType::kF32, inv_freq.shape()},
                       is(Mistake::kRopeMultiplierOne) ? 1.0F : scale);
  }

  void do_rope(TensorView x, ConstTensorView table, RopeLayout layout) override {
    const RopeLayout other =
        layout == RopeLayout::kHalfSplit ? RopeLayout::kInterleaved : RopeLayout::kHalfSplit;
    inner_->rope(x, table, is(Mistake::kRopePairing) ? other : layout);
  }

  void do_write_kv(TensorView cache, ConstTensorView x, ConstTensorView slots) override {
    inner_->write_kv(cache, x, slots);
  }

  void do_attention(TensorView out,
                    ConstTensorView q,
                    ConstTensorView k_cache,
                    ConstTensorView v_cache,
                    const AttentionBatch& batch,
                    float scale) override {
    if (!is(Mistake::kKvHeads)) {
      inner_->attention(out, q, k_cache, v_cache, batch, changed_scale(scale));
      return;
    }
    // The op gives KV head j / group to query head j; heads moved to such places read the wrong
    // one.
    const int64_t tokens = q.dim(0);
    const int64_t heads = q.dim(1);
    const int64_t dim = q.dim(2);
    const int64_t kv_heads = k_cache.dim(2) / dim;
    const auto place = [&](int64_t h) { return h % kv_heads * (heads / kv_heads) + h / kv_heads; };
    std::vector<float> moved(usize(q.numel()));
    std::vector<float> result(usize(q.numel()));
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        std::copy_n(q.at(t).at(h).data<float>(), dim, &moved[usize((t * heads + place(h)) * dim)]);
      }
    }
    inner_->attention({result.data(), DType::kF32, q.shape()},
                      {moved.data(), DType::kF32, q.shape()},
                      k_cache,
                      v_cache,
                      batch,
                      scale);
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        std::copy_n(
            &result[usize((t * heads + place(h)) * dim)], dim, out.at(t).at(h).data<float>());
      }
    }
  }

  void do_mla_attention(TensorView out,
                        ConstTensorView q_latent,
                        ConstTensorView q_rope,
                        ConstTensorView cache,
                        const AttentionBatch& batch,
                        float scale) override {
    inner_->mla_attention(out, q_latent, q_rope, cache, batch, changed_scale(scale));
  }

  void do_gather_kv(TensorView y,
                    ConstTensorView cache,
                    const AttentionBatch& batch,
                    ConstTensorView key_begin) override {
    inner_->gather_kv(y, cache, batch, key_begin);
  }

  void do_mla_expanded_attention(TensorView out,
                                 ConstTensorView q,
                                 ConstTensorView kv,
                                 ConstTensorView k_rope,
                                 const AttentionBatch& batch,
                                 ConstTensorView key_begin,
                                 float scale) override {
    inner_->mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, changed_scale(scale));
  }

  void do_moe_route(TensorView experts,
                    TensorView weights,
                    ConstTensorView logits,
                    ConstTensorView bias,
                    const RouterParams& params) override {
    RouterParams p = params;
    if (is(Mistake::kRouterMaskZero)) {
      route_with_zero_mask(experts, weights, logits, bias, p);
      return;
    }
    if (is(Mistake::kRouterNormalize)) {
      p.normalize = !p.normalize;
    }
    if (is(Mistake::kRouterScaleOne)) {
      p.scale = 1.0F;
    }
    if (is(Mistake::kRouterGroupsOff)) {
      p.num_groups = 1;
      p.top_groups = 1;
    }
    if (is(Mistake::kRouterScoring)) {
      p.scoring =
          p.scoring == RouterScoring::kSigmoid ? RouterScoring::kSoftmax : RouterScoring::kSigmoid;
    }
    inner_->moe_route(
        experts, weights, logits, is(Mistake::kRouterBiasIgnored) ? ConstTensorView() : bias, p);
  }

  void do_moe_permute(TensorView row_token,
                      TensorView pair_row,
                      TensorView offsets,
                      ConstTensorView experts) override {
    inner_->moe_permute(row_token, pair_row, offsets, experts);
  }

  void do_moe_combine(TensorView y,
                      ConstTensorView x,
                      ConstTensorView pair_row,
                      ConstTensorView weights) override {
    inner_->moe_combine(y, x, pair_row, weights);
    after_combine_ = true;  // with shared experts, the next sum adds them
  }

  void do_gather_rows(TensorView y, ConstTensorView x, ConstTensorView rows) override {
    inner_->gather_rows(y, x, rows);
  }

  void do_argmax(TensorView tokens, ConstTensorView logits, int64_t limit) override {
    inner_->argmax(tokens, logits, limit);
  }

  void do_shard_argmax(const ShardArgmax& args) override { inner_->shard_argmax(args); }

  void do_merge_argmax(const MergeArgmax& args) override { inner_->merge_argmax(args); }

  void do_draw(TensorView tokens,
               ConstTensorView logits,
               int64_t limit,
               ConstTensorView rows) override {
    inner_->draw(tokens, logits, limit, rows);
  }

  void do_log_probs(TensorView ids,
                    TensorView values,
                    ConstTensorView tokens,
                    ConstTensorView logits,
                    int64_t limit,
                    ConstTensorView counts) override {
    inner_->log_probs(ids, values, tokens, logits, limit, counts);
  }

  void do_adjust_logits(TensorView y,
                        ConstTensorView logits,
                        int64_t limit,
                        const AdjustTables& tables,
                        ConstTensorView rows) override {
    inner_->adjust_logits(y, logits, limit, tables, rows);
  }

  void do_take_adjusted(TensorView chosen,
                        const AdjustTables& tables,
                        ConstTensorView tokens,
                        ConstTensorView rows) override {
    inner_->take_adjusted(chosen, tables, tokens, rows);
  }

  void do_fill_tokens(TensorView tokens, ConstTensorView last, ConstTensorView rows) override {
    inner_->fill_tokens(tokens, last, rows);
  }

  void do_scatter(TensorView y, ConstTensorView values, ConstTensorView at) override {
    inner_->scatter(y, values, at);
  }

  float changed_scale(float scale) const {
    return is(Mistake::kSoftmaxScale) ? 1.3F * scale : scale;
  }

  std::unique_ptr<Ops> inner_;
  Mistake mistake_;
  bool after_combine_ = false;
  std::vector<float> ones_;
  std::vector<int32_t> zero_rows_;
};

class MutatedBackend final : public Backend {
 public:
  explicit MutatedBackend(Mistake mistake)
      : inner_(make_cpu_backend({.threads = 1})), mistake_(mistake) {}

  std::string describe(const RankChoice& choice) const override { return inner_->describe(choice); }

  std::vector<MemoryPool> memory_pools(int ranks) const override {
    return inner_->memory_pools(ranks);
  }

  bool ranks_share_memory() const override { return inner_->ranks_share_memory(); }

  int64_t rank_overhead_bytes() const override { return inner_->rank_overhead_bytes(); }

  Result<Ceilings> measure_ceilings(const RankChoice& choice, DType compute) override {
    return inner_->measure_ceilings(choice, compute);
  }

  DType default_compute() const override { return inner_->default_compute(); }

  Status check_compute(DType act) const override { return inner_->check_compute(act); }

  Result<std::unique_ptr<RankSet>> make_ranks(const RankRequest& request) override {
    TUTTI_TRY(std::unique_ptr<RankSet> set, inner_->make_ranks(request));
    for (RankResources& rank : set->ranks()) {
      rank.ops = std::make_unique<MutatedOps>(std::move(rank.ops), mistake_);
    }
    return set;
  }

 private:
  std::unique_ptr<Backend> inner_;
  Mistake mistake_;
};

}  // namespace

const char* mistake_name(Mistake mistake) {
  const auto* const it = std::find_if(
      kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == mistake; });
  return it->second;
}

std::unique_ptr<Backend> make_mutated_cpu_backend(Mistake mistake) {
  return std::make_unique<MutatedBackend>(mistake);
}

}  // namespace tutti::testing
