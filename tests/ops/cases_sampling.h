// Ops that sampling takes beside the choice itself.
#pragma once
#include <array>

#include "ops/cases_rows.h"

namespace tutti::test {

/// Every row wants another number of ids: -1, 0, some, all n. `ties`: few different logits.
inline OpCase log_probs_case(
    int64_t rows, int64_t vocab, int64_t limit, int64_t n, float sigma, bool ties) {
  OpCase c{.name = shape_name("log_probs", {rows, vocab}, 3) + " limit " + std::to_string(limit) +
                   " sigma " + std::to_string(sigma) + (ties ? " ties" : ""),
           .tolerance = {.absolute = 2e-6, .each = std::numeric_limits<float>::epsilon()}};
  c.bytes = f32_bytes({rows, limit}, 1);
  c.prepare = [=](PreparedOp& op) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
    HostTensor logits = std::move(HostTensor(DType::kF32, {rows, vocab}, 3).fill_normal(1, sigma));
    const int64_t stride = vocab + 3;
    for (int64_t i = 0; ties && i < rows * stride; ++i) {
      logits.set(i, std::round(logits.data<float>()[i]));
    }
    std::vector<int32_t> counts;
    std::vector<int32_t> chosen;
    for (int64_t r = 0; r < rows; ++r) {
      counts.push_back(narrow<int32_t>(std::array<int64_t, 5>{n, -1, n / 2, 0, n}[usize(r % 5)]));
      // Some tokens are none, or none of these.
      chosen.push_back(narrow<int32_t>(r % 6 == 4 ? -1 : r % 6 == 5 ? limit : (r * 7919) % limit));
      for (int64_t i = limit; i < vocab; ++i) {
        logits.set(r * stride + i, 100.0F);  // likelier than any that counts
      }
      const int64_t few = std::min<int64_t>(limit, 3);
      switch (r % 9) {
        case 2:  // an unlikely id, and a chosen one, that cannot come
          logits.set(r * stride + limit / 2, -kInfinity);
          logits.set(r * stride + chosen.back() % limit, -kInfinity);
          break;
        case 4:  // fewer ids than wanted can come
          for (int64_t i = few; i < limit; ++i) {
            logits.set(r * stride + i, -kInfinity);
          }
          break;
        case 5:
          logits.set(r * stride + limit / 2, kNan);
          break;
        case 6:
          logits.set(r * stride, kInfinity);
          break;
        case 7:  // none can come
          for (int64_t i = 0; i < limit; ++i) {
            logits.set(r * stride + i, -kInfinity);
          }
          break;
        case 8:  // the likely ones are neighbours
          for (int64_t i = 0; i < std::min<int64_t>(limit, 40); ++i) {
            logits.set(r * stride + i, 30.0F + static_cast<float>(i * 17 % 40));
          }
          break;
        default:
          break;
      }
    }
    const TensorView ids =
        op.output(std::move(HostTensor(DType::kI32, {rows, n}, 1).fill([] { return -7.0F; })));
    const TensorView values = op.output(normal({rows, 1 + n}, 3, 2));
    const TensorView tokens = op.input(ints(chosen));
    const TensorView view = op.input(std::move(logits));
    const TensorView count_view = op.input(ints(counts));
    op.set_call([=](Ops& ops) { ops.log_probs(ids, values, tokens, view, limit, count_view); });
  };
  return c;
}

