// What sampling needs beside the draw itself.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

void RefOps::do_log_probs(TensorView ids,
                          TensorView values,
                          ConstTensorView tokens,
                          ConstTensorView logits,
                          int64_t limit,
                          ConstTensorView counts) {
  std::vector<int32_t> best(usize(logits.dim(0)));
  do_argmax(TensorView(best.data(), DType::kI32, {ssize(best)}), logits, limit);
  for (int64_t r = 0; r < logits.dim(0); ++r) {
    const int64_t count = counts.data<int32_t>()[r];
    if (count < 0) {
      continue;
    }
    const float* row = row_of<float>(logits, r);
    int32_t* id = row_of<int32_t>(ids, r);
    float* value = row_of<float>(values, r);
    std::fill_n(id, count, -1);
    std::fill_n(value, 1 + count, -kInfinity);
    if (best[usize(r)] < 0) {
      continue;
    }
    const double largest = row[best[usize(r)]];
    double sum = 0;
    for (int64_t i = 0; i < limit; ++i) {
      sum += std::exp(static_cast<double>(row[i]) - largest);
    }
    const double log_sum = largest + std::log(sum);
    const auto log_prob = [&](int64_t i) {
      return static_cast<float>(static_cast<double>(row[i]) - log_sum);
    };
    if (const int32_t token = tokens.data<int32_t>()[r]; token >= 0 && token < limit) {
      value[0] = log_prob(token);
    }
    std::vector<int32_t> order(usize(limit));
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
