// Predicted against measured (bench/results/2026-11-25-cuda-2.md, 2026-11-30-two-gpus.md): the
// issue wants 15 %.
#include <gmock/gmock.h>

#include "plan/planner.h"

namespace tutti {
namespace {

struct Measured {
  const char* model;
  int ranks;
  int64_t batch;
  double context;
  double tokens_per_second;
};

double predicted(const Measured& m) {
  const Result<Catalogue> catalogue = Catalogue::load();
  const ModelFacts facts = *facts_of(*catalogue->find(m.model));
  const ModelShape shape = *model_shape(facts);
  const SplitNeed need = *split_need(facts, m.ranks, {}, DType::kBF16);
  double elements = static_cast<double>(shape.dense_elements);
  if (shape.experts > 0) {
    elements += static_cast<double>(shape.expert_elements * shape.experts_per_token) /
                static_cast<double>(shape.experts);
  }
  const auto rows = static_cast<double>(m.batch);
  const StepWork work{.weights = need.ranks.front().weights,
                      .layers = shape.layers,
                      .ranks = m.ranks,
                      .rows = rows,
                      .sequences = rows,
                      .context = m.context,
                      .kv_token_bytes = static_cast<double>(need.ranks.front().kv_token_bytes),
                      .elements = elements / m.ranks,
                      .expert_rows = rows,
                      .fp8 = facts.format.name == "fp8"};
  const double seconds = compute_seconds(work, shape, rates_of(find_gpu_model("H200"))) +
                         reduce_seconds(shape, m.ranks, rows, rates_of(LinkKind::kNvlink));
  return rows / seconds;
}

TEST(PlanSpeed, MatchesMeasurements) {
  for (const Measured& m : {Measured{"qwen2.5-7b", 1, 1, 192, 259.5},
                            Measured{"qwen2.5-7b", 1, 64, 192, 13'433},
                            Measured{"qwen2.5-7b", 1, 256, 192, 31'182},
                            Measured{"qwen2.5-7b", 1, 64, 4'096, 7'994},
                            Measured{"qwen2.5-7b", 2, 1, 192, 413},
                            Measured{"qwen2.5-7b", 2, 256, 192, 49'879},
                            Measured{"llama-3.1-8b", 1, 1, 192, 237},
                            Measured{"llama-3.1-8b", 1, 64, 4'096, 5'019},
                            Measured{"qwen2.5-32b", 1, 1, 160, 61.2},
                            Measured{"qwen2.5-32b", 2, 1, 160, 108.9},
                            Measured{"llama-3.1-70b", 1, 1, 160, 28.9},
                            Measured{"llama-3.1-70b", 2, 1, 160, 53.3},
                            Measured{"qwen3-30b-a3b", 1, 1, 160, 328},
                            Measured{"qwen3-30b-a3b", 1, 16, 160, 1329},
                            Measured{"qwen3-30b-a3b", 1, 64, 160, 3882},
                            Measured{"qwen3-30b-a3b", 1, 256, 160, 13204},
                            Measured{"qwen2.5-7b", 2, 64, 192, 19'673},
                            Measured{"qwen3-30b-a3b", 2, 1, 192, 402.5},
                            // One rank of eight alone, and 5 us for each of 122 sums.
                            Measured{"deepseek-r1", 8, 1, 4'048, 192.1},
                            Measured{"deepseek-r1", 8, 8, 2'064, 605.7},
                            Measured{"deepseek-r1", 8, 16, 2'064, 834.5},
                            Measured{"deepseek-r1", 8, 64, 2'044, 1'981}}) {
    const double ours = predicted(m);
    EXPECT_NEAR(ours / m.tokens_per_second, 1, 0.15)
        << m.model << ", " << m.batch << " at once on " << m.ranks << ": " << ours << " for "
        << m.tokens_per_second;
    RecordProperty(fmt::format("{}_{}_{}", m.model, m.batch, m.ranks), fmt::format("{:.1f}", ours));
    std::printf("%s x %d, batch %d: measured %.1f, predicted %.1f\n",
                m.model,
                m.ranks,
                static_cast<int>(m.batch),
                m.tokens_per_second,
                ours);
  }
}

}  // namespace
}  // namespace tutti
