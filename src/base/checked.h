// Overflow-checked integer arithmetic for sizes that come from files and requests.
#pragma once
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include "base/check.h"

namespace tutti {

template <std::integral T>
std::optional<T> checked_mul(T a, T b) {
  T out{};
  return __builtin_mul_overflow(a, b, &out) ? std::nullopt : std::optional<T>(out);
}

template <std::integral T>
std::optional<T> checked_add(T a, T b) {
  T out{};
  return __builtin_add_overflow(a, b, &out) ? std::nullopt : std::optional<T>(out);
}

/// Product of all factors, or nullopt on overflow. The empty product is 1.
inline std::optional<int64_t> checked_product(std::span<const int64_t> factors) {
  int64_t product = 1;
  for (const int64_t f : factors) {
    if (__builtin_mul_overflow(product, f, &product)) {
      return std::nullopt;
    }
  }
  return product;
}

/// Integer conversion that must not lose value; a loss is our bug.
template <std::integral To, std::integral From>
To narrow(From value) {
  TUTTI_CHECK_MSG(std::in_range<To>(value), "{} does not fit", value);
  return static_cast<To>(value);
}

inline size_t usize(int64_t value) {
  return narrow<size_t>(value);
}

inline int64_t ssize(size_t value) {
  return narrow<int64_t>(value);
}

inline int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

}  // namespace tutti
