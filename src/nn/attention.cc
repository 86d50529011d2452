#include "nn/attention.h"

#include <algorithm>
#include <cmath>

namespace tutti {

namespace {

Range scaled(Range heads, int64_t head_dim) {
  return {heads.begin * head_dim, heads.count * head_dim};
}

}  // namespace

Attention::Attention(const Scope& scope, const AttentionConfig& c)
    : c_(c),
      heads_(scope.exact(c.heads, "num_attention_heads")),
      kv_heads_(scope.shared(c.kv_heads, "num_key_value_heads")),
      qkv_(scope,
           {{"q_proj", c.heads * c.head_dim, scaled(heads_, c.head_dim)},
            {"k_proj", c.kv_heads * c.head_dim, scaled(kv_heads_, c.head_dim)},
            {"v_proj", c.kv_heads * c.head_dim, scaled(kv_heads_, c.head_dim)}},
           c.hidden,
           {0, c.hidden},
           c.qkv_bias),
      out_(
          scope, "o_proj", c.heads * c.head_dim, c.hidden, scaled(heads_, c.head_dim), c.out_bias) {
  if (c.qk_norm == QkNorm::kHeads) {
    q_norm_.emplace(scope / "q_norm", c.head_dim, c.norm_eps);
    k_norm_.emplace(scope / "k_norm", c.head_dim, c.norm_eps);
  } else if (c.qk_norm == QkNorm::kAll) {
    q_norm_.emplace(scope / "q_norm", c.heads * c.head_dim, c.norm_eps, scaled(heads_, c.head_dim));
    k_norm_.emplace(
        scope / "k_norm", c.kv_heads * c.head_dim, c.norm_eps, scaled(kv_heads_, c.head_dim));
  }
}

// Of all ranks. A key that several ranks have counts once.
TensorView Attention::sum_squares(const StepContext& ctx,
                                  ConstTensorView q,
                                  ConstTensorView k) const {
  Communicator& ranks = ctx.parallel.tp;
  const int64_t sharers = std::max<int64_t>(1, ranks.size() / c_.kv_heads);
  const bool counts_keys = ranks.rank() % sharers == 0;
  const TensorView sums = ctx.alloc_f32({q.dim(0), 2});
  ctx.ops.call(op::SumSquares{.y = sums, .x = q, .also = counts_keys ? k : ConstTensorView()});
  ranks.all_reduce_sum(sums);
  return sums;
}

TensorView Attention::operator()(const StepContext& ctx,
                                 ConstTensorView x,
                                 ConstTensorView rope_table) const {
  const int64_t t = x.dim(0);
  const int64_t q_width = heads_.count * c_.head_dim;
  const int64_t kv_width = kv_heads_.count * c_.head_dim;
  TensorView qkv = qkv_(ctx, x);
  const TensorView q = split_heads(qkv.slice(1, 0, q_width), heads_.count);
  const TensorView k_heads = split_heads(qkv.slice(1, q_width, kv_width), kv_heads_.count);
  const TensorView k_cache = ctx.kv.plane(c_.layer, 0);
  const TensorView v_cache = ctx.kv.plane(c_.layer, 1);
  op::RopeAndWriteKv rope{.q = q,
                          .k = k_heads,
                          .v = qkv.slice(1, q_width + kv_width, kv_width),
                          .table = rope_table,
                          .layout = RopeLayout::kHalfSplit,
                          .k_cache = k_cache,
                          .v_cache = v_cache,
                          .kv_places = ctx.in.kv_places,
                          .q_norm = {},
                          .k_norm = {}};
  if (q_norm_) {
    rope.q_norm = q_norm_->weight();
    rope.k_norm = k_norm_->weight();
    rope.norm_eps = q_norm_->eps();
  }
  if (c_.qk_norm == QkNorm::kAll) {
    rope.squares = sum_squares(ctx, qkv.slice(1, 0, q_width), qkv.slice(1, q_width, kv_width));
    rope.q_width = c_.heads * c_.head_dim;
    rope.k_width = c_.kv_heads * c_.head_dim;
  }
  ctx.ops.call(rope);
  const TensorView out = ctx.alloc({t, heads_.count, c_.head_dim});
  const float scale = 1.0F / std::sqrt(static_cast<float>(c_.head_dim));
  ctx.ops.attention(out, q, k_cache, v_cache, ctx.in.attention, scale);
  return out_(ctx, out.reshape({t, q_width}));
}

}  // namespace tutti
