// Conversions against formulas in double precision: all codes one way, and the other way every
// code's own value, the ties between neighbours and the points just beside the ties.
#include "tensor/dtype.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace tutti {
namespace {

// A sign-magnitude format with subnormals.
struct Format {
  int exponent_bits;
  int mantissa_bits;
  bool has_infinity;  // false: e4m3fn, whose largest exponent holds numbers and one NaN

  int bits() const { return 1 + exponent_bits + mantissa_bits; }

  uint32_t sign_bit() const { return 1U << (bits() - 1); }

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }

  bool is_nan(uint32_t code) const {
    const uint32_t magnitude = code & (sign_bit() - 1);
    return has_infinity ? magnitude > infinity() : magnitude == sign_bit() - 1;
  }

  uint32_t infinity() const { return ((1U << exponent_bits) - 1) << mantissa_bits; }

  /// Value of a magnitude code; also of the code where infinity or NaN stands, as if the format
  /// went on: rounding towards it is decided by that value.
  double value(uint32_t magnitude) const {
    const int exponent = static_cast<int>(magnitude >> mantissa_bits);
    const double mantissa = static_cast<double>(magnitude & ((1U << mantissa_bits) - 1));
    const double scaled = mantissa / static_cast<double>(1 << mantissa_bits);
    return exponent == 0 ? std::ldexp(scaled, 1 - bias())
                         : std::ldexp(1.0 + scaled, exponent - bias());
  }
};

constexpr Format kF16{5, 10, true};
constexpr Format kBF16{8, 7, true};
constexpr Format kE4M3{4, 3, false};

template <class Code>
void expect_decoding(const Format& format) {
  for (uint32_t code = 0; code < (1U << format.bits()); ++code) {
    Code stored;
    stored.bits = static_cast<decltype(stored.bits)>(code);
    const float got = to_float(stored);
    const uint32_t magnitude = code & (format.sign_bit() - 1);
    if (format.is_nan(code)) {
      ASSERT_TRUE(std::isnan(got)) << code;
      continue;
    }
    double want = format.has_infinity && magnitude == format.infinity()
                      ? std::numeric_limits<double>::infinity()
                      : format.value(magnitude);
    want = code != magnitude ? -want : want;
    ASSERT_EQ(static_cast<double>(got), want) << code;
    ASSERT_EQ(std::signbit(got), code != magnitude) << code;
  }
}

/// `encode` returns the code of a float. Infinity and overflow have their own tests.
template <class Encode>
void expect_rounding(const Format& format, uint32_t largest, Encode encode) {
  const uint32_t sign = format.sign_bit();
  const auto expect = [&](double x, uint32_t want) {
    const auto exact = static_cast<float>(x);
    ASSERT_EQ(static_cast<double>(exact), x) << "not a float";
    ASSERT_EQ(encode(exact), want) << x;
    ASSERT_EQ(encode(-exact), want | sign) << -x;
  };
  for (uint32_t code = 0; code < largest; ++code) {
    const double low = format.value(code);
    const double high = format.value(code + 1);
    expect(low, code);
    const double tie = (low + high) / 2;
    const auto tie_float = static_cast<float>(tie);
    if (static_cast<double>(tie_float) != tie) {
      continue;  // only between the smallest bf16 subnormals, which are floats' subnormals too
    }
    expect(tie, code % 2 == 0 ? code : code + 1);
    expect(std::nextafter(tie_float, 0.0F), code);
    expect(std::nextafter(tie_float, std::numeric_limits<float>::max()), code + 1);
  }
  expect(format.value(largest), largest);
}

TEST(DTypeTest, EveryCodeDecodes) {
  expect_decoding<F16>(kF16);
  expect_decoding<BF16>(kBF16);
  expect_decoding<F8E4M3>(kE4M3);
}

TEST(DTypeTest, NearestTiesToEven) {
  expect_rounding(kF16, kF16.infinity() - 1, [](float x) { return uint32_t{to_f16(x).bits}; });
  expect_rounding(kBF16, kBF16.infinity() - 1, [](float x) { return uint32_t{to_bf16(x).bits}; });
  expect_rounding(kE4M3, 0x7E, [](float x) { return uint32_t{to_f8e4m3(x).bits}; });
}

TEST(DTypeTest, OverflowOfF16AndBF16IsInfinity) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(to_f16(infinity).bits, 0x7C00);
  EXPECT_EQ(to_f16(-infinity).bits, 0xFC00);
  EXPECT_EQ(to_f16(65519.996F).bits, 0x7BFF) << "below the halfway point: 65504";
  EXPECT_EQ(to_f16(65520.0F).bits, 0x7C00);
  EXPECT_EQ(to_f16(1e30F).bits, 0x7C00);
  EXPECT_EQ(to_bf16(infinity).bits, 0x7F80);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_bf16(-infinity).bits, 0xFF80);
}

TEST(DTypeTest, E4M3Saturates) {
  for (const float x : {448.0F, 460.0F, 464.0F, 480.0F, 1e30F, HUGE_VALF}) {
    EXPECT_EQ(to_f8e4m3(x).bits, 0x7E) << x;
    EXPECT_EQ(to_f8e4m3(-x).bits, 0xFE) << x;
  }
  EXPECT_EQ(to_f8e4m3(std::numeric_limits<float>::denorm_min()).bits, 0);
  EXPECT_EQ(to_f8e4m3(0x1p-10F).bits, 0) << "half of the smallest: a tie to even";
  EXPECT_EQ(to_f8e4m3(0x1.8p-9F).bits, 2);
}

TEST(DTypeTest, NaNStaysNaN) {
  for (const uint32_t bits : {0x7FC00000U, 0x7F800001U, 0xFF800001U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    const float nan = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(to_float(to_f16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(to_float(to_bf16(nan)))) << bits;
    EXPECT_TRUE(std::isnan(to_float(to_f8e4m3(nan)))) << bits;
  }
}

TEST(DTypeTest, KnownCodes) {
  EXPECT_EQ(to_float(F8E4M3{0x01}), 0x1p-9F);
  EXPECT_EQ(to_float(F8E4M3{0x08}), 0x1p-6F);
  EXPECT_EQ(to_float(F8E4M3{0x38}), 1.0F);
  EXPECT_EQ(to_float(F8E4M3{0x3C}), 1.5F);
  EXPECT_EQ(to_float(F8E4M3{0x7E}), 448.0F);
  EXPECT_EQ(to_float(F8E4M3{0xFE}), -448.0F);
  EXPECT_TRUE(std::isnan(to_float(F8E4M3{0x7F})));
  EXPECT_EQ(to_f16(1.0F).bits, 0x3C00);
  EXPECT_EQ(to_bf16(1.0F).bits, 0x3F80);
}

TEST(DTypeTest, NamesAndSizes) {
  const std::pair<const char*, int64_t> all[] = {{"F32", 4},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"F8_E4M3", 1},
                                                 {"I8", 1},
                                                 {"U8", 1},
                                                 {"I16", 2},
                                                 {"I32", 4},
                                                 {"I64", 8},
                                                 {"F64", 8},
                                                 {"BOOL", 1}};
  for (const auto& [name, size] : all) {
    const std::optional<DType> dtype = parse_dtype(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_STREQ(dtype_name(*dtype), name);
    EXPECT_EQ(dtype_size(*dtype), size) << name;
  }
  for (const char* name : {"", "f32", "F8_E5M2", "U64", "F4", "BF16 "}) {
    EXPECT_EQ(parse_dtype(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace tutti
