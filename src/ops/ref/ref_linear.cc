// Matrix products of the reference: one row of the weight at a time, as its format defines it.
#include <vector>

#include "base/checked.h"
#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

void linear_row(float* y, const float* x, const WeightView& weight, int64_t g, const float* bias) {
  std::vector<float> w(usize(weight.cols()));
  for (int64_t n = 0; n < weight.rows(); ++n) {
    weight.format().dequantise(weight.row(g, n), weight.cols(), w.data());
    double sum = 0;
    for (int64_t k = 0; k < weight.cols(); ++k) {
      sum += static_cast<double>(x[k]) * w[usize(k)];
    }
    y[n] = static_cast<float>(bias == nullptr ? sum : sum + bias[n]);
  }
}

}  // namespace

void RefOps::run(const op::Linear& args) {
  const float* bias_data = args.bias.defined() ? args.bias.data<float>() : nullptr;
  for (int64_t t = 0; t < args.x.dim(0); ++t) {
    linear_row(row_of<float>(args.y, t), row_of<float>(args.x, t), args.weight, 0, bias_data);
  }
}

void RefOps::run(const op::GroupedLinear& args) {
  const auto* begin = args.offsets.data<int32_t>();
  for (int64_t g = 0; g < args.weight.groups(); ++g) {
    for (int64_t r = begin[g]; r < begin[g + 1]; ++r) {
      linear_row(row_of<float>(args.y, r), row_of<float>(args.x, r), args.weight, g, nullptr);
    }
  }
}

void RefOps::run(const op::BatchedLinear& args) {
  for (int64_t t = 0; t < args.x.dim(0); ++t) {
    for (int64_t h = 0; h < args.x.dim(1); ++h) {
      linear_row(row_of<float>(args.y, t, h), row_of<float>(args.x, t, h), args.weight, h, nullptr);
    }
  }
}

}  // namespace tutti
