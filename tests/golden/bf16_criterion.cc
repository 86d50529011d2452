#include "golden/bf16_criterion.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

namespace tutti::testing {

namespace {

double nmse_of(std::span<const float> got, std::span<const float> want) {
  TUTTI_CHECK_EQ(got.size(), want.size());
  double error2 = 0;
  double want2 = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    error2 += difference * difference;
    want2 += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::isfinite(error2) ? error2 / want2 : std::numeric_limits<double>::infinity();
}

double median_row_nmse(const std::vector<float>& got, const NpyMatrix& want) {
  std::vector<double> rows;
  const auto cols = usize(want.cols);
  for (size_t begin = 0; begin < got.size(); begin += cols) {
    rows.push_back(
        nmse_of(std::span(got).subspan(begin, cols), std::span(want.values).subspan(begin, cols)));
  }
  std::nth_element(rows.begin(), rows.begin() + ssize(rows) / 2, rows.end());
  return rows[rows.size() / 2];
}

}  // namespace

double nmse(const std::vector<float>& got, const std::vector<float>& want) {
  return nmse_of(got, want);
}

double bf16_error_over_tolerance(const Golden& golden, const std::vector<float>& got) {
  const double all = nmse(got, golden.logits.values);
  if (golden.steady_experts) {
    return all / (kBf16Factor * golden.bf16.nmse);
  }
  const double rows = median_row_nmse(got, golden.logits) / golden.bf16.row_nmse;
  return std::max(rows / kBf16Factor, all / kBf16Flips);
}

double bf16_clear_gap(const Golden& golden) {
  return 4.0 * golden.bf16.gap;
}

std::vector<std::string> fast_attention_fixtures() {
  std::vector<std::string> names = fixture_names();
  std::erase_if(names, [](const std::string& name) {
    return name.find("_d64_bf16") == name.npos && name.find("_d128_bf16") == name.npos;
  });
  return names;
}

std::vector<Mistake> bf16_mistakes(const std::string& fixture) {
  std::vector<Mistake> mistakes{Mistake::kNormsDropped,
                                Mistake::kNormWeightsOne,
                                Mistake::kRopePairing,
                                Mistake::kRopeBase,
                                Mistake::kSoftmaxScale,
                                Mistake::kKvHeads,
                                Mistake::kOwnKeyUnseen};
  const auto add = [&](std::initializer_list<Mistake> more) {
    mistakes.insert(mistakes.end(), more);
  };
  if (fixture.starts_with("qwen2_")) {
    add({Mistake::kBiasIgnored});
  }
  if (fixture.starts_with("qwen3")) {
    add({Mistake::kHeadNormsDropped, Mistake::kHeadWeightsOne});
  }
  if (fixture.starts_with("minimax_")) {
    add({Mistake::kHeadNormsDropped, Mistake::kHeadWeightsOne});
  }
  if (fixture.starts_with("qwen3moe_")) {
    add({Mistake::kRouterNormalize, Mistake::kRouterScoring});
  }
  return mistakes;
}

}  // namespace tutti::testing