/// Rows with other settings each: masks, edits, penalties, padding, and logits that are -inf. After
/// adjusting, what argmax finds is taken, also where it is nothing.
inline OpCase adjust_case(int64_t rows, int64_t vocab, int64_t limit) {
  OpCase c{
      .name = shape_name("adjust_logits", {rows, vocab}, 3) + " limit " + std::to_string(limit),
      .tolerance = exact()};
  c.bytes = f32_bytes({rows, limit}, 3);
  c.prepare = [=](PreparedOp& op) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr int64_t kEdits = 300;
    const int64_t states = rows + 2;
    const int64_t words = (vocab + 31) / 32;
    std::mt19937_64 random(11);
    const auto below = [&random](int64_t end) {
      return static_cast<int64_t>(random() % static_cast<uint64_t>(end));
    };
    HostTensor logits =
        std::move(HostTensor(DType::kF32, {rows + 1, vocab}, 3).fill_normal(1, 4.0F));
    HostTensor seen(DType::kI32, {states, vocab}, 1);
    HostTensor allowed(DType::kI32, {states, words}, 2);
    HostTensor edits(DType::kI32, {states, kEdits, 3});
    std::vector<AdjustParams> params;
    std::vector<int32_t> chosen(usize(rows + 1), 5);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t state = rows - i;
      const int64_t count = std::array<int64_t, 4>{0, 1, 40, kEdits}[usize(i % 4)];
      params.push_back({.row = i % 7 == 3 ? -1 : narrow<int32_t>((i + 1) % (rows + 1)),
                        .state = narrow<int32_t>(state),
                        .flags = narrow<int32_t>(i % 8),
                        .edits = narrow<int32_t>(std::min(count, vocab / 7)),
                        .repetition = std::array{1.0F, 1.3F, 0.7F, 1e-38F}[usize(i % 4)],
                        .frequency = std::array{0.0F, 0.37F, -1.1F}[usize(i % 3)],
                        .presence = std::array{0.9F, 0.0F}[usize(i % 2)]});
      chosen[usize(i)] = i % 5 == 4 ? -1 : 5;
      for (int64_t t = 0; t < vocab; ++t) {
        const int64_t kind = below(8);
        seen.data<int32_t>()[state * (vocab + 1) + t] = kind == 0   ? 1
                                                        : kind == 1 ? narrow<int32_t>(below(40))
                                                                    : 0;
      }
      for (int64_t w = 0; w < words; ++w) {
        allowed.data<int32_t>()[state * (words + 2) + w] =
            i % 6 == 1 ? 0 : static_cast<int32_t>(random());  // nothing, or half of them
      }
      for (int64_t e = 0; e < params.back().edits; ++e) {
        int32_t* edit = edits.data<int32_t>() + (state * kEdits + e) * 3;
        edit[0] = narrow<int32_t>(e * 7 + i % 7);  // some beyond the limit
        const float bias = std::array{-kInfinity, 100.0F, -2.5F, 0.0F}[usize(below(4))];
        std::memcpy(edit + 1, &bias, sizeof bias);
        edit[2] = narrow<int32_t>(below(2));
      }
      logits.set((i + 1) * (vocab + 3) + limit / 2, -kInfinity);
    }
    HostTensor row_words(DType::kI32, {rows, 7});
    if (!params.empty()) {
      std::memcpy(row_words.data<int32_t>(), params.data(), params.size() * sizeof(AdjustParams));
    }
    const TensorView y = op.output(normal({rows, vocab}, 3, 2));
    const TensorView chosen_view = op.output(ints(chosen));
    const AdjustTables tables{.seen = op.output(std::move(seen)),
                              .allowed = op.input(std::move(allowed)),
                              .edits = op.input(std::move(edits))};
    const TensorView tokens = op.output(HostTensor(DType::kI32, {rows}));
    const TensorView view = op.input(std::move(logits));
    const TensorView row_view = op.input(std::move(row_words));
    op.set_call([=](Ops& ops) {
      ops.adjust_logits(y, view, limit, tables, row_view);
      ops.argmax(tokens, y, limit);
      ops.take_adjusted(chosen_view, tables, tokens, row_view);
    });
  };
  return c;
}

inline std::vector<OpCase> sampling_cases() {
  std::vector<OpCase> cases;
  for (const int64_t rows : {0, 1, 64}) {
    cases.push_back(adjust_case(rows, 50, 50));
    cases.push_back(adjust_case(rows, 50, 41));
    cases.push_back(adjust_case(rows, 9001, 9000));
  }
  for (const int64_t rows : {0, 1, 60}) {
    for (const bool ties : {false, true}) {
      cases.push_back(log_probs_case(rows, 50, 47, 20, 1.5F, ties));
      cases.push_back(log_probs_case(rows, 50, 5, 20, 1.5F, ties));
      cases.push_back(log_probs_case(rows, 50, 1, 20, 1.5F, ties));
      cases.push_back(log_probs_case(rows, 20011, 20000, 20, 3.0F, ties));
      cases.push_back(log_probs_case(rows, 20011, 20000, 32, 0.2F, ties));
      cases.push_back(log_probs_case(rows, 20000, 20000, 0, 3.0F, ties));
    }
  }
  return cases;
}

inline std::vector<OpCase> sampling_bench_cases() {
  return {log_probs_case(64, 152064, 152064, 20, 3.0F, false), adjust_case(64, 152064, 152064)};
}

}  // namespace tutti::test
