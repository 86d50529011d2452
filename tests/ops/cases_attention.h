// The paged cache and the three attentions: head widths, grouped heads, several sequences with and
// without context, empty sequences, blocks in scrambled order.
#pragma once
#include <algorithm>

#include "ops/cases_rows.h"
#include "ops/op_case.h"

namespace tutti::test {

/// Sequences as (context before, query rows).
struct BatchShape {
  std::vector<std::pair<int64_t, int64_t>> sequences;
  int64_t block_size = 16;

  int64_t tokens() const {
    int64_t sum = 0;
    for (const auto& [before, rows] : sequences) {
      sum += rows;
    }
    return sum;
  }

  int64_t keys() const {
    int64_t sum = 0;
    for (const auto& [before, rows] : sequences) {
      sum += before + rows;
    }
    return sum;
  }

  /// (query, key) pairs that attention looks at.
  int64_t pairs() const {
    int64_t sum = 0;
    for (const auto& [before, rows] : sequences) {
      sum += rows * before + rows * (rows + 1) / 2;
    }
    return sum;
  }

  int64_t max_blocks() const {
    int64_t most = 1;
    for (const auto& [before, rows] : sequences) {
      most = std::max(most, ceil_div(before + rows, block_size));
    }
    return most;
  }

  int64_t max_queries() const {
    int64_t most = 0;
    for (const auto& [before, rows] : sequences) {
      most = std::max(most, rows);
    }
    return most;
  }

  int64_t blocks() const { return max_blocks() * std::max<int64_t>(1, ssize(sequences.size())); }

