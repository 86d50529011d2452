// The rows of the format table, by hand-written matrices.
#include "tensor/weight_format.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tensor/weight_view.h"
#include "unit/base/weight_formats.h"

namespace tutti {
namespace {

using testing::kI8RowWeights;
using testing::kU4GroupWeights;

TEST(WeightFormat, EveryRowIsComplete) {
  for (const WeightFormat* format : weight_formats()) {
    SCOPED_TRACE(format->name);
    EXPECT_NE(format->dequantise, nullptr);
    EXPECT_NE(format->make_up, nullptr);
    EXPECT_GE(format->alignment, 128) << "fast kernels read whole lines";
    ASSERT_GE(format->plane_count, 1);
    EXPECT_EQ(format->planes[0].cell.rows, 1);
    EXPECT_EQ(format->dense(), format->plane_count == 1 && format->planes[0].cell == WeightCell{});
    for (const WeightPlane& plane : format->all_planes()) {
      EXPECT_STRNE(plane.name, "");
    }
  }
  EXPECT_EQ(dense_format(DType::kBF16), &kBF16Weights);
  EXPECT_EQ(dense_format(DType::kF8E4M3), nullptr) << "values without their scales";
  EXPECT_EQ(dense_format(DType::kI32), nullptr);
}

TEST(WeightLayout, PlanesAndBytes) {
  EXPECT_EQ(WeightLayout::of(kBF16Weights).bytes({576}), 1152);
  EXPECT_EQ(WeightLayout::of(kF32Weights).bytes({3, 5, 7}), 420);
  // DeepSeek-R1's kv_a_proj: 4.5 x 56 blocks.
  const WeightLayout blocks = WeightLayout::of(kE4M3BlockWeights, {128, 128});
  EXPECT_EQ(blocks.plane_shape(0, {576, 7168}), (Shape{576, 7168}));
  EXPECT_EQ(blocks.plane_shape(1, {576, 7168}), (Shape{5, 56}));
  EXPECT_EQ(blocks.bytes({576, 7168}), 576 * 7168 + 4 * 5 * 56);
  EXPECT_EQ(blocks.bytes({2, 256, 100}), 2 * (256 * 100 + 4 * 2));
  EXPECT_EQ(WeightLayout::of(kI8RowWeights).plane_shape(1, {4, 6, 999}), (Shape{4, 6, 1}));
  const WeightLayout groups = WeightLayout::of(kU4GroupWeights);
  EXPECT_EQ(groups.plane_shape(0, {3, 64}), (Shape{3, 8}));
  EXPECT_EQ(groups.bytes({3, 64}), 3 * (8 * 4 + 4 * 2));
}

TEST(WeightLayout, UnitsOfShards) {
  const auto units = [](const WeightFormat& format) {
    const WeightUnits u = WeightLayout::of(format, {128, 128}).units();
    return std::pair(u.whole, u.preferred);
  };
  EXPECT_EQ(units(kBF16Weights), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(units(kE4M3BlockWeights), std::pair(int64_t{1}, int64_t{16})) << "scales are repeated";
  EXPECT_EQ(units(kI8RowWeights), std::pair(int64_t{1}, int64_t{1}));
  EXPECT_EQ(units(kU4GroupWeights), std::pair(int64_t{16}, int64_t{16})) << "groups are not cut";
}

// Columns from any place inside a block on, to any other, at odd addresses.
TEST(WeightFormat, E4m3BlocksFromAnyColumn) {
  constexpr int64_t kRows = 3;
  constexpr int64_t kCols = 11;
  const std::vector<float> scales{1, 10, 100, 0.5F, 0.25F, 0.125F};  // 2 x 3 blocks of 2 x 4
  std::vector<uint8_t> memory(1 + kRows * kCols);
  uint8_t* values = memory.data() + 1;
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    values[i] = static_cast<uint8_t>(0x38 + i);  // 1, 1.125, 1.25, ...
  }
  const WeightView w = WeightView::e4m3_blocks(
      {values, DType::kF8E4M3, {kRows, kCols}}, {scales.data(), DType::kF32, {2, 3}}, {2, 4});
  for (int64_t n = 0; n < kRows; ++n) {
    for (int64_t begin = 0; begin < kCols; ++begin) {
      for (int64_t count = 0; count <= kCols - begin; ++count) {
        std::vector<float> out(usize(count));
        w.format().dequantise(w.row(0, n, begin), count, out.data());
        for (int64_t i = 0; i < count; ++i) {
          const int64_t k = begin + i;
          // e4m3 by its definition: 2^(e - 7) * (1 + m / 8).
          const int code = values[n * kCols + k];
          const float value =
              static_cast<float>(8 + code % 8) / 8 * static_cast<float>(1 << (code / 8 - 7));
          EXPECT_EQ(out[usize(i)], value * scales[usize(n / 2 * 3 + k / 4)]) << n << " " << k;
        }
      }
    }
  }
}

TEST(WeightFormat, DenseValues) {
  const std::vector<uint16_t> half{0x3C00, 0xC000, 0x0001};   // 1, -2, 2^-24
  const std::vector<uint16_t> brain{0x3F80, 0xC000, 0x4049};  // 1, -2, 3.140625
  float out[3];
  const WeightView h = WeightView::dense({half.data(), DType::kF16, {1, 3}});
  h.format().dequantise(h.row(0, 0), 3, out);
  EXPECT_EQ(std::vector<float>(out, out + 3), (std::vector<float>{1, -2, 0x1p-24F}));
  const WeightView b = WeightView::dense({brain.data(), DType::kBF16, {3, 1, 1}});
  b.format().dequantise(b.row(2, 0), 1, out);
  EXPECT_EQ(out[0], 3.140625F);
  EXPECT_EQ(b.groups(), 3);
}

TEST(WeightFormat, PackedGroups) {
  // Codes 0 .. 15 twice; scales 1 and 2.
  const std::vector<uint32_t> words{0x76543210U, 0xFEDCBA98U, 0x76543210U, 0xFEDCBA98U};
  const std::vector<uint16_t> scales{0x3C00, 0x4000};
  WeightView w(WeightLayout::of(kU4GroupWeights), {1, 32});
  w.planes = {{{words.data(), DType::kI32, {1, 4}}, {scales.data(), DType::kF16, {1, 2}}, {}}};
  std::vector<float> out(21);
  w.format().dequantise(w.row(0, 0, 11), 21, out.data());
  for (int64_t k = 11; k < 32; ++k) {
    EXPECT_EQ(out[usize(k - 11)], static_cast<float>((k % 16 - 8) * (k < 16 ? 1 : 2))) << k;
  }
}

// What is made up stays within the amplitude and does not vanish.
TEST(WeightFormat, MadeUpWeightsKeepTheirAmplitude) {
  std::vector<const WeightFormat*> formats(weight_formats().begin(), weight_formats().end());
  formats.insert(formats.end(), {&kI8RowWeights, &kU4GroupWeights});
  constexpr float kAmplitude = 0.125F;
  for (const WeightFormat* format : formats) {
    SCOPED_TRACE(format->name);
    float largest = 0;
    for (int i = 0; i < 256; ++i) {
      std::byte entries[kMaxWeightPlanes][8] = {};
      WeightRow row{.cells = WeightLayout::of(*format, {128, 128}).cells};
      for (int p = 0; p < format->plane_count; ++p) {
        const float uniform = static_cast<float>((i * 37 + p * 11) % 256) / 256 - 0.5F;
        format->make_up(p, uniform, kAmplitude, entries[p]);
        row.planes[usize(p)] = entries[p];
      }
      float weight = 0;
      format->dequantise(row, 1, &weight);
      EXPECT_LE(std::abs(weight), kAmplitude / 2 * 1.01F);
      largest = std::max(largest, std::abs(weight));
    }
    EXPECT_GT(largest, kAmplitude / 8);
  }
}

}  // namespace
}  // namespace tutti
