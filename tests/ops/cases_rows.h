// Ops that work row by row: norms, add, silu_mul, embedding, rotary embeddings, gather_rows.
#pragma once
#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "ops/op_case.h"

namespace tutti::test {

inline HostTensor normal(const Shape& shape, uint32_t seed, int64_t gap = 0) {
  return std::move(HostTensor(DType::kF32, shape, gap).fill_normal(seed));
}

inline std::string shape_name(const char* op, const Shape& shape, int64_t gap) {
  return std::string(op) + " " + shape.to_string() + (gap > 0 ? " strided" : "");
}

inline double f32_bytes(const Shape& shape, int times) {
  return 4.0 * times * static_cast<double>(shape.numel());
}

enum class NormInput { kActivation, kInPlace, kResidual };

inline OpCase rms_norm_case(const Shape& shape, int64_t gap, NormInput from) {
  OpCase c{.name =
               shape_name("rms_norm", shape, gap) + (from == NormInput::kInPlace    ? " in place"
                                                     : from == NormInput::kResidual ? " of residual"
                                                                                    : "")};
  c.tolerance = sum_tolerance(shape[shape.rank() - 1], 0);
  c.bytes = f32_bytes(shape, 2);
  c.prepare = [=](PreparedOp& op) {
    const TensorView weight = op.input(normal({shape[shape.rank() - 1]}, 2));
    const TensorView y = op.act_output(normal(shape, 1, gap));
    const TensorView x = from == NormInput::kInPlace    ? y
                         : from == NormInput::kResidual ? op.input(normal(shape, 1, gap))
                                                        : op.act_input(normal(shape, 1, gap));
    op.set_call([=](Ops& ops) { ops.rms_norm(y, x, weight, 1e-6F); });
  };
  return c;
}

inline OpCase add_rms_norm_case(const Shape& shape, int64_t gap) {
  OpCase c{.name = shape_name("add_rms_norm", shape, gap)};
  c.tolerance = sum_tolerance(shape[1], 0);
  c.bytes = f32_bytes(shape, 4);
  c.prepare = [=](PreparedOp& op) {
    const TensorView weight = op.input(normal({shape[1]}, 4));
    const TensorView y = op.act_output(HostTensor(DType::kF32, shape, gap));
    const TensorView residual = op.output(normal(shape, 2, gap));
    const TensorView x = op.act_input(normal(shape, 1, gap));
    op.set_call([=](Ops& ops) { ops.add_rms_norm(y, residual, x, weight, 1e-5F); });
  };
  return c;
}

inline OpCase layer_norm_case(const Shape& shape, int64_t gap, bool bias, NormInput from) {
  OpCase c{.name = shape_name("layer_norm", shape, gap) + (bias ? "" : " without bias") +
                   (from == NormInput::kResidual ? " of residual" : "")};
  c.tolerance = sum_tolerance(shape[1], 0);
  c.bytes = f32_bytes(shape, 2);
  c.prepare = [=](PreparedOp& op) {
    const TensorView y = op.act_output(normal(shape, 1, gap));
    const op::LayerNorm call{.y = y,
                             .x = from == NormInput::kInPlace ? y
                                  : from == NormInput::kResidual
                                      ? op.input(normal(shape, 1, gap))
                                      : op.act_input(normal(shape, 1, gap)),
                             .weight = op.input(normal({shape[1]}, 2)),
                             .bias = bias ? op.input(normal({shape[1]}, 3)) : TensorView(),
                             .eps = 1e-3F};
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

inline OpCase gelu_mul_case(const Shape& shape, int64_t gap, bool tanh) {
  OpCase c{.name = shape_name(tanh ? "gelu_mul tanh" : "gelu_mul", shape, gap),
           .tolerance = rounding_tolerance()};
  c.bytes = f32_bytes(shape, 3);
  c.prepare = [=](PreparedOp& op) {
    const TensorView gate = op.act_output(normal(shape, 1, gap));
    const TensorView up = op.act_input(normal(shape, 2, gap));
    op.set_call([=](Ops& ops) { ops.call(op::GeluMul{gate, gate, up, tanh}); });
  };
  return c;
}

inline OpCase sum_squares_case(const Shape& shape, int64_t also, int64_t gap) {
  OpCase c{.name = shape_name("sum_squares", shape, gap) + " and " + std::to_string(also)};
  c.tolerance = sum_tolerance(std::max(shape[1], also), 0);
  c.bytes = f32_bytes({shape[0], shape[1] + also}, 1);
  c.prepare = [=](PreparedOp& op) {
    const TensorView x = op.act_input(normal(shape, 1, gap));
    const TensorView other =
        also > 0 ? op.act_input(normal({shape[0], also}, 2, gap)) : TensorView();
    const TensorView y = op.output(HostTensor(DType::kF32, {shape[0], 2}, gap));
    op.set_call([=](Ops& ops) { ops.call(op::SumSquares{y, x, other}); });
  };
  return c;
}

inline OpCase norm_part_case(const Shape& shape, int64_t gap, bool in_place) {
  OpCase c{.name = shape_name("norm_part", shape, gap) + (in_place ? " in place" : ""),
           .tolerance = rounding_tolerance()};
  c.bytes = f32_bytes(shape, 2);
  c.prepare = [=](PreparedOp& op) {
    const TensorView y = op.act_output(normal(shape, 1, gap));
    HostTensor sums = normal({shape[0], 2}, 3);
    for (int64_t t = 0; t < shape[0]; ++t) {
      auto* row = sums.view().at(t).data<float>();
      row[1] = static_cast<float>(shape[1]) * (1.0F + std::abs(row[1]));
    }
    const op::NormPart call{.y = y,
                            .x = in_place ? y : op.act_input(normal(shape, 1, gap)),
                            .weight = op.input(normal({shape[1]}, 2)),
                            .squares = op.input(std::move(sums)).slice(1, 1, 1),
                            .width = 3 * shape[1],
                            .eps = 1e-5F};
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

inline OpCase add_case(const Shape& shape, int64_t gap, bool to_residual = false) {
  OpCase c{.name = shape_name("add", shape, gap) + (to_residual ? " to residual" : ""),
           .tolerance = exact()};
  c.bytes = f32_bytes(shape, 3);
  c.prepare = [=](PreparedOp& op) {
    const TensorView y =
        to_residual ? op.output(normal(shape, 1, gap)) : op.act_output(normal(shape, 1, gap));
    const TensorView x = op.act_input(normal(shape, 2, gap));
    op.set_call([=](Ops& ops) { ops.add(y, x); });
  };
  return c;
}

inline OpCase silu_mul_case(const Shape& shape, int64_t gap) {
  OpCase c{.name = shape_name("silu_mul", shape, gap), .tolerance = elementwise_tolerance()};
  c.bytes = f32_bytes(shape, 3);
  c.prepare = [=](PreparedOp& op) {
    HostTensor gates = std::move(HostTensor(DType::kF32, shape, gap).fill_normal(1, 10.0F));
    const float edges[] = {0.0F,
                           -0.0F,
                           90.0F,
                           -90.0F,
                           1e30F,
                           -1e30F,
                           1e-30F,
                           std::numeric_limits<float>::quiet_NaN(),
                           std::numeric_limits<float>::infinity()};
    for (int64_t i = 0; shape.numel() >= 16 && i < 9; ++i) {
      gates.set(i, edges[i]);
    }
    const TensorView y = op.act_output(HostTensor(DType::kF32, shape, gap));
    const TensorView gate = op.act_input(std::move(gates));
    const TensorView up = op.act_input(normal(shape, 2, gap));
    op.set_call([=](Ops& ops) { ops.silu_mul(y, gate, up); });
  };
  return c;
}

inline OpCase embedding_case(DType dtype, int64_t rows, int64_t d, int64_t first_id) {
  OpCase c{.name = std::string("embedding ") + dtype_name(dtype) + " first " +
                   std::to_string(first_id) + " d" + std::to_string(d),
           .tolerance = exact()};
  c.bytes = static_cast<double>(rows * d * (4 + dtype_size(dtype)));
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < rows; ++t) {
      ids.push_back(narrow<int32_t>(t * 13 % 29));  // some before the shard, some after it
    }
    const TensorView y = op.output(normal({rows, d}, 5, 3));
    const TensorView table = op.input(std::move(HostTensor(dtype, {11, d}, 2).fill_normal(1)));
    const TensorView id_view = op.input(ints(ids));
    op.set_call([=](Ops& ops) { ops.embedding(y, table, id_view, first_id); });
  };
  return c;
}

inline OpCase rope_table_case(int64_t rows, int64_t half) {
  OpCase c{.name = shape_name("rope_table", {rows, 2 * half}, 0),
           .tolerance = rounding_tolerance()};
  c.bytes = f32_bytes({rows, 2 * half}, 1);
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> positions;
    std::vector<float> frequencies;
    for (int64_t t = 0; t < rows; ++t) {
      positions.push_back(narrow<int32_t>(t * 40009));
    }
    for (int64_t i = 0; i < half; ++i) {
      frequencies.push_back(std::pow(10000.0F, -static_cast<float>(i) / static_cast<float>(half)));
    }
    const TensorView table = op.output(HostTensor(DType::kF32, {rows, 2 * half}));
    const TensorView position_view = op.input(ints(positions));
    const TensorView frequency_view = op.input(floats({half}, frequencies));
    op.set_call([=](Ops& ops) { ops.rope_table(table, position_view, frequency_view, 1.25F); });
  };
  return c;
}

/// `rotated`: of each head; 0: all of it.
inline OpCase rope_case(const Shape& shape, RopeLayout layout, int64_t gap, int64_t rotated = 0) {
  OpCase c{
      .name = shape_name(
          layout == RopeLayout::kInterleaved ? "rope interleaved" : "rope half-split", shape, gap)};
  c.name += rotated > 0 ? " first " + std::to_string(rotated) : "";
  c.tolerance = rounding_tolerance();
  c.bytes = f32_bytes(shape, 2);
  c.prepare = [=](PreparedOp& op) {
    const TensorView x = op.act_output(normal(shape, 1, gap));
    const TensorView table = op.input(normal({shape[0], rotated > 0 ? rotated : shape[2]}, 2));
    op.set_call([=](Ops& ops) { ops.rope(x, table, layout); });
  };
  return c;
}

inline OpCase gather_rows_case(int64_t rows, int64_t d) {
  OpCase c{.name = shape_name("gather_rows", {rows, d}, 2), .tolerance = exact()};
  c.bytes = f32_bytes({rows, d}, 2);
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> from;
    for (int64_t r = 0; r < rows; ++r) {
      from.push_back(narrow<int32_t>(r * 5 % 9));
    }
    const TensorView y = op.act_output(HostTensor(DType::kF32, {rows, d}, 1));
    const TensorView x = op.act_input(normal({9, d}, 1, 2));
    const TensorView index = op.input(ints(from));
    op.set_call([=](Ops& ops) { ops.gather_rows(y, x, index); });
  };
  return c;
}

/// Integers are moved as they are, and views may be columns of a wider table.
inline OpCase gather_integers_case(int64_t rows, int64_t width) {
  OpCase c{.name = shape_name("gather_rows of i32", {rows, width}, 0), .tolerance = exact()};
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> from;
    for (int64_t r = 0; r < rows; ++r) {
      from.push_back(narrow<int32_t>(r * 5 % 9));
    }
    HostTensor table(DType::kI32, {9, width + 4});
    for (int64_t i = 0; i < 9 * (width + 4); ++i) {
      table.data<int32_t>()[i] = narrow<int32_t>(i * 2654435761 % 4294967296 - 2147483648);
    }
    const TensorView y = op.output(HostTensor(DType::kI32, {rows, width}));
    const TensorView x = op.input(std::move(table)).slice(1, 0, width);
    const TensorView index = op.input(ints(from));
    op.set_call([=](Ops& ops) { ops.gather_rows(y, x, index); });
  };
  return c;
}

