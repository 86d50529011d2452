// Owning host tensors for the op tests and op_bench: filled from a seed, optionally with gaps
// between rows, so that strided views are as easy to make as contiguous ones.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/checked.h"
#include "tensor/tensor_view.h"

namespace tutti::test {

class HostTensor {
 public:
  HostTensor() = default;

  /// All zero. `row_gap` elements lie between two rows of the last dimension.
  HostTensor(DType dtype, const Shape& shape, int64_t row_gap = 0) : dtype_(dtype), shape_(shape) {
    Shape strides = shape;
    int64_t stride = 1;
    for (int i = shape.rank() - 1; i >= 0; --i) {
      strides[i] = stride;
      stride *= shape[i];
      if (i == shape.rank() - 1) {
        stride += row_gap;
      }
    }
    strides_ = strides;
    // At least one element, so that an empty tensor still has an address.
    bytes_.resize(usize(std::max<int64_t>(stride, 1) * dtype_size(dtype)));
  }

  TensorView view() { return {bytes_.data(), dtype_, shape_, strides_}; }

  ConstTensorView view() const { return {bytes_.data(), dtype_, shape_, strides_}; }

  const Shape& shape() const { return shape_; }

  DType dtype() const { return dtype_; }

  template <class T>
  T* data() {
    return reinterpret_cast<T*>(bytes_.data());
  }

  template <class T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes_.data());
  }

  const std::vector<std::byte>& bytes() const { return bytes_; }

  /// Every element (gaps too) from `next()`, rounded to the stored type.
  template <class Next>
  HostTensor& fill(const Next& next) {
    const int64_t n = ssize(bytes_.size()) / dtype_size(dtype_);
    for (int64_t i = 0; i < n; ++i) {
      set(i, next());
    }
    return *this;
  }

  HostTensor& fill_normal(uint32_t seed, float sigma = 1.0F) {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal(0.0F, sigma);
    return fill([&] { return normal(engine); });
  }

  /// Normal values that repeat after a while: fast enough for gigabytes.
  HostTensor& fill_repeating(uint32_t seed, float sigma) {
    constexpr int64_t kPeriod = 65521;  // prime, so that rows differ
    const HostTensor period = std::move(HostTensor(dtype_, {kPeriod}).fill_normal(seed, sigma));
    const size_t period_bytes = usize(kPeriod * dtype_size(dtype_));
    for (size_t i = 0; i < bytes_.size(); i += period_bytes) {
      std::memcpy(&bytes_[i], period.bytes_.data(), std::min(period_bytes, bytes_.size() - i));
    }
    return *this;
  }

  /// Element i of the memory.
  void set(int64_t i, float value) {
    switch (dtype_) {
      case DType::kF32:
        data<float>()[i] = value;
        return;
      case DType::kF16:
        data<F16>()[i] = to_f16(value);
        return;
      case DType::kBF16:
        data<BF16>()[i] = to_bf16(value);
        return;
      case DType::kF8E4M3:
        data<F8E4M3>()[i] = to_f8e4m3(value);
        return;
      default:
        data<int32_t>()[i] = static_cast<int32_t>(value);
    }
  }

  /// The same shape and gaps with every element (gaps too) rounded to a float type.
  HostTensor as(DType dtype) const {
    HostTensor copy;
    copy.dtype_ = dtype;
    copy.shape_ = shape_;
    copy.strides_ = strides_;
    const int64_t n = ssize(bytes_.size()) / dtype_size(dtype_);
    copy.bytes_.resize(usize(n * dtype_size(dtype)));
    for (int64_t i = 0; i < n; ++i) {
      copy.set(i, dtype_ == DType::kBF16 ? to_float(data<BF16>()[i]) : data<float>()[i]);
    }
    return copy;
  }

  /// The elements of an f32 or bf16 tensor in order, without gaps.
  std::vector<float> values() const {
    return dtype_ == DType::kBF16 ? as(DType::kF32).gather<float>() : gather<float>();
  }

  std::vector<int32_t> ints() const { return gather<int32_t>(); }

 private:
  template <class T>
  std::vector<T> gather() const {
    std::vector<T> out;
    const int64_t width = shape_.rank() == 0 ? 1 : shape_[shape_.rank() - 1];
    const int64_t rows = width == 0 ? 0 : shape_.numel() / width;
    const int64_t stride = shape_.rank() < 2 ? width : strides_[shape_.rank() - 2];
    for (int64_t r = 0; r < rows; ++r) {
      const T* row = data<T>() + r * stride;
      out.insert(out.end(), row, row + width);
    }
    return out;
  }

  DType dtype_ = DType::kF32;
  Shape shape_;
  Shape strides_;
  std::vector<std::byte> bytes_;
};

inline HostTensor ints(const std::vector<int32_t>& values) {
  HostTensor t(DType::kI32, {ssize(values.size())});
  if (!values.empty()) {
    std::memcpy(t.data<int32_t>(), values.data(), values.size() * sizeof(int32_t));
  }
  return t;
}

inline HostTensor floats(const Shape& shape, const std::vector<float>& values) {
  HostTensor t(DType::kF32, shape);
  if (!values.empty()) {
    std::memcpy(t.data<float>(), values.data(), values.size() * sizeof(float));
  }
  return t;
}

}  // namespace tutti::test
