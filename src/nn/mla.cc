#include "nn/mla.h"

namespace tutti {

namespace {

Linear declare_down(const Scope& scope, const MlaConfig& c) {
  std::vector<std::pair<std::string, int64_t>> parts;
  if (c.q_lora_rank > 0) {
    parts.emplace_back("q_a_proj", c.q_lora_rank);
  }
  parts.emplace_back("kv_a_proj_with_mqa", c.kv_lora_rank + c.rope_dim);
  return replicated_linear(scope, parts, c.hidden, c.bias);
}

Linear declare_query(const Scope& scope, const MlaConfig& c, Range heads) {
  const int64_t dim = c.nope_dim + c.rope_dim;
  const Range rows{heads.begin * dim, heads.count * dim};
  return c.q_lora_rank > 0
             ? column_parallel_linear(scope, {"q_b_proj"}, c.q_lora_rank, c.heads * dim, rows)
             : column_parallel_linear(scope, {"q_proj"}, c.hidden, c.heads * dim, rows);
}

// [h * (nope + v), latent] -> uk[h][c][i] = row (h, i), uv[h][j][c] = row (h, nope + j).
void split_kv_b(const float* kv_b, TensorView uk, TensorView uv) {
  const int64_t heads = uk.dim(0);
  const int64_t latent = uk.dim(1);
  const int64_t nope = uk.dim(2);
  const int64_t v = uv.dim(1);
  for (int64_t h = 0; h < heads; ++h) {
    const float* head = kv_b + h * (nope + v) * latent;
    for (int64_t c = 0; c < latent; ++c) {
      for (int64_t i = 0; i < nope; ++i) {
        uk.data<float>()[(h * latent + c) * nope + i] = head[i * latent + c];
      }
    }
    std::copy_n(head + nope * latent, v * latent, uv.data<float>() + h * v * latent);
  }
}

}  // namespace

Mla::Mla(const Scope& scope, const MlaConfig& c)
    : c_(c),
      heads_(scope.exact(c.heads, "num_attention_heads")),
      down_(declare_down(scope, c)),
      query_(declare_query(scope, c, heads_)),
      kv_norm_(scope / "kv_a_layernorm", c.kv_lora_rank, c.norm_eps),
      out_(scope,
           "o_proj",
           c.heads * c.v_dim,
           c.hidden,
           {heads_.begin * c.v_dim, heads_.count * c.v_dim},
           c.bias) {
  if (c.q_lora_rank > 0) {
    q_norm_.emplace(scope / "q_a_layernorm", c.q_lora_rank, c.norm_eps);
  }
  declare_kv_b(scope);
}

void Mla::declare_kv_b(const Scope& scope) {
  const int64_t dim = c_.nope_dim + c_.v_dim;
  ParamSpec spec;
  spec.name = scope.name("kv_b_proj.weight");
  spec.sources = {{spec.name, c_.heads * dim, {heads_.begin * dim, heads_.count * dim}}};
  spec.cols = c_.kv_lora_rank;
  spec.take_cols = {0, c_.kv_lora_rank};
  kv_b_ = scope.registry().add(std::move(spec));
  if (c_.form == MlaForm::kExpanded) {
    return;
  }
  Derivation derivation;
  derivation.outputs = {
      {scope.name("kv_b_proj.w_uk"), {heads_.count, c_.kv_lora_rank, c_.nope_dim}},
      {scope.name("kv_b_proj.w_uv"), {heads_.count, c_.v_dim, c_.kv_lora_rank}}};
  derivation.compute = [](ConstTensorView source, const std::vector<TensorView>& outputs) {
    split_kv_b(source.data<float>(), outputs[0], outputs[1]);
  };
  const std::vector<Param*> derived = scope.registry().derive(kv_b_, std::move(derivation));
  w_uk_ = derived[0];
  w_uv_ = derived[1];
}

// Writes [c_kv | k_rope] rows to the cache; returns the queries, not yet rotated.
TensorView Mla::project(const StepContext& ctx,
                        ConstTensorView x,
                        ConstTensorView rope_table) const {
  const TensorView down = down_(ctx, x);
  const TensorView c_q = down.slice(1, 0, c_.q_lora_rank);
  op::WriteLatent write{.latent = down.slice(1, c_.q_lora_rank, c_.kv_lora_rank + c_.rope_dim),
                        .norm = kv_norm_.weight(),
                        .table = rope_table,
                        .layout = c_.rope_layout,
                        .cache = ctx.kv.plane(c_.layer, 0),
                        .kv_places = ctx.in.kv_places,
                        .q = {},
                        .q_norm = {},
                        .eps = kv_norm_.eps()};
  if (q_norm_) {
    write.q = c_q;
    write.q_norm = q_norm_->weight();
  }
  ctx.ops.call(write);
  return q_norm_ ? query_(ctx, c_q) : query_(ctx, x);
}

TensorView Mla::operator()(const StepContext& ctx,
                           ConstTensorView x,
                           ConstTensorView rope_table) const {
  const TensorView q = split_heads(project(ctx, x, rope_table), heads_.count);
  const TensorView out = c_.form == MlaForm::kAbsorbed ? attend_absorbed(ctx, q, rope_table)
                                                       : attend_expanded(ctx, q, rope_table);
  return out_(ctx, out.reshape({x.dim(0), heads_.count * c_.v_dim}));
}

TensorView Mla::attend_absorbed(const StepContext& ctx,
                                TensorView q,
                                ConstTensorView rope_table) const {
  const int64_t t = q.dim(0);
  const TensorView q_latent = ctx.alloc({t, heads_.count, c_.kv_lora_rank});
  ctx.ops.batched_linear(q_latent, q.slice(2, 0, c_.nope_dim), w_uk_->weight());
  const TensorView sum = ctx.alloc({t, heads_.count, c_.kv_lora_rank});
  ctx.ops.call(op::RopeAndMlaAttention{.out = sum,
                                       .q_latent = q_latent,
                                       .q_rope = q.slice(2, c_.nope_dim, c_.rope_dim),
                                       .table = rope_table,
                                       .layout = c_.rope_layout,
                                       .cache = ctx.kv.plane(c_.layer, 0),
                                       .batch = ctx.in.attention,
                                       .scale = static_cast<float>(c_.softmax_scale)});
  const TensorView out = ctx.alloc({t, heads_.count, c_.v_dim});
  ctx.ops.batched_linear(out, sum, w_uv_->weight());
  return out;
}

TensorView Mla::attend_expanded(const StepContext& ctx,
                                TensorView q,
                                ConstTensorView rope_table) const {
  ctx.ops.rope(q.slice(2, c_.nope_dim, c_.rope_dim), rope_table, c_.rope_layout);
  const int64_t keys = ctx.in.total_keys;
  const TensorView cached = ctx.alloc({keys, c_.kv_lora_rank + c_.rope_dim});
  ctx.ops.gather_kv(cached, ctx.kv.plane(c_.layer, 0), ctx.in.attention, ctx.in.key_begin);
  const int64_t dim = c_.nope_dim + c_.v_dim;
  const TensorView kv = ctx.alloc({keys, heads_.count * dim});
  ctx.ops.linear(kv, cached.slice(1, 0, c_.kv_lora_rank), kv_b_->weight(), {});
  const TensorView out = ctx.alloc({q.dim(0), heads_.count, c_.v_dim});
  ctx.ops.mla_expanded_attention(out,
                                 q,
                                 kv.reshape({keys, heads_.count, dim}),
                                 cached.slice(1, c_.kv_lora_rank, c_.rope_dim),
                                 ctx.in.attention,
                                 ctx.in.key_begin,
                                 static_cast<float>(c_.softmax_scale));
  return out;
}

}  // namespace tutti