inline OpCase fill_tokens_case(int64_t count) {
  OpCase c{.name = "fill_tokens " + std::to_string(count), .tolerance = exact()};
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> given;
    std::vector<int32_t> slots;
    for (int64_t i = 0; i < count; ++i) {
      given.push_back(i % 3 == 0 ? -1 : narrow<int32_t>(i));
      slots.push_back(narrow<int32_t>(i * 7 % 5));
    }
    const TensorView tokens = op.output(ints(given));
    const TensorView last = op.input(ints({100, 101, -1, 103, 104}));
    const TensorView rows = op.input(ints(slots));
    op.set_call([=](Ops& ops) { ops.fill_tokens(tokens, last, rows); });
  };
  return c;
}

inline OpCase scatter_case(int64_t count) {
  OpCase c{.name = "scatter " + std::to_string(count), .tolerance = exact()};
  c.prepare = [=](PreparedOp& op) {
    std::vector<int32_t> places;
    std::vector<int32_t> given;
    for (int64_t i = 0; i < count; ++i) {
      places.push_back(i % 4 == 1 ? -1 : narrow<int32_t>((count - 1 - i) * 2));
      given.push_back(narrow<int32_t>(1000 + i));
    }
    const TensorView y = op.output(ints(std::vector<int32_t>(usize(2 * count + 1), 7)));
    const TensorView values = op.input(ints(given));
    const TensorView at = op.input(ints(places));
    op.set_call([=](Ops& ops) { ops.scatter(y, values, at); });
  };
  return c;
}

