// linear, grouped_linear and batched_linear: storage types, block scales of any size, odd widths,
// empty groups.
#pragma once
#include <numeric>

#include "ops/op_case.h"

namespace tutti::test {

struct LinearShape {
  DType dtype = DType::kF32;
  int64_t m = 1;
  int64_t n = 1;
  int64_t k = 1;
  bool bias = false;
  int64_t gap = 0;                ///< elements between rows of x, w and y
  int64_t block_n = 128;          ///< e4m3: rows per scale
  int64_t block_k = 128;          ///< e4m3: columns per scale
  std::vector<int64_t> groups{};  ///< rows of x per group: grouped_linear
  int64_t heads = 0;              ///< batched_linear
  bool f32_result = false;        ///< whatever the compute type (logits)
  /// Activations that e4m3 with a factor per 128 columns holds exactly, and room for them in that
  /// form: whichever way a product takes them, the result is the same.
  bool exact_e4m3 = false;
  /// Random weights are made by a slow generator; large ones repeat a short stretch.
  bool large = false;

  int64_t matrices() const {
    return heads > 0 ? heads : (groups.empty() ? 1 : ssize(groups.size()));
  }
};

inline std::string describe(const LinearShape& s) {
  std::string name =
      s.heads > 0 ? "batched_linear" : (s.groups.empty() ? "linear" : "grouped_linear");
  name += std::string(" ") + dtype_name(s.dtype) + " m" + std::to_string(s.m) + " n" +
          std::to_string(s.n) + " k" + std::to_string(s.k);
  if (s.heads > 0 || !s.groups.empty()) {
    name += " x" + std::to_string(s.matrices());
  }
  if (s.dtype == DType::kF8E4M3) {
    name += " block " + std::to_string(s.block_n) + "x" + std::to_string(s.block_k);
  }
  return name + (s.bias ? " bias" : "") + (s.f32_result ? " f32 result" : "") +
         (s.gap > 0 ? " strided" : "");
}

inline HostTensor weight_data(const LinearShape& s) {
  const Shape shape =
      s.heads > 0 || !s.groups.empty() ? Shape{s.matrices(), s.n, s.k} : Shape{s.n, s.k};
  HostTensor w(s.dtype, shape, s.gap);
  // e4m3 weights fill the range of the format, as a quantiser makes them.
  const float sigma = s.dtype == DType::kF8E4M3 ? 100.0F : 1.0F;
  return s.large ? std::move(w.fill_repeating(2, sigma)) : std::move(w.fill_normal(2, sigma));
}

inline WeightView make_weight(PreparedOp& op, const LinearShape& s) {
  const ConstTensorView values = op.input(weight_data(s));
  if (s.dtype != DType::kF8E4M3) {
    return WeightView::dense(values);
  }
  const WeightCell block{s.block_n, s.block_k};
  const Shape grid = WeightLayout::of(kE4M3BlockWeights, block).plane_shape(1, values.shape());
  return WeightView::e4m3_blocks(
      values, op.input(std::move(HostTensor(DType::kF32, grid).fill_normal(3, 0.01F))), block);
}

/// Any e4m3 values times 2^-8; the first of every 128 is the largest there is, so that a quantiser
/// finds this factor.
inline HostTensor exact_e4m3(const Shape& shape, int64_t gap) {
  HostTensor x(DType::kF32, shape, gap);
  x.fill_normal(1, 100.0F);
  const int64_t width = shape[shape.rank() - 1] + gap;
  for (int64_t i = 0; i < shape[0] * width; ++i) {
    const float value = to_float(to_f8e4m3(x.data<float>()[i]));
    x.set(i, (i % width % 128 == 0 ? 448.0F : value) * 0x1p-8F);
  }
  return x;
}

inline HostTensor activations(const LinearShape& s, const Shape& shape) {
  return s.exact_e4m3 ? exact_e4m3(shape, s.gap)
                      : std::move(HostTensor(DType::kF32, shape, s.gap).fill_normal(1));
}

inline TensorView room_for_e4m3(PreparedOp& op, const LinearShape& s, int64_t rows) {
  return s.exact_e4m3 ? op.input(HostTensor(DType::kF8E4M3,
                                            {rows, kE4M3BlockWeights.activation_row_bytes(s.k)}))
                      : TensorView{};
}

inline OpCase linear_case(const LinearShape& s) {
  const int64_t m =
      s.groups.empty() ? s.m : std::accumulate(s.groups.begin(), s.groups.end(), int64_t{0});
  OpCase c{.name = describe(s), .tolerance = sum_tolerance(s.k)};
  const int64_t read =
      s.heads > 0 || s.groups.empty()
          ? s.matrices()
          : std::count_if(s.groups.begin(), s.groups.end(), [](int64_t g) { return g > 0; });
  const int64_t per_head = std::max<int64_t>(1, s.heads);
  c.bytes =
      static_cast<double>(read * s.n * s.k * dtype_size(s.dtype) + 4 * m * per_head * (s.n + s.k));
  c.flops = 2.0 * static_cast<double>(m * per_head) * static_cast<double>(s.n * s.k);
  c.prepare = [s, m](PreparedOp& op) {
    const Shape xs = s.heads > 0 ? Shape{m, s.heads, s.k} : Shape{m, s.k};
    const Shape ys = s.heads > 0 ? Shape{m, s.heads, s.n} : Shape{m, s.n};
    const TensorView x = op.act_input(activations(s, xs));
    const TensorView scratch = room_for_e4m3(op, s, m);
    const TensorView y = s.f32_result ? op.output(HostTensor(DType::kF32, ys, s.gap))
                                      : op.act_output(HostTensor(DType::kF32, ys, s.gap));
    const WeightView w = make_weight(op, s);
    if (s.heads > 0) {
      op.set_call([=](Ops& ops) { ops.batched_linear(y, x, w); });
      return;
    }
    if (!s.groups.empty()) {
      std::vector<int32_t> begin{0};
      for (const int64_t rows : s.groups) {
        begin.push_back(narrow<int32_t>(begin.back() + rows));
      }
      const TensorView offsets = op.input(ints(begin));
      op.set_call([=](Ops& ops) { ops.grouped_linear(y, x, w, offsets, scratch); });
      return;
    }
    const TensorView bias =
        s.bias ? op.rounded_input(std::move(HostTensor(DType::kF32, {s.n}).fill_normal(4)))
               : TensorView{};
    op.set_call([=](Ops& ops) { ops.linear(y, x, w, bias, scratch); });
  };
  return c;
}

/// `s.n` gates and as many ups.
inline OpCase gated_linear_case(LinearShape s) {
  const int64_t n = s.n;
  s.n = 2 * n;
  OpCase c{.name = "gated " + describe(s), .tolerance = sum_tolerance(s.k)};
  c.bytes = static_cast<double>(s.n * s.k * dtype_size(s.dtype) + 4 * s.m * (n + s.k));
  c.flops = 2.0 * static_cast<double>(s.m * s.n * s.k);
  c.prepare = [s, n](PreparedOp& op) {
    const TensorView x = op.act_input(activations(s, {s.m, s.k}));
    const TensorView scratch = room_for_e4m3(op, s, s.m);
    const TensorView both = op.act_input(HostTensor(DType::kF32, {s.m, s.n}, s.gap));
    const TensorView y = op.act_output(HostTensor(DType::kF32, {s.m, n}));
    const WeightView w = make_weight(op, s);
    const TensorView bias =
        s.bias ? op.rounded_input(std::move(HostTensor(DType::kF32, {s.n}).fill_normal(4)))
               : TensorView{};
    std::vector<int32_t> rows(usize(s.m));
    std::iota(rows.begin(), rows.end(), 0);
    const TensorView all = op.input(ints(rows));
    op.set_call([=](Ops& ops) {
      ops.gated_linear(both, x, w, bias, scratch);
      ops.gather_rows(y, both.slice(1, 0, n), all);  // the rest is scratch
    });
  };
  return c;
}

/// `s.n` gates and as many ups per group; rows of x come from anywhere in it. `beside`: with a
/// shared expert of the same shape.
inline OpCase grouped_gated_linear_case(LinearShape s, bool beside = false) {
  const int64_t n = s.n;
  s.n = 2 * n;
  s.m = std::accumulate(s.groups.begin(), s.groups.end(), int64_t{0});
  OpCase c{.name = (beside ? "gated and beside " : "gated ") + describe(s),
           .tolerance = sum_tolerance(s.k)};
  c.prepare = [s, n, beside](PreparedOp& op) {
    const int64_t tokens = s.m / 2 + 1;
    const TensorView x = op.act_input(activations(s, {tokens, s.k}));
    const TensorView both = op.act_input(HostTensor(DType::kF32, {s.m, s.n}));
    const TensorView gathered = op.act_input(HostTensor(DType::kF32, {s.m, s.k}));
    const TensorView y = op.act_output(HostTensor(DType::kF32, {s.m, n}));
    const WeightView w = make_weight(op, s);
    std::vector<int32_t> begin{0};
    for (const int64_t rows : s.groups) {
      begin.push_back(narrow<int32_t>(begin.back() + rows));
    }
    std::vector<int32_t> from(usize(s.m));
    std::vector<int32_t> rows(usize(s.m));
    for (size_t i = 0; i < rows.size(); ++i) {
      from[i] = narrow<int32_t>(ssize(i * 7 + 3) % tokens);
      rows[i] = narrow<int32_t>(i);
    }
    const TensorView offsets = op.input(ints(begin));
    const TensorView sources = op.input(ints(from));
    const TensorView all = op.input(ints(rows));
    op::GroupedGatedLinear call{.y = both,
                                .x = x,
                                .rows = sources,
                                .gathered = gathered,
                                .weight = w,
                                .offsets = offsets,
                                .beside = {}};
    if (!beside) {
      op.set_call([=](Ops& ops) {
        ops.call(call);
        ops.gather_rows(y, both.slice(1, 0, n), all);  // the rest is scratch
      });
      return;
    }
    LinearShape shared = s;
    shared.groups.clear();
    shared.m = tokens;
    call.beside = {.y = op.act_input(HostTensor(DType::kF32, {tokens, s.n})),
                   .x = x,
                   .weight = make_weight(op, shared),
                   .bias = {},
                   .scratch = room_for_e4m3(op, shared, tokens)};
    const TensorView y_shared = op.act_output(HostTensor(DType::kF32, {tokens, n}));
    std::vector<int32_t> every(usize(tokens));
    std::iota(every.begin(), every.end(), 0);
    const TensorView all_tokens = op.input(ints(every));
    op.set_call([=](Ops& ops) {
      ops.call(call);
      ops.gather_rows(y, both.slice(1, 0, n), all);
      ops.gather_rows(y_shared, call.beside.y.slice(1, 0, n), all_tokens);
    });
  };
  return c;
}

/// What each of `tokens` has of its `top_k` experts of s.groups.size(), and with `beside` of a
/// shared one of the same shape.
inline OpCase grouped_linear_combine_case(LinearShape s,
                                          int64_t tokens,
                                          int64_t top_k,
                                          bool beside) {
  const int64_t experts = ssize(s.groups);
  s.m = tokens * top_k;
  OpCase c{.name = "combined t" + std::to_string(tokens) + " top" + std::to_string(top_k) +
                   (beside ? " and beside " : " ") + describe(s),
           .tolerance = sum_tolerance(s.k * (top_k + 1))};
  c.prepare = [=](PreparedOp& op) {
    // Token t takes experts (5 t + 3 j) mod experts: all different while 3 and experts have no
    // common divisor and top_k is at most experts.
    std::vector<int32_t> chosen(usize(s.m));
    std::vector<int32_t> begin(usize(experts) + 1);
    for (int64_t i = 0; i < s.m; ++i) {
      const int64_t expert = (5 * (i / top_k) + 3 * (i % top_k)) % experts;
      chosen[usize(i)] = narrow<int32_t>(expert);
      ++begin[usize(expert) + 1];
    }
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<int32_t> next = begin;
    HostTensor pair_row(DType::kI32, {tokens, top_k});
    HostTensor ids(DType::kI32, {tokens, top_k});
    for (int64_t i = 0; i < s.m; ++i) {
      ids.data<int32_t>()[i] = chosen[usize(i)];
      pair_row.data<int32_t>()[i] = next[usize(chosen[usize(i)])]++;
    }
    op::GroupedLinearCombine call{.y = op.act_output(HostTensor(DType::kF32, {tokens, s.n}, s.gap)),
                                  .x = op.act_input(activations(s, {s.m, s.k})),
                                  .weight = make_weight(op, s),
                                  .experts = op.input(std::move(ids)),
                                  .weights = op.input(normal({tokens, top_k}, 5)),
                                  .pair_row = op.input(std::move(pair_row)),
                                  .offsets = op.input(ints(begin)),
                                  .products = op.act_input(HostTensor(DType::kF32, {s.m, s.n})),
                                  .scratch = {},
                                  .beside = {}};
    if (beside) {
      LinearShape shared = s;
      shared.groups.clear();
      shared.m = tokens;
      call.beside = {.y = op.act_input(HostTensor(DType::kF32, {tokens, s.n})),
                     .x = op.act_input(activations(shared, {tokens, s.k})),
                     .weight = make_weight(op, shared),
                     .bias = {},
                     .scratch = {}};
    }
    op.set_call([=](Ops& ops) { ops.call(call); });
  };
  return c;
}

/// Rows that kernels may take in e4m3 (more than 16 with room for it) are such that it costs
/// nothing.
inline bool inexact_in_e4m3(const LinearShape& s) {
  return s.dtype == DType::kF8E4M3 && !s.exact_e4m3 &&
         std::accumulate(s.groups.begin(), s.groups.end(), int64_t{0}) > 16;
}

/// Few and many rows per expert, most of them in one, none in some; whole 16-byte units and not.
/// Only those of at most `most_rows` rows together.
inline std::vector<OpCase> expert_linear_cases(int64_t most_rows = 1000) {
  std::vector<std::vector<int64_t>> loads{{1},
                                          {0, 0},
                                          {0, 1, 1, 0, 2, 0, 0, 4},
                                          {9, 0, 1, 17},
                                          {20, 9, 3, 12},
                                          {20, 30, 0, 35},
                                          {60, 20, 50, 40},
                                          {300, 20, 129, 0},
                                          {0, 0, 257}};
  std::erase_if(loads, [most_rows](const std::vector<int64_t>& groups) {
    return std::accumulate(groups.begin(), groups.end(), int64_t{0}) > most_rows;
  });
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    for (const std::vector<int64_t>& groups : loads) {
      for (const int64_t k : {16, 80, 528}) {
        const LinearShape gated{.dtype = dtype, .n = 136, .k = k, .groups = groups};
        if (!inexact_in_e4m3(gated)) {
          cases.push_back(grouped_gated_linear_case(gated));
          cases.push_back(grouped_gated_linear_case(gated, /*beside=*/true));
        }
        cases.push_back(
            linear_case({.dtype = dtype, .n = 264, .k = k, .gap = 16, .groups = groups}));
        cases.push_back(linear_case({.dtype = dtype, .n = 256, .k = k, .groups = groups}));
      }
      cases.push_back(
          grouped_gated_linear_case({.dtype = dtype, .n = 9, .k = 33, .gap = 1, .groups = groups}));
    }
    for (const int64_t tokens : {0, 1, 2, 3, 9}) {
      for (const int64_t k : {48, 256, 400}) {
        for (const bool beside : {false, true}) {
          const LinearShape shape{
              .dtype = dtype, .n = 136, .k = k, .groups = std::vector<int64_t>(11)};
          cases.push_back(grouped_linear_combine_case(shape, tokens, 2, beside));
          cases.push_back(grouped_linear_combine_case(shape, tokens, 8, beside));
        }
      }
    }
    cases.push_back(grouped_linear_combine_case(
        {.dtype = dtype, .n = 4400, .k = 272, .groups = std::vector<int64_t>(8), .large = true},
        2,
        8,
        true));
    // Blocks of fewer rows, as a shard that begins inside one has.
    for (const int64_t block_n : {1, 24, 64}) {
      cases.push_back(grouped_linear_combine_case({.dtype = dtype,
                                                   .n = 72,
                                                   .k = 304,
                                                   .gap = 16,
                                                   .block_n = block_n,
                                                   .groups = std::vector<int64_t>(7)},
                                                  2,
                                                  3,
                                                  true));
      cases.push_back(linear_case(
          {.dtype = dtype, .n = 72, .k = 304, .block_n = block_n, .groups = {3, 0, 9}}));
      cases.push_back(grouped_gated_linear_case(
          {.dtype = dtype, .n = 64, .k = 304, .block_n = block_n, .groups = {3, 0, 9}}));
    }
  }
  for (const std::vector<int64_t>& groups : loads) {
    for (const int64_t k : {48, 128, 528}) {
      const LinearShape shape{
          .dtype = DType::kF8E4M3, .n = 136, .k = k, .groups = groups, .exact_e4m3 = true};
      cases.push_back(grouped_gated_linear_case(shape));
      cases.push_back(linear_case(shape));
    }
    for (const int64_t block_n : {8, 64, 128}) {
      LinearShape shape{.dtype = DType::kF8E4M3,
                        .n = 384,
                        .k = 272,
                        .block_n = block_n,
                        .groups = groups,
                        .exact_e4m3 = true};
      cases.push_back(linear_case(shape));
      shape.n = 192;
      cases.push_back(grouped_gated_linear_case(shape));
    }
  }
  for (const int64_t m : {17, 40, 300}) {
    const LinearShape shape{
        .dtype = DType::kF8E4M3, .m = m, .n = 264, .k = 400, .exact_e4m3 = true};
    cases.push_back(linear_case(shape));
    cases.push_back(gated_linear_case(shape));
  }
  for (const int64_t m : {1, 7, 16}) {
    for (const int64_t n : {200, 20000}) {
      cases.push_back(linear_case(
          {.dtype = DType::kF8E4M3, .m = m, .n = n, .k = 1040, .block_n = 64, .large = true}));
    }
  }
  return cases;
}

