// Non-owning views: dtype, shape, strides (in elements), pointer. Row-major, PyTorch's dimension
// order; the last dimension is always contiguous. No operators, no hidden copies.
#pragma once
#include <cstddef>
#include <type_traits>

#include "tensor/dtype.h"
#include "tensor/shape.h"

namespace tutti {

/// `Void` is void or const void; use the aliases TensorView and ConstTensorView.
template <class Void>
class BasicTensorView {
 public:
  template <class T>
  using Pointer = std::conditional_t<std::is_const_v<Void>, const T*, T*>;

  BasicTensorView() = default;

  BasicTensorView(Void* data, DType dtype, const Shape& shape)
      : data_(data), dtype_(dtype), shape_(shape) {
    int64_t stride = 1;
    for (int i = 0; i < shape.rank(); ++i) {
      strides_.push_back(0);
    }
    for (int i = shape.rank() - 1; i >= 0; --i) {
      strides_[i] = stride;
      stride *= shape[i];
    }
  }

  BasicTensorView(Void* data, DType dtype, const Shape& shape, const Shape& strides)
      : data_(data), dtype_(dtype), shape_(shape), strides_(strides) {}

  // A mutable view is also a const view.
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator BasicTensorView<const void>() const { return {data_, dtype_, shape_, strides_}; }

  bool defined() const { return data_ != nullptr; }

  Void* raw() const { return data_; }

  DType dtype() const { return dtype_; }

  const Shape& shape() const { return shape_; }

  const Shape& strides() const { return strides_; }

  int rank() const { return shape_.rank(); }

  int64_t dim(int i) const { return shape_[i < 0 ? i + shape_.rank() : i]; }

  int64_t stride(int i) const { return strides_[i < 0 ? i + shape_.rank() : i]; }

  int64_t numel() const { return shape_.numel(); }

  int64_t bytes() const { return numel() * dtype_size(dtype_); }

  bool contiguous() const {
    int64_t expected = 1;
    for (int i = rank() - 1; i >= 0; --i) {
      if (shape_[i] != 1 && strides_[i] != expected) {
        return false;
      }
      expected *= shape_[i];
    }
    return true;
  }

  template <class T>
  Pointer<T> data() const {
    TUTTI_CHECK_EQ(static_cast<int>(dtype_), static_cast<int>(DTypeOf<T>::kValue));
    return static_cast<Pointer<T>>(data_);
  }

  /// Elements [begin, begin + count) of dimension `axis`.
  BasicTensorView slice(int axis, int64_t begin, int64_t count) const {
    TUTTI_CHECK(begin >= 0 && count >= 0 && begin + count <= shape_[axis]);
    BasicTensorView v = *this;
    v.data_ = offset(begin * strides_[axis]);
    v.shape_[axis] = count;
    return v;
  }

  /// Element i of dimension 0, one rank lower.
  BasicTensorView at(int64_t i) const {
    TUTTI_CHECK(i >= 0 && i < shape_[0]);
    BasicTensorView v;
    v.data_ = offset(i * strides_[0]);
    v.dtype_ = dtype_;
    for (int d = 1; d < rank(); ++d) {
      v.shape_.push_back(shape_[d]);
      v.strides_.push_back(strides_[d]);
    }
    return v;
  }

  /// Same elements, new shape; the view must be contiguous.
  BasicTensorView reshape(const Shape& shape) const {
    TUTTI_CHECK(contiguous());
    TUTTI_CHECK_EQ(shape.numel(), numel());
    return {data_, dtype_, shape};
  }

 private:
  Void* offset(int64_t elements) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
    return static_cast<Byte*>(data_) + elements * dtype_size(dtype_);
  }

  Void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
  Shape strides_;
};

using TensorView = BasicTensorView<void>;
using ConstTensorView = BasicTensorView<const void>;

}  // namespace tutti