/// Every row another mixture of settings and another draw. `ties`: few different logits.
inline OpCase draw_case(int64_t rows, int64_t vocab, int64_t limit, float sigma, bool ties) {
  OpCase c{.name = shape_name("draw", {rows, vocab}, 3) + " limit " + std::to_string(limit) +
                   " sigma " + std::to_string(sigma) + (ties ? " ties" : ""),
           .tolerance = exact()};
  c.bytes = f32_bytes({rows, limit}, 1);
  c.prepare = [=](PreparedOp& op) {
    HostTensor logits = std::move(HostTensor(DType::kF32, {rows, vocab}, 3).fill_normal(1, sigma));
    const int64_t stride = vocab + 3;
    for (int64_t i = 0; ties && i < rows * stride; ++i) {
      logits.set(i, std::round(logits.data<float>()[i]));
    }
    std::mt19937_64 random(7);
    std::vector<DrawParams> params;
    for (int64_t r = 0; r < rows; ++r) {
      const uint64_t uniform = random() >> 11U;
      params.push_back({.temperature = std::array{0.7F, 0.0F, 1.0F, 1.6F}[usize(r % 4)],
                        .top_k = std::array{0, 1, 3, 40, 7000}[usize(r % 5)],
                        .top_p = std::array{1.0F, 0.9F, 0.3F}[usize(r % 3)],
                        .min_p = std::array{0.0F, 0.0F, 0.05F, 0.6F}[usize(r / 3 % 4)],
                        .uniform_low = static_cast<uint32_t>(uniform),
                        .uniform_high = static_cast<uint32_t>(uniform >> 32U)});
      if (r % 7 == 6) {
        logits.set(r * stride + limit / 2,
                   r % 2 == 0 ? -std::numeric_limits<float>::infinity()
                              : std::numeric_limits<float>::quiet_NaN());
      }
    }
    HostTensor draws(DType::kI32, {rows, 6});
    if (!params.empty()) {
      std::memcpy(draws.data<int32_t>(), params.data(), params.size() * sizeof(DrawParams));
    }
    const TensorView tokens = op.output(HostTensor(DType::kI32, {rows}));
    const TensorView view = op.input(std::move(logits));
    const TensorView draw_view = op.input(std::move(draws));
    op.set_call([=](Ops& ops) { ops.draw(tokens, view, limit, draw_view); });
  };
  return c;
}

