// Dimensions of a tensor, outermost first. At most kMaxRank of them, no heap.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/check.h"
#include "base/checked.h"

namespace tutti {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;

  Shape(std::initializer_list<int64_t> dims) {
    for (const int64_t d : dims) {
      push_back(d);
    }
  }

  int rank() const { return rank_; }

  int64_t operator[](int i) const { return dims_[static_cast<size_t>(i)]; }

  int64_t& operator[](int i) { return dims_[static_cast<size_t>(i)]; }

  void push_back(int64_t dim) {
    TUTTI_CHECK_LT(rank_, kMaxRank);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }

  /// Number of elements; shapes are built from checked sizes, so no overflow is possible here.
  int64_t numel() const {
    int64_t n = 1;
    for (int i = 0; i < rank_; ++i) {
      n *= (*this)[i];
    }
    return n;
  }

  bool operator==(const Shape& other) const {
    if (rank_ != other.rank_) {
      return false;
    }
    for (int i = 0; i < rank_; ++i) {
      if ((*this)[i] != other[i]) {
        return false;
      }
    }
    return true;
  }

  /// "[4096, 11008]"
  std::string to_string() const {
    std::string s = "[";
    for (int i = 0; i < rank_; ++i) {
      s += (i == 0 ? "" : ", ") + std::to_string((*this)[i]);
    }
    return s + "]";
  }

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace tutti
