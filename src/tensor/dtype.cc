#include "tensor/dtype.h"

#include <array>
#include <cmath>

#include "base/check.h"

namespace tutti {

namespace {

struct DTypeInfo {
  DType dtype;
  const char* name;
  int64_t size;
};

constexpr std::array<DTypeInfo, 11> kInfos{{{DType::kF32, "F32", 4},
                                            {DType::kF16, "F16", 2},
                                            {DType::kBF16, "BF16", 2},
                                            {DType::kF8E4M3, "F8_E4M3", 1},
                                            {DType::kI8, "I8", 1},
                                            {DType::kU8, "U8", 1},
                                            {DType::kI16, "I16", 2},
                                            {DType::kI32, "I32", 4},
                                            {DType::kI64, "I64", 8},
                                            {DType::kF64, "F64", 8},
                                            {DType::kBool, "BOOL", 1}}};

}  // namespace

int64_t dtype_size(DType dtype) {
  return kInfos[static_cast<size_t>(dtype)].size;
}

const char* dtype_name(DType dtype) {
  return kInfos[static_cast<size_t>(dtype)].name;
}

std::optional<DType> parse_dtype(std::string_view safetensors_name) {
  for (const DTypeInfo& info : kInfos) {
    if (safetensors_name == info.name) {
      return info.dtype;
    }
  }
  return std::nullopt;
}

float to_float(F16 x) {
  const uint32_t sign = (x.bits & 0x8000U) << 16U;
  const uint32_t exponent = (x.bits >> 10U) & 0x1FU;
  const uint32_t mantissa = x.bits & 0x3FFU;
  if (exponent == 0x1F) {
    return std::bit_cast<float>(sign | 0x7F800000U | (mantissa << 13U));
  }
  if (exponent == 0) {  // zero and subnormals: value = mantissa * 2^-24, exact in f32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (mantissa << 13U));
}

float to_float(F8E4M3 x) {
  const uint32_t exponent = (x.bits >> 3U) & 0xFU;
  const uint32_t mantissa = x.bits & 0x7U;
  float magnitude = 0;
  if (exponent == 0xF && mantissa == 0x7) {
    magnitude = std::bit_cast<float>(0x7FC00000U);
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-9F;
  } else {
    magnitude = std::bit_cast<float>(((exponent + 120U) << 23U) | (mantissa << 20U));
  }
  return (x.bits & 0x80U) != 0 ? -magnitude : magnitude;
}

BF16 to_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7FFFFFFFU) >
      0x7F800000U) {  // keep NaN a NaN even if its payload is in the low half
    return {static_cast<uint16_t>((bits >> 16U) | 0x40U)};
  }
  const uint32_t rounded = bits + 0x7FFFU + ((bits >> 16U) & 1U);
  return {static_cast<uint16_t>(rounded >> 16U)};
}

F16 to_f16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint16_t>((bits >> 16U) & 0x8000U);
  const float magnitude = std::abs(x);
  if (std::isnan(x)) {
    return {static_cast<uint16_t>(sign | 0x7E00U)};
  }
  if (magnitude >= 65520.0F) {  // halfway between 65504 and 65536 rounds to infinity
    return {static_cast<uint16_t>(sign | 0x7C00U)};
  }
  if (magnitude <
      0x1p-14F) {  // subnormal result: adding 2^-1 aligns the rounding to units of 2^-24
    const float shifted = magnitude + 0.5F;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U))};
  }
  const uint32_t m = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = m + 0xFFFU + ((m >> 13U) & 1U);
  return {static_cast<uint16_t>(sign | ((rounded - (112U << 23U)) >> 13U))};
}

F8E4M3 to_f8e4m3(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint8_t>((bits >> 24U) & 0x80U);
  if (std::isnan(x)) {
    return {static_cast<uint8_t>(sign | 0x7FU)};
  }
  const float magnitude = std::abs(x);
  if (magnitude >= 448.0F) {
    return {static_cast<uint8_t>(sign | 0x7EU)};
  }
  if (magnitude <
      0x1p-6F) {  // subnormal result: units of 2^-9, so align at 2^14 (24 bits above 2^-9)
    const float shifted = magnitude + 0x1p14F;
    return {static_cast<uint8_t>(
        sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0x1p14F)))};
  }
  const uint32_t m = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = m + 0x7FFFFU + ((m >> 20U) & 1U);
  return {static_cast<uint8_t>(sign | ((rounded - (120U << 23U)) >> 20U))};
}

void store_dense(std::byte* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      reinterpret_cast<float*>(data)[index] = value;
      break;
    case DType::kF16:
      reinterpret_cast<F16*>(data)[index] = to_f16(value);
      break;
    case DType::kBF16:
      reinterpret_cast<BF16*>(data)[index] = to_bf16(value);
      break;
    default:
      TUTTI_CHECK_MSG(false, "no dense type: {}", dtype_name(dtype));
  }
}

}  // namespace tutti