/// `edge` stands in some rows, at the front, in the middle and behind the limit.
inline OpCase argmax_case(int64_t rows, int64_t vocab, int64_t limit, float edge, bool ties) {
  OpCase c{.name = shape_name("argmax", {rows, vocab}, 3) + " limit " + std::to_string(limit) +
                   " edge " + std::to_string(edge) + (ties ? " ties" : ""),
           .tolerance = exact()};
  c.bytes = f32_bytes({rows, limit}, 1);
  c.prepare = [=](PreparedOp& op) {
    HostTensor logits = normal({rows, vocab}, 1, 3);
    const int64_t stride = vocab + 3;
    for (int64_t i = 0; ties && i < rows * stride; ++i) {
      logits.set(i, std::round(logits.data<float>()[i]));
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = limit; i < vocab; ++i) {
        logits.set(r * stride + i, 100.0F);  // larger than any that may be chosen
      }
      if (r % 4 != 0) {
        logits.set(r * stride + (r % 4 == 1 ? 0 : r % 4 == 2 ? limit / 2 : vocab - 1), edge);
      }
      for (int64_t i = 0; r == 7 && i < limit; ++i) {
        logits.set(r * stride + i, -std::numeric_limits<float>::infinity());
      }
    }
    const TensorView tokens = op.output(HostTensor(DType::kI32, {rows}));
    const TensorView view = op.input(std::move(logits));
    op.set_call([=](Ops& ops) { ops.argmax(tokens, view, limit); });
  };
  return c;
}

