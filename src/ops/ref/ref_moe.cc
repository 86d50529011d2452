// Mixture-of-experts bookkeeping of the reference.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// A NaN would poison every comparison after it, so it counts as the worst value there is.
float nan_to_worst(float x) {
  return std::isnan(x) ? kNever : x;
}

// Scores are rounded to f32, so that equal f32 scores tie here as they do on other backends.
void score_row(std::span<float> scores, const float* logits, RouterScoring scoring) {
  const int64_t n = ssize(scores.size());
  if (scoring == RouterScoring::kSigmoid) {
    for (int64_t i = 0; i < n; ++i) {
      const double z = nan_to_worst(logits[i]);
      scores[usize(i)] = static_cast<float>(1.0 / (1.0 + std::exp(-z)));
    }
    return;
  }
  float largest = kNever;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, nan_to_worst(logits[i]));
  }
  // The equality keeps infinities from turning into NaN.
  const auto shifted_exp = [&](int64_t i) {
    const float z = nan_to_worst(logits[i]);
    return z == largest ? 1.0 : std::exp(static_cast<double>(z) - largest);
  };
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    sum += shifted_exp(i);
  }
  for (int64_t i = 0; i < n; ++i) {
    scores[usize(i)] = static_cast<float>(shifted_exp(i) / sum);
  }
}

float sum_of_two_largest(std::span<const float> values) {
  float first = kNever;
  float second = kNever;
  for (const float v : values) {
    if (v > first) {
      second = std::exchange(first, v);
    } else if (v > second) {
      second = v;
    }
  }
  return values.size() > 1 ? first + second : first;
}

// Index of the largest value that is not taken yet, ties to the lower index; marks it taken.
int64_t take_largest(std::span<const float> values, std::span<uint8_t> taken) {
  int64_t best = -1;
  for (int64_t i = 0; i < ssize(values.size()); ++i) {
    if (taken[usize(i)] == 0 && (best < 0 || values[usize(i)] > values[usize(best)])) {
      best = i;
    }
  }
  TUTTI_CHECK_GE(best, 0);
  taken[usize(best)] = 1;
  return best;
}

struct RouteScratch {
  explicit RouteScratch(int64_t experts, int64_t groups)
      : scores(usize(experts)),
        choices(usize(experts)),
        taken(usize(experts)),
        group_scores(usize(groups)),
        group_taken(usize(groups)) {}

  std::vector<float> scores;
  std::vector<float> choices;
  std::vector<uint8_t> taken;
  std::vector<float> group_scores;
  std::vector<uint8_t> group_taken;
};

// Marks the experts of every group but the best ones as taken.
void limit_groups(RouteScratch& scratch, const RouterParams& params) {
  const size_t size = scratch.choices.size() / usize(params.num_groups);
  for (size_t g = 0; g < scratch.group_scores.size(); ++g) {
    scratch.group_scores[g] =
        sum_of_two_largest(std::span(scratch.choices).subspan(g * size, size));
  }
  std::fill(scratch.group_taken.begin(), scratch.group_taken.end(), uint8_t{0});
  std::fill(scratch.taken.begin(), scratch.taken.end(), uint8_t{1});
  for (int64_t i = 0; i < params.top_groups; ++i) {
    const size_t g = usize(take_largest(scratch.group_scores, scratch.group_taken));
    std::fill_n(scratch.taken.begin() + ssize(g * size), size, uint8_t{0});
  }
}

void route_row(int32_t* experts,
               float* weights,
               RouteScratch& scratch,
               const float* bias,
               const RouterParams& params) {
  for (size_t e = 0; e < scratch.scores.size(); ++e) {
    scratch.choices[e] = nan_to_worst(scratch.scores[e] + (bias == nullptr ? 0.0F : bias[e]));
  }
  if (params.num_groups > 1) {
    limit_groups(scratch, params);
  } else {
    std::fill(scratch.taken.begin(), scratch.taken.end(), uint8_t{0});
  }
  double sum = 0;
  for (int64_t j = 0; j < params.top_k; ++j) {
    const int64_t expert = take_largest(scratch.choices, scratch.taken);
    experts[j] = narrow<int32_t>(expert);
    weights[j] = scratch.scores[usize(expert)];
    sum += weights[j];
  }
  const double divisor = params.normalize ? sum + 1e-20 : 1.0;
  for (int64_t j = 0; j < params.top_k; ++j) {
    weights[j] = static_cast<float>(weights[j] / divisor * params.scale);
  }
}

}  // namespace

void RefOps::run(const op::MoeRoute& args) {
  RouteScratch scratch(args.logits.dim(1), args.params.num_groups);
  for (int64_t t = 0; t < args.logits.dim(0); ++t) {
    score_row(scratch.scores, row_of<float>(args.logits, t), args.params.scoring);
    route_row(row_of<int32_t>(args.experts, t),
              row_of<float>(args.weights, t),
              scratch,
              args.bias.defined() ? args.bias.data<float>() : nullptr,
              args.params);
  }
}

void RefOps::run(const op::MoePermute& args) {
  auto* begin = args.offsets.data<int32_t>();
  const int64_t count = args.offsets.dim(0) - 1;
  std::fill_n(begin, count + 1, 0);
  for (int64_t t = 0; t < args.experts.dim(0); ++t) {
    for (int64_t j = 0; j < args.experts.dim(1); ++j) {
      const int32_t e = row_of<int32_t>(args.experts, t)[j];
      TUTTI_CHECK(e >= 0 && e < count);
      ++begin[e + 1];
    }
  }
  for (int64_t e = 0; e < count; ++e) {
    begin[e + 1] += begin[e];
  }
  // begin[e] walks to the end of expert e while its rows are handed out, then all move back by one.
  for (int64_t t = 0; t < args.experts.dim(0); ++t) {
    for (int64_t j = 0; j < args.experts.dim(1); ++j) {
      const int32_t row = begin[row_of<int32_t>(args.experts, t)[j]]++;
      row_of<int32_t>(args.pair_row, t)[j] = row;
      args.row_token.data<int32_t>()[row] = narrow<int32_t>(t);
    }
  }
  for (int64_t e = count; e > 0; --e) {
    begin[e] = begin[e - 1];
  }
  begin[0] = 0;
}

void RefOps::run(const op::MoeCombine& args) {
  for (int64_t t = 0; t < args.y.dim(0); ++t) {
    for (int64_t i = 0; i < args.y.dim(1); ++i) {
      double sum = 0;
      for (int64_t j = 0; j < args.pair_row.dim(1); ++j) {
        const int64_t row = row_of<int32_t>(args.pair_row, t)[j];
        sum +=
            static_cast<double>(row_of<float>(args.weights, t)[j]) * row_of<float>(args.x, row)[i];
      }
      const double added = args.added.defined() ? row_of<float>(args.added, t)[i] : 0.0;
      row_of<float>(args.y, t)[i] = static_cast<float>(sum + added);
    }
  }
}

}  // namespace tutti