inline std::vector<OpCase> gated_linear_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3}) {
    for (const int64_t m : {0, 1, 7, 16, 40}) {
      cases.push_back(gated_linear_case({.dtype = dtype, .m = m, .n = 40, .k = 136}));
      cases.push_back(gated_linear_case({.dtype = dtype, .m = m, .n = 9, .k = 33, .gap = 1}));
      cases.push_back(
          gated_linear_case({.dtype = dtype, .m = m, .n = 88, .k = 520, .bias = true, .gap = 8}));
    }
  }
  return cases;
}

inline std::vector<OpCase> dense_linear_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const int64_t m : {0, 1, 2, 3, 4, 5, 8, 9, 37}) {
      for (const int64_t k : {1, 7, 16, 33, 96, 515}) {
        cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 5, .k = k}));
      }
      cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 101, .k = 40, .bias = true}));
      cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 50, .k = 77, .gap = 3}));
    }
    cases.push_back(linear_case({.dtype = dtype, .m = 130, .n = 97, .k = 1100}));
    // Rows of whole 16-byte units, which libraries want.
    for (const int64_t m : {1, 16, 130}) {
      cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 136, .k = 520, .bias = true}));
      cases.push_back(
          linear_case({.dtype = dtype, .m = m, .n = 320, .k = 256, .gap = 8, .f32_result = true}));
    }
    cases.push_back(linear_case({.dtype = dtype, .m = 2, .n = 0, .k = 8}));
    cases.push_back(linear_case({.dtype = dtype, .m = 1, .n = 700, .k = 1024, .bias = true}));
  }
  return cases;
}

