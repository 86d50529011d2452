// Formats of compressed-tensors by hand; against the library: packed_vectors_test.cc.
#include "tensor/packed_format.h"

#include <gmock/gmock.h>

#include "tensor/weight_view.h"

namespace tutti {
namespace {

using ::testing::ElementsAre;

std::vector<float> values(const WeightView& w, int64_t n, int64_t begin, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  w.format().dequantise(w.row(0, n, begin), count, out.data());
  return out;
}

// -8 .. -1 of the library's packing, then 0 .. 3 and a word's padding, in groups of 6.
TEST(PackedFormat, FourBitsLowestFirst) {
  const std::vector<uint32_t> words{0x76543210U, 0xFFFFBA98U};
  const std::vector<BF16> scales{to_bf16(1), to_bf16(0.5F)};
  WeightView w(WeightLayout::of(packed_format({.bits = 4}), {1, 6}), {1, 12});
  w.planes = {{{words.data(), DType::kI32, {1, 2}}, {scales.data(), DType::kBF16, {1, 2}}, {}}};
  EXPECT_THAT(values(w, 0, 0, 12), ElementsAre(-8, -7, -6, -5, -4, -3, -1, -0.5, 0, 0.5, 1, 1.5));
  EXPECT_THAT(values(w, 0, 5, 4), ElementsAre(-3, -1, -0.5, 0));
  EXPECT_THAT(values(w, 0, 9, 2), ElementsAre(0.5, 1));
}

TEST(PackedFormat, EightBitsAndZeroPointsOfFourRowsAWord) {
  // Rows of codes 128 + n; zero points of rows 0 .. 4 are 1, -1, 2, 0 and 127.
  std::vector<uint32_t> words;
  for (uint32_t n = 0; n < 5; ++n) {
    words.push_back((128 + n) * 0x01010101U);
  }
  const std::vector<uint32_t> zeros{0x80827F81U, 0x000000FFU};
  const std::vector<float> scales(5, 2.0F);
  WeightView w(WeightLayout::of(
                   packed_format({.bits = 8, .scales = DType::kF32, .symmetric = false}), {1, 4}),
               {5, 4});
  EXPECT_EQ(w.layout.plane_shape(2, w.shape), (Shape{2, 1}));
  w.planes = {{{words.data(), DType::kI32, {5, 1}},
               {scales.data(), DType::kF32, {5, 1}},
               {zeros.data(), DType::kI32, {2, 1}}}};
  for (int64_t n = 0; n < 5; ++n) {
    const float zero = std::vector<float>{1, -1, 2, 0, 127}[static_cast<size_t>(n)];
    EXPECT_THAT(values(w, n, 1, 3), ::testing::Each((static_cast<float>(n) - zero) * 2)) << n;
  }
}

// The reference multiplies in the type of the scales.
TEST(PackedFormat, ProductsAreRoundedToTheTypeOfTheScales) {
  const uint32_t word = 0xFFFFFFFFU;       // 7
  const BF16 scale = to_bf16(1.0078125F);  // 1 + 2^-7, of which 7 times takes ten bits
  WeightView w(WeightLayout::of(packed_format({.bits = 4}), {1, 8}), {1, 8});
  w.planes = {{{&word, DType::kI32, {1, 1}}, {&scale, DType::kBF16, {1, 1}}, {}}};
  EXPECT_THAT(values(w, 0, 0, 1), ElementsAre(7.0625F))
      << "7.0546875 lies between 7.03125 and 7.0625";
}

TEST(PackedFormat, WordsAndGroupsAreNotCut) {
  const auto units = [](const PackedIntegers& what, WeightCell block) {
    return WeightLayout::of(packed_format(what), block).units().whole;
  };
  EXPECT_EQ(units({.bits = 4}, {1, 32}), 8) << "scales are repeated";
  EXPECT_EQ(units({.bits = 8}, {1, 32}), 4);
  EXPECT_EQ(units({.bits = 4, .symmetric = false}, {1, 128}), 128);
}

TEST(PackedFormat, ScaledBytes) {
  const std::vector<int8_t> bytes{-128, 127, 1, 0};
  const std::vector<float> scales{0.5F, 3};
  WeightView w(WeightLayout::of(kI8Weights, {1, kWholeSide}), {2, 2});
  w.planes = {{{bytes.data(), DType::kI8, {2, 2}}, {scales.data(), DType::kF32, {2, 1}}, {}}};
  EXPECT_THAT(values(w, 0, 0, 2), ElementsAre(-64, 63.5));
  EXPECT_THAT(values(w, 1, 0, 2), ElementsAre(3, 0));
}

TEST(PackedFormat, ScalesOfAnotherType) {
  const WeightFormat& bf16 = packed_format({.bits = 4});
  EXPECT_EQ(with_scales(bf16, DType::kF16), &packed_format({.bits = 4, .scales = DType::kF16}));
  EXPECT_EQ(with_scales(bf16, DType::kI8), nullptr);
  EXPECT_EQ(with_scales(kBF16Weights, DType::kF16), nullptr);
}

}  // namespace
}  // namespace tutti
