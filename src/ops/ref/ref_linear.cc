// Matrix products of the reference: one element of the weight at a time, as WeightView defines it.
#include "ops/ref/ref_ops.h"
#include "ops/strided.h"

namespace tutti {

namespace {

// w[g, n, k] as a real number.
double element(const WeightView& weight, int64_t g, int64_t n, int64_t k) {
  const ConstTensorView& data = weight.data;
  const int64_t at = (data.rank() == 3 ? g * data.stride(0) : 0) + n * data.stride(-2) + k;
  switch (data.dtype()) {
    case DType::kF32:
      return data.data<float>()[at];
    case DType::kF16:
      return to_float(data.data<F16>()[at]);
    case DType::kBF16:
      return to_float(data.data<BF16>()[at]);
    default:
      break;
  }
  const ConstTensorView& scales = weight.scales;
  const int64_t scale_at = (scales.rank() == 3 ? g * scales.stride(0) : 0) +
                           weight.scale_row.data<int32_t>()[n] * scales.stride(-2) +
                           (k + weight.phase_k) / weight.block_k;
  return static_cast<double>(to_float(data.data<F8E4M3>()[at])) * scales.data<float>()[scale_at];
}

void linear_row(float* y, const float* x, const WeightView& weight, int64_t g, const float* bias) {
  for (int64_t n = 0; n < weight.rows(); ++n) {
    double sum = 0;
    for (int64_t k = 0; k < weight.cols(); ++k) {
      sum += x[k] * element(weight, g, n, k);
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