inline std::vector<OpCase> quantized_linear_cases() {
  constexpr DType kE4M3 = DType::kF8E4M3;
  std::vector<OpCase> cases;
  for (const int64_t m : {0, 1, 3, 9, 37}) {
    // Whole blocks, and what is left of them where a shard begins inside one.
    for (const int64_t block : {128, 64, 32, 16, 4, 2, 1}) {
      cases.push_back(linear_case(
          {.dtype = kE4M3, .m = m, .n = 70, .k = 300, .block_n = 128, .block_k = block}));
      cases.push_back(linear_case(
          {.dtype = kE4M3, .m = m, .n = 70, .k = 300, .block_n = block, .block_k = 128}));
    }
    // Blocks narrower than a vector, of an odd width, and wider than the matrix.
    cases.push_back(
        linear_case({.dtype = kE4M3, .m = m, .n = 9, .k = 50, .block_n = 2, .block_k = 3}));
    cases.push_back(
        linear_case({.dtype = kE4M3, .m = m, .n = 9, .k = 600, .block_n = 4, .block_k = 37}));
    cases.push_back(
        linear_case({.dtype = kE4M3, .m = m, .n = 9, .k = 61, .gap = 5, .block_k = 512}));
    cases.push_back(linear_case({.dtype = kE4M3, .m = m, .n = 33, .k = 1037, .bias = true}));
  }
  return cases;
}