  std::string name() const {
    std::string text;
    for (const auto& [before, rows] : sequences) {
      text += " " + std::to_string(before) + "+" + std::to_string(rows);
    }
    return text + " block " + std::to_string(block_size);
  }
};

/// Sequence s owns every blocks()-th id from some start, so neighbours in the cache belong to
/// different sequences.
inline AttentionBatch make_batch(PreparedOp& op, const BatchShape& shape) {
  const int64_t count = ssize(shape.sequences.size());
  std::vector<int32_t> query_begin{0};
  std::vector<int32_t> before;
  for (const auto& [context, rows] : shape.sequences) {
    before.push_back(narrow<int32_t>(context));
    query_begin.push_back(narrow<int32_t>(query_begin.back() + rows));
  }
  HostTensor table(DType::kI32, {count, shape.max_blocks()});
  for (int64_t s = 0; s < count; ++s) {
    for (int64_t b = 0; b < shape.max_blocks(); ++b) {
      const int64_t id = (shape.max_blocks() - 1 - b) * count + s;
      table.data<int32_t>()[s * shape.max_blocks() + b] = narrow<int32_t>(id);
    }
  }
  return {.query_begin = op.input(ints(query_begin)),
          .context_before = op.input(ints(before)),
          .block_table = op.input(std::move(table)),
          .block_size = shape.block_size,
          .max_queries = shape.max_queries(),
          .max_keys = shape.max_blocks() * shape.block_size};
}

inline TensorView make_key_begin(PreparedOp& op, const BatchShape& shape) {
  std::vector<int32_t> begin{0};
  for (const auto& [before, rows] : shape.sequences) {
    begin.push_back(narrow<int32_t>(begin.back() + before + rows));
  }
  return op.input(ints(begin));
}

struct AttentionShape {
  BatchShape batch;
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t d = 64;
  int64_t dv = 64;
  int64_t gap = 0;
  float sigma = 1;  ///< of the queries: large ones make the softmax pick single keys
};

/// Averages of values of size 1; scores of size sqrt(d) * sigma * scale enter through exp.
inline Tolerance attention_tolerance(int64_t d, float sigma) {
  return sum_tolerance(d, std::max(1.0F, sigma));
}

inline OpCase attention_case(const AttentionShape& s) {
  OpCase c{.name = "attention hq" + std::to_string(s.heads) + " hkv" + std::to_string(s.kv_heads) +
                   " d" + std::to_string(s.d) + " dv" + std::to_string(s.dv) + s.batch.name()};
  c.tolerance = attention_tolerance(s.d, s.sigma);
  c.bytes = 4.0 * static_cast<double>(s.batch.keys() * s.kv_heads * (s.d + s.dv));
  c.flops = 2.0 * static_cast<double>(s.batch.pairs() * s.heads * (s.d + s.dv));
  c.prepare = [s](PreparedOp& op) {
    const int64_t t = s.batch.tokens();
    const AttentionBatch batch = make_batch(op, s.batch);
    const Shape k_shape{s.batch.blocks(), s.batch.block_size, s.kv_heads * s.d};
    const Shape v_shape{s.batch.blocks(), s.batch.block_size, s.kv_heads * s.dv};
    const TensorView out = op.act_output(HostTensor(DType::kF32, {t, s.heads, s.dv}, s.gap));
    const TensorView q = op.act_input(
        std::move(HostTensor(DType::kF32, {t, s.heads, s.d}, s.gap).fill_normal(1, s.sigma)));
    const TensorView k = op.act_input(normal(k_shape, 2, s.gap));
    const TensorView v = op.act_input(normal(v_shape, 3, s.gap));
    const float scale = 1.0F / std::sqrt(static_cast<float>(s.d));
    op.set_call([=](Ops& ops) { ops.attention(out, q, k, v, batch, scale); });
  };
  return c;
}

inline OpCase mla_attention_case(const BatchShape& shape,
                                 int64_t heads,
                                 int64_t latent,
                                 int64_t rope) {
  OpCase c{.name = "mla_attention h" + std::to_string(heads) + " latent" + std::to_string(latent) +
                   " rope" + std::to_string(rope) + shape.name()};
  c.tolerance = attention_tolerance(latent + rope, 1);
  c.bytes = 4.0 * static_cast<double>(shape.keys() * (latent + rope));
  c.flops = 2.0 * static_cast<double>(shape.pairs() * heads * (2 * latent + rope));
  c.prepare = [=](PreparedOp& op) {
    const int64_t t = shape.tokens();
    const AttentionBatch batch = make_batch(op, shape);
    const TensorView out = op.act_output(HostTensor(DType::kF32, {t, heads, latent}));
    const TensorView q_latent = op.act_input(normal({t, heads, latent}, 1));
    const TensorView q_rope = op.act_input(normal({t, heads, rope}, 2));
    const TensorView cache =
        op.act_input(normal({shape.blocks(), shape.block_size, latent + rope}, 3));
    const float scale = 1.0F / std::sqrt(static_cast<float>(latent + rope));
    op.set_call([=](Ops& ops) { ops.mla_attention(out, q_latent, q_rope, cache, batch, scale); });
  };
  return c;
}

/// The same with queries that are yet to be rotated.
inline OpCase rope_and_mla_attention_case(
    const BatchShape& shape, int64_t heads, int64_t latent, int64_t rope, RopeLayout layout) {
  OpCase c = mla_attention_case(shape, heads, latent, rope);
  c.name = "rope_and_" + c.name + (layout == RopeLayout::kInterleaved ? " pairs" : " halves");
  c.prepare = [=](PreparedOp& op) {
    const int64_t t = shape.tokens();
    op::RopeAndMlaAttention call{
        .out = op.act_output(HostTensor(DType::kF32, {t, heads, latent})),
        .q_latent = op.act_input(normal({t, heads, latent}, 1)),
        .q_rope = op.act_input(normal({t, heads, rope}, 2)),
        .table = op.input(normal({t, rope}, 4)),
        .layout = layout,
        .cache = op.act_input(normal({shape.blocks(), shape.block_size, latent + rope}, 3)),
        .batch = make_batch(op, shape),
        .scale = 1.0F / std::sqrt(static_cast<float>(latent + rope))};
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

inline OpCase mla_expanded_case(
    const BatchShape& shape, int64_t heads, int64_t nope, int64_t rope, int64_t dv) {
  OpCase c{.name = "mla_expanded_attention h" + std::to_string(heads) + " nope" +
                   std::to_string(nope) + " rope" + std::to_string(rope) + " dv" +
                   std::to_string(dv) + shape.name()};
  c.tolerance = attention_tolerance(nope + rope, 1);
  c.bytes = 4.0 * static_cast<double>(shape.keys() * (heads * (nope + dv) + rope));
  c.flops = 2.0 * static_cast<double>(shape.pairs() * heads * (nope + rope + dv));
  c.prepare = [=](PreparedOp& op) {
    const int64_t t = shape.tokens();
    const AttentionBatch batch = make_batch(op, shape);
    const TensorView out = op.act_output(HostTensor(DType::kF32, {t, heads, dv}));
    const TensorView q = op.act_input(normal({t, heads, nope + rope}, 1));
    const TensorView kv = op.act_input(normal({shape.keys(), heads, nope + dv}, 2));
    const TensorView k_rope = op.act_input(normal({shape.keys(), rope}, 3));
    const TensorView key_begin = make_key_begin(op, shape);
    const float scale = 1.0F / std::sqrt(static_cast<float>(nope + rope));
    op.set_call(
        [=](Ops& ops) { ops.mla_expanded_attention(out, q, kv, k_rope, batch, key_begin, scale); });
  };
  return c;
}

inline OpCase gather_kv_case(const BatchShape& shape, int64_t w) {
  OpCase c{.name = "gather_kv w" + std::to_string(w) + shape.name(), .tolerance = exact()};
  c.bytes = 8.0 * static_cast<double>(shape.keys() * w);
  c.prepare = [=](PreparedOp& op) {
    const AttentionBatch batch = make_batch(op, shape);
    const TensorView y = op.act_output(HostTensor(DType::kF32, {shape.keys(), w}, 1));
    const TensorView cache = op.act_input(normal({shape.blocks(), shape.block_size, w}, 1, 3));
    const TensorView key_begin = make_key_begin(op, shape);
    op.set_call([=](Ops& ops) { ops.gather_kv(y, cache, batch, key_begin); });
  };
  return c;
}

inline OpCase write_kv_case(int64_t rows, int64_t w, int64_t block_size) {
  OpCase c{.name = "write_kv w" + std::to_string(w) + " rows " + std::to_string(rows),
           .tolerance = exact()};
  c.bytes = 8.0 * static_cast<double>(rows * w);
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> slots;
    for (int64_t t = 0; t < rows; ++t) {
      slots.push_back(t % 5 == 3 ? -1 : narrow<int32_t>((rows - 1 - t) * 2));
    }
    const int64_t blocks = ceil_div(2 * rows + 1, block_size);
    const TensorView cache = op.act_output(normal({blocks, block_size, w}, 1, 2));
    const TensorView x = op.act_input(normal({rows, w}, 2, 1));
    const TensorView slot_view = op.input(ints(slots));
    op.set_call([=](Ops& ops) { ops.write_kv(cache, x, slot_view); });
  };
  return c;
}

/// DeepSeek's attention between its first projection and its queries.
inline OpCase write_latent_case(
    int64_t rows, int64_t q_width, int64_t latent, int64_t rope, RopeLayout layout) {
  OpCase c{.name = shape_name("norm, write_latent", {rows, q_width, latent, rope}, 3),
           .tolerance = rounding_tolerance()};
  c.bytes = 8.0 * static_cast<double>(rows * (q_width + latent + rope));
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> slots;
    for (int64_t t = 0; t < rows; ++t) {
      slots.push_back(t % 5 == 3 ? -1 : narrow<int32_t>((rows - 1 - t) * 2));
    }
    constexpr int64_t kBlockSize = 16;
    const int64_t blocks = ceil_div(2 * rows + 1, kBlockSize);
    const TensorView all = op.act_output(normal({rows, q_width + latent + rope}, 1, 3));
    op::WriteLatent call{.latent = all.slice(1, q_width, latent + rope),
                         .norm = op.input(normal({latent}, 2)),
                         .table = op.input(normal({rows, rope}, 3)),
                         .layout = layout,
                         .cache = op.act_output(normal({blocks, kBlockSize, latent + rope}, 4, 2)),
                         .kv_places = op.input(ints(slots)),
                         .q = {},
                         .q_norm = {},
                         .eps = 1e-6F};
    if (q_width > 0) {
      call.q = all.slice(1, 0, q_width);
      call.q_norm = op.input(normal({q_width}, 5));
    }
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

struct RopeWriteShape {
  int64_t rows = 0;
  int64_t heads = 1;
  int64_t kv_heads = 1;
  int64_t d = 2;
  int64_t v_width = 1;
  RopeLayout layout = RopeLayout::kHalfSplit;
  bool norm = false;
  bool norm_parts = false;  ///< of all heads together
  int64_t rotated = 0;      ///< of each head; 0: all of it
};

inline OpCase rope_and_write_kv_case(const RopeWriteShape& s) {
  const char* norm = s.norm ? "norm, " : s.norm_parts ? "norm of parts, " : "";
  const int64_t rotated = s.rotated > 0 ? s.rotated : s.d;
  OpCase c{.name = fmt::format("{}rope_and_write_kv heads {}/{} d{} of which {} rows {}",
                               norm,
                               s.heads,
                               s.kv_heads,
                               s.d,
                               rotated,
                               s.rows),
           .tolerance = rounding_tolerance()};
  c.bytes = 8.0 * static_cast<double>(s.rows * (s.d * (s.heads + s.kv_heads) + s.v_width));
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> slots;
    for (int64_t t = 0; t < s.rows; ++t) {
      slots.push_back(t % 5 == 3 ? -1 : narrow<int32_t>((s.rows - 1 - t) * 2));
    }
    constexpr int64_t kBlockSize = 16;
    const int64_t blocks = ceil_div(2 * s.rows + 1, kBlockSize);
    const int64_t q_width = s.heads * s.d;
    const int64_t k_width = s.kv_heads * s.d;
    const TensorView all = op.act_output(normal({s.rows, q_width + k_width + s.v_width}, 1, 3));
    const auto heads = [&](int64_t begin, int64_t count) {
      const TensorView part = all.slice(1, begin, count * s.d);
      return TensorView(part.raw(), part.dtype(), {s.rows, count, s.d}, {part.stride(0), s.d, 1});
    };
    const TensorView q = heads(0, s.heads);
    const TensorView k = heads(q_width, s.kv_heads);
    const TensorView v = all.slice(1, q_width + k_width, s.v_width);
    const TensorView table = op.input(normal({s.rows, rotated}, 2));
    const TensorView k_cache = op.act_output(normal({blocks, kBlockSize, k_width}, 3, 2));
    const TensorView v_cache = op.act_output(normal({blocks, kBlockSize, s.v_width}, 4, 2));
    const TensorView slot_view = op.input(ints(slots));
    const RopeLayout layout = s.layout;
    op::RopeAndWriteKv call{.q = q,
                            .k = k,
                            .v = v,
                            .table = table,
                            .layout = layout,
                            .k_cache = k_cache,
                            .v_cache = v_cache,
                            .kv_places = slot_view,
                            .q_norm = {},
                            .k_norm = {},
                            .norm_eps = 1e-5F};
    if (s.norm) {
      call.q_norm = op.input(normal({s.d}, 5));
      call.k_norm = op.input(normal({s.d}, 6));
    } else if (s.norm_parts) {
      HostTensor sums = normal({s.rows, 2}, 7);
      for (int64_t t = 0; t < s.rows; ++t) {
        auto* row = sums.view().at(t).data<float>();
        row[0] = static_cast<float>(q_width) * (0.5F + std::abs(row[0]));
        row[1] = static_cast<float>(k_width) * (0.5F + std::abs(row[1]));
      }
      call.q_norm = op.input(normal({q_width}, 5));
      call.k_norm = op.input(normal({k_width}, 6));
      call.squares = op.input(std::move(sums));
      call.q_width = 4 * q_width;
      call.k_width = 2 * k_width;
    }
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

/// DeepSeek's widths, one query row per sequence: few heads and many, contexts within and beyond a
/// tile of any kernel.
inline std::vector<OpCase> mla_decode_cases() {
  std::vector<OpCase> cases;
  for (const BatchShape& batch : {BatchShape{{{0, 1}}, 16},
                                  BatchShape{{{63, 1}, {64, 1}, {65, 1}}, 64},
                                  BatchShape{{{5, 1}, {1000, 1}, {130, 1}, {0, 1}}, 16},
                                  BatchShape{{{3000, 1}}, 32}}) {
    for (const int64_t heads : {1, 16, 20, 128}) {
      cases.push_back(mla_attention_case(batch, heads, 512, 64));
    }
    for (const RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      cases.push_back(rope_and_mla_attention_case(batch, 16, 512, 64, layout));
    }
  }
  // Enough sequences that none is cut.
  BatchShape many{{}, 16};
  for (int64_t i = 0; i < 140; ++i) {
    many.sequences.emplace_back(i * 3, 1);
  }
  cases.push_back(mla_attention_case(many, 16, 512, 64));
  return cases;
}

/// DeepSeek's widths, prompts: chunks within and beyond a tile, alone and beside single rows.
inline std::vector<OpCase> mla_prefill_cases() {
  std::vector<OpCase> cases;
  for (const BatchShape& batch : {BatchShape{{{0, 2}}, 16},
                                  BatchShape{{{0, 64}, {64, 3}}, 64},
                                  BatchShape{{{5, 1}, {300, 65}, {0, 0}, {0, 130}}, 16},
                                  BatchShape{{{700, 33}, {1, 5}, {2, 1}}, 8}}) {
    for (const int64_t heads : {1, 16, 20}) {
      cases.push_back(mla_attention_case(batch, heads, 512, 64));
    }
    cases.push_back(rope_and_mla_attention_case(batch, 16, 512, 64, RopeLayout::kInterleaved));
  }
  cases.push_back(mla_attention_case({{{30, 40}}, 32}, 128, 512, 64));
  return cases;
}

inline std::vector<OpCase> attention_cases() {
  const std::vector<BatchShape> batches{{{}, 16},
                                        {{{0, 1}}, 16},
                                        {{{0, 33}}, 16},
                                        {{{70, 1}, {0, 0}, {31, 1}, {5, 1}}, 16},
                                        {{{70, 1}, {0, 1}, {300, 1}, {15, 1}}, 16},
                                        {{{0, 150}, {20, 70}, {500, 1}}, 16},
                                        {{{3, 37}, {100, 9}, {64, 0}, {0, 5}}, 7}};
  std::vector<OpCase> cases;
  for (const BatchShape& batch : batches) {
    for (const int64_t d : {64, 80, 96, 128, 192, 256}) {
      cases.push_back(attention_case({.batch = batch, .heads = 4, .kv_heads = 2, .d = d, .dv = d}));
    }
    cases.push_back(attention_case({.batch = batch, .heads = 1, .kv_heads = 1, .d = 5, .dv = 3}));
    cases.push_back(
        attention_case({.batch = batch, .heads = 14, .kv_heads = 2, .d = 128, .dv = 128}));
    cases.push_back(
        attention_case({.batch = batch, .heads = 12, .kv_heads = 2, .d = 32, .dv = 32, .gap = 3}));
    cases.push_back(attention_case(
        {.batch = batch, .heads = 20, .kv_heads = 1, .d = 24, .dv = 40, .sigma = 30}));
    cases.push_back(mla_attention_case(batch, 16, 64, 16));
    cases.push_back(mla_attention_case(batch, 3, 33, 6));
    for (const RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      cases.push_back(rope_and_mla_attention_case(batch, 3, 33, 6, layout));
    }
    cases.push_back(mla_expanded_case(batch, 4, 32, 16, 32));
    cases.push_back(mla_expanded_case(batch, 3, 17, 2, 9));
    cases.push_back(gather_kv_case(batch, 21));
  }
  for (const int64_t rows : {0, 1, 50}) {
    cases.push_back(write_kv_case(rows, 24, 16));
    cases.push_back(write_kv_case(rows, 7, 5));
    for (const RopeLayout layout : {RopeLayout::kInterleaved, RopeLayout::kHalfSplit}) {
      cases.push_back(write_latent_case(rows, 1536, 512, 64, layout));
      cases.push_back(write_latent_case(rows, 0, 33, 6, layout));
    }
    cases.push_back(rope_and_write_kv_case(
        {.rows = rows, .heads = 14, .kv_heads = 2, .d = 128, .v_width = 256}));
    for (const int64_t d : {6, 64, 128, 200}) {
      cases.push_back(rope_and_write_kv_case(
          {.rows = rows, .heads = 8, .kv_heads = 2, .d = d, .v_width = 2 * d, .norm = true}));
    }
    for (const int64_t rotated : {6, 64, 128}) {
      cases.push_back(rope_and_write_kv_case({.rows = rows,
                                              .heads = 6,
                                              .kv_heads = 2,
                                              .d = 128,
                                              .v_width = 256,
                                              .norm_parts = true,
                                              .rotated = rotated}));
      cases.push_back(rope_and_write_kv_case(
          {.rows = rows, .heads = 6, .kv_heads = 1, .d = 131, .v_width = 131, .rotated = rotated}));
    }
    cases.push_back(rope_and_write_kv_case({.rows = rows,
                                            .heads = 3,
                                            .kv_heads = 1,
                                            .d = 6,
                                            .v_width = 11,
                                            .layout = RopeLayout::kInterleaved}));
  }
  return cases;
}

inline std::vector<OpCase> attention_bench_cases() {
  const BatchShape decode{{{8191, 1}}, 16};
  const BatchShape prefill{{{0, 512}}, 16};
  return {attention_case({.batch = decode, .heads = 12, .kv_heads = 2, .d = 128, .dv = 128}),
          attention_case({.batch = decode, .heads = 32, .kv_heads = 8, .d = 128, .dv = 128}),
          attention_case({.batch = prefill, .heads = 12, .kv_heads = 2, .d = 128, .dv = 128}),
          mla_attention_case({{{2047, 1}}, 16}, 128, 512, 64),
          mla_attention_case({{{0, 64}}, 16}, 16, 512, 64),
          mla_expanded_case({{{0, 256}}, 16}, 16, 128, 64, 128),
          gather_kv_case(decode, 576),
          write_kv_case(512, 1024, 16)};
}

}  // namespace tutti::test