/// argmax_case() over `shards` ranks of about equal shares, put together again.
inline OpCase sharded_argmax_case(
    int64_t rows, int64_t vocab, int64_t limit, float edge, int64_t shards) {
  OpCase c{.name = shape_name("sharded argmax", {rows, vocab}, 3) + " limit " +
                   std::to_string(limit) + " edge " + std::to_string(edge) + " over " +
                   std::to_string(shards),
           .tolerance = exact()};
  c.bytes = f32_bytes({rows, limit}, 1);
  c.prepare = [=](PreparedOp& op) {
    HostTensor logits = normal({rows, vocab}, 1, 3);
    const int64_t stride = vocab + 3;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < vocab; ++i) {
        float& x = logits.data<float>()[r * stride + i];
        logits.set(r * stride + i, i < limit ? std::round(x) : 100.0F);
      }
      if (r % 3 != 0) {
        logits.set(r * stride + (r % 3 == 1 ? 0 : limit - 1), edge);
      }
      for (int64_t i = 0; r == 7 && i < limit; ++i) {
        logits.set(r * stride + i, -std::numeric_limits<float>::infinity());
      }
    }
    const TensorView tokens = op.output(HostTensor(DType::kI32, {rows}));
    const TensorView best = op.input(HostTensor(DType::kF32, {rows, 2 * shards}));
    const TensorView view = op.input(std::move(logits));
    op.set_call([=](Ops& ops) {
      for (int64_t s = 0; s < shards; ++s) {
        const int64_t begin = vocab * s / shards;
        const int64_t end = vocab * (s + 1) / shards;
        ops.shard_argmax({.best = best.slice(1, 2 * s, 2),
                          .logits = view.slice(1, begin, end - begin),
                          .first_id = begin,
                          .limit = limit});
      }
      ops.merge_argmax({.tokens = tokens, .best = best});
    });
  };
  return c;
}