inline std::vector<OpCase> stacked_linear_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kF8E4M3}) {
    for (const std::vector<int64_t>& groups : std::vector<std::vector<int64_t>>{
             {1}, {0, 0}, {0, 3, 1, 0}, {12, 0, 1, 70}, {0, 1, 1, 0, 2, 0, 0, 4}}) {
      cases.push_back(linear_case({.dtype = dtype, .n = 53, .k = 150, .groups = groups}));
    }
    cases.push_back(
        linear_case({.dtype = dtype, .n = 20, .k = 48, .gap = 2, .block_k = 9, .groups = {2, 1}}));
    for (const int64_t m : {0, 1, 5, 19}) {
      cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 30, .k = 64, .heads = 3}));
      cases.push_back(
          linear_case({.dtype = dtype, .m = m, .n = 17, .k = 21, .gap = 1, .heads = 2}));
    }
  }
  return cases;
}

/// Shapes of real models. Weights of 128 MiB and more do not stay in a cache.
inline std::vector<OpCase> linear_bench_cases() {
  std::vector<OpCase> cases;
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32, DType::kF8E4M3}) {
    for (const int64_t m : {1, 2, 4, 8}) {
      cases.push_back(linear_case({.dtype = dtype, .m = m, .n = 32768, .k = 8192, .large = true}));
    }
    cases.push_back(linear_case({.dtype = dtype, .m = 1, .n = 1536, .k = 1536, .large = true}));
    cases.push_back(linear_case({.dtype = dtype, .m = 32, .n = 2048, .k = 2048, .large = true}));
    cases.push_back(linear_case({.dtype = dtype, .m = 256, .n = 2048, .k = 2048, .large = true}));
  }
  std::vector<int64_t> one_token(64, 0);
  for (size_t i = 0; i < 8; ++i) {
    one_token[i * 7] = 1;
  }
  cases.push_back(linear_case(
      {.dtype = DType::kF8E4M3, .n = 2048, .k = 2048, .groups = one_token, .large = true}));
  cases.push_back(linear_case(
      {.dtype = DType::kBF16, .m = 1, .n = 512, .k = 128, .heads = 128, .large = true}));
  return cases;
}

}  // namespace tutti::test
