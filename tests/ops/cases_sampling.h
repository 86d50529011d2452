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

inline std::vector<OpCase> sampling_cases() {
  std::vector<OpCase> cases;
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
  return {log_probs_case(64, 152064, 152064, 20, 3.0F, false)};
}

}  // namespace tutti::test