inline std::vector<OpCase> row_cases() {
  std::vector<OpCase> cases;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const int64_t rows : {0, 1, 9}) {
    for (const float edge :
         {0.0F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
      cases.push_back(argmax_case(rows, 50, 50, edge, /*ties=*/true));
      cases.push_back(argmax_case(rows, 50, 1, edge, /*ties=*/false));
      cases.push_back(argmax_case(rows, 20011, 20000, edge, /*ties=*/true));
      cases.push_back(sharded_argmax_case(rows, 50, 50, edge, 1));
      cases.push_back(sharded_argmax_case(rows, 50, 7, edge, 4));
      cases.push_back(sharded_argmax_case(rows, 20011, 20000, edge, 3));
    }
  }
  for (const int64_t rows : {0, 1, 60}) {
    for (const bool ties : {false, true}) {
      cases.push_back(draw_case(rows, 50, 47, 1.5F, ties));
      cases.push_back(draw_case(rows, 20011, 20000, 3.0F, ties));
    }
  }
  for (const int64_t count : {0, 1, 300}) {
    cases.push_back(gather_integers_case(count, 3));
    cases.push_back(gather_integers_case(count, 1100));
    cases.push_back(fill_tokens_case(count));
    cases.push_back(scatter_case(count));
  }
  for (const int64_t rows : {0, 1, 3, 40}) {
    for (const int64_t d : {1, 2, 15, 16, 63, 128, 1000}) {
      for (const int64_t gap : {0, 5}) {
        cases.push_back(rms_norm_case({rows, d}, gap, NormInput::kActivation));
        cases.push_back(rms_norm_case({rows, d}, gap, NormInput::kInPlace));
        cases.push_back(rms_norm_case({rows, d}, gap, NormInput::kResidual));
        cases.push_back(rms_norm_case({rows, 3, d}, gap, NormInput::kActivation));
        cases.push_back(add_rms_norm_case({rows, d}, gap));
        cases.push_back(layer_norm_case({rows, d}, gap, true, NormInput::kActivation));
        cases.push_back(layer_norm_case({rows, d}, gap, true, NormInput::kResidual));
        cases.push_back(layer_norm_case({rows, d}, gap, false, NormInput::kInPlace));
        cases.push_back(gelu_mul_case({rows, d}, gap, /*tanh=*/false));
        cases.push_back(gelu_mul_case({rows, d}, gap, /*tanh=*/true));
        cases.push_back(sum_squares_case({rows, d}, 0, gap));
        cases.push_back(sum_squares_case({rows, d}, 37, gap));
        cases.push_back(norm_part_case({rows, d}, gap, /*in_place=*/false));
        cases.push_back(norm_part_case({rows, d}, gap, /*in_place=*/true));
        cases.push_back(add_case({rows, d}, gap));
        cases.push_back(add_case({rows, d}, gap, /*to_residual=*/true));
        cases.push_back(silu_mul_case({rows, d}, gap));
      }
      cases.push_back(gather_rows_case(rows, d));
      for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
        cases.push_back(embedding_case(dtype, rows, d, 0));
        cases.push_back(embedding_case(dtype, rows, d, 7));
      }
    }
    for (const int64_t d : {2, 6, 64, 80, 96, 128, 192, 256}) {
      cases.push_back(rope_table_case(rows, d / 2));
      for (const RopeLayout layout : {RopeLayout::kHalfSplit, RopeLayout::kInterleaved}) {
        cases.push_back(rope_case({rows, 3, d}, layout, 0));
        cases.push_back(rope_case({rows, 2, d}, layout, 7));
        cases.push_back(rope_case({rows, 2, d + 5}, layout, 3, d));
      }
    }
  }
  return cases;
}

inline std::vector<OpCase> row_bench_cases() {
  return {rms_norm_case({1, 7168}, 0, NormInput::kResidual),
          rms_norm_case({256, 7168}, 0, NormInput::kResidual),
          add_rms_norm_case({256, 7168}, 0),
          layer_norm_case({256, 7168}, 0, true, NormInput::kResidual),
          gelu_mul_case({256, 8192}, 0, /*tanh=*/false),
          sum_squares_case({256, 6144}, 1024, 0),
          norm_part_case({256, 6144}, 0, /*in_place=*/true),
          add_case({256, 7168}, 0),
          silu_mul_case({256, 8192}, 0),
          embedding_case(DType::kBF16, 256, 7168, 0),
          rope_table_case(256, 64),
          rope_case({256, 32, 128}, RopeLayout::kHalfSplit, 0),
          rope_case({256, 32, 64}, RopeLayout::kInterleaved, 0),
          argmax_case(64, 152064, 152064, 0.0F, false)};
}

}  // namespace tutti::test
