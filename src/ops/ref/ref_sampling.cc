// What sampling needs beside the draw itself.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();

AdjustParams params_of(ConstTensorView rows, int64_t i) {
  AdjustParams params;
  std::memcpy(static_cast<void*>(&params), row_of<int32_t>(rows, i), sizeof params);
  return params;
}

float biased(float logit, const int32_t* edit, const AdjustParams& params) {
  const bool end = edit[2] != 0;
  const bool forbidden = end && (params.flags & AdjustParams::kEndsForbidden) != 0;
  return forbidden ? -kInfinity : std::min(logit + std::bit_cast<float>(edit[1]), kLargest);
}

float penalised(float logit, int32_t seen, const AdjustParams& params) {
  if (seen != 0) {
    logit = logit > 0.0F ? logit / params.repetition : logit * params.repetition;
    logit = std::min(logit, kLargest);
  }
  if (const int32_t count = seen / 2; count > 0) {
    const float usage = params.frequency * static_cast<float>(count);
    logit -= usage + params.presence;
  }
  return logit;
}

}  // namespace

void RefOps::run(const op::AdjustLogits& args) {
  for (int64_t i = 0; i < args.y.dim(0); ++i) {
    const AdjustParams params = params_of(args.rows, i);
    if (params.row < 0) {
      continue;
    }
    float* out = row_of<float>(args.y, i);
    std::copy_n(row_of<float>(args.logits, params.row), args.limit, out);
    const auto* allowed = row_of<int32_t>(args.tables.allowed, params.state);
    for (int64_t t = 0; (params.flags & AdjustParams::kMasked) != 0 && t < args.limit; ++t) {
      const uint32_t word = static_cast<uint32_t>(allowed[t / 32]);
      out[t] = (word >> (t % 32) & 1U) != 0 ? out[t] : -kInfinity;
    }
    for (int64_t e = 0; e < params.edits; ++e) {
      const int32_t* edit = row_of<int32_t>(args.tables.edits, params.state, e);
      if (edit[0] < args.limit) {
        out[edit[0]] = biased(out[edit[0]], edit, params);
      }
    }
    const int32_t* seen = row_of<int32_t>(args.tables.seen, params.state);
    for (int64_t t = 0; (params.flags & AdjustParams::kPenalised) != 0 && t < args.limit; ++t) {
      out[t] = penalised(out[t], seen[t], params);
    }
  }
}

void RefOps::run(const op::TakeAdjusted& args) {
  for (int64_t i = 0; i < args.tokens.dim(0); ++i) {
    const AdjustParams params = params_of(args.rows, i);
    const int32_t token = args.tokens.data<int32_t>()[i];
    if (params.row < 0 || args.sampled.data<int32_t>()[params.row] < 0) {
      continue;
    }
    args.sampled.data<int32_t>()[params.row] = token < 0 ? -2 : token;
    if (token >= 0 && (params.flags & AdjustParams::kPenalised) != 0) {
      row_of<int32_t>(args.tables.seen, params.state)[token] += 2;
    }
  }
}

void RefOps::run(const op::LogProbs& args) {
  std::vector<int32_t> best(usize(args.logits.dim(0)));
  argmax(TensorView(best.data(), DType::kI32, {ssize(best)}), args.logits, args.limit);
  for (int64_t r = 0; r < args.logits.dim(0); ++r) {
    const int64_t count = args.counts.data<int32_t>()[r];
    if (count < 0) {
      continue;
    }
    const float* row = row_of<float>(args.logits, r);
    int32_t* id = row_of<int32_t>(args.ids, r);
    float* value = row_of<float>(args.values, r);
    std::fill_n(id, count, -1);
    std::fill_n(value, 1 + count, -kInfinity);
    if (best[usize(r)] < 0) {
      continue;
    }
    const double largest = row[best[usize(r)]];
    double sum = 0;
    for (int64_t i = 0; i < args.limit; ++i) {
      sum += std::exp(static_cast<double>(row[i]) - largest);
    }
    const double log_sum = largest + std::log(sum);
    const auto log_prob = [&](int64_t i) {
      return static_cast<float>(static_cast<double>(row[i]) - log_sum);
    };
    if (const int32_t token = args.tokens.data<int32_t>()[r]; token >= 0 && token < args.limit) {
      value[0] = log_prob(token);
    }
    std::vector<int32_t> order(usize(args.limit));
    std::iota(order.begin(), order.end(), 0);
    std::erase_if(order, [row](int32_t i) { return row[i] == -kInfinity; });
    std::stable_sort(
        order.begin(), order.end(), [row](int32_t a, int32_t b) { return row[a] > row[b]; });
    for (int64_t j = 0; j < std::min(count, ssize(order)); ++j) {
      id[j] = order[usize(j)];
      value[1 + j] = log_prob(id[j]);
    }
  }
}

}  // namespace tutti
