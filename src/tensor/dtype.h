// Element types and their host conversions. bf16, f16 and e4m3 are stored types: arithmetic is f32.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tutti {

enum class DType : uint8_t { kF32, kF16, kBF16, kF8E4M3, kI8, kU8, kI16, kI32, kI64, kF64, kBool };

/// Bytes of one element.
int64_t dtype_size(DType dtype);
/// safetensors spelling: "F32", "BF16", "F8_E4M3", …
const char* dtype_name(DType dtype);
std::optional<DType> parse_dtype(std::string_view safetensors_name);

struct BF16 {
  uint16_t bits = 0;
};

struct F16 {
  uint16_t bits = 0;
};

/// OCP 8-bit float e4m3fn: bias 7, no infinity, NaN = 0x7F and 0xFF, largest 448.
struct F8E4M3 {
  uint8_t bits = 0;
};

inline float to_float(float x) {
  return x;
}

inline float to_float(BF16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16U);
}

float to_float(F16 x);
float to_float(F8E4M3 x);

/// Round to nearest, ties to even.
BF16 to_bf16(float x);
F16 to_f16(float x);
/// Round to nearest even, saturating at +-448; NaN stays NaN.
F8E4M3 to_f8e4m3(float x);

/// Rounds `value` to element `index` of F32, F16 or BF16 ones.
void store_dense(std::byte* data, DType dtype, int64_t index, float value);

template <class T>
struct DTypeOf;

template <>
struct DTypeOf<float> {
  static constexpr DType kValue = DType::kF32;
};

template <>
struct DTypeOf<BF16> {
  static constexpr DType kValue = DType::kBF16;
};

template <>
struct DTypeOf<F16> {
  static constexpr DType kValue = DType::kF16;
};

template <>
struct DTypeOf<F8E4M3> {
  static constexpr DType kValue = DType::kF8E4M3;
};

template <>
struct DTypeOf<int32_t> {
  static constexpr DType kValue = DType::kI32;
};

template <>
struct DTypeOf<int64_t> {
  static constexpr DType kValue = DType::kI64;
};

template <>
struct DTypeOf<uint8_t> {
  static constexpr DType kValue = DType::kU8;
};

}  // namespace tutti
