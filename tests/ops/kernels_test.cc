// Kernels below the ops: exponential, e4m3 conversion, the bandwidth probe.
#include <bit>
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "ops/cases_rows.h"
#include "ops/cpu/bandwidth_probe.h"
#include "ops/cpu/cpu_isa.h"
#include "ops/cpu/kernel_choice.h"
#include "ops/cpu_backends.h"
#include "unit/base/weight_formats.h"

namespace tutti::test {
namespace {

TEST(Kernels, ExpIsWithinTwoUlp) {
  std::vector<float> x;
  for (float v = -104.0F; v < 88.7F; v += 0.00371F) {
    x.push_back(v);
  }
  for (const CpuIsa isa : available_cpu_isas()) {
    std::vector<float> y(x.size());
    cpu::kernels_for(isa).exp(y.data(), x.data(), ssize(x.size()));
    double worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::exp(static_cast<double>(x[i]));
      const auto rounded = static_cast<float>(exact);
      const double ulp = static_cast<double>(std::nextafter(rounded, INFINITY)) - rounded;
      worst = std::max(worst, std::abs(y[i] - exact) / ulp);
    }
    EXPECT_LE(worst, 2.0) << cpu_isa_name(isa);
  }
}

TEST(Kernels, ExpOfSpecialValues) {
  const std::vector<float> x{0.0F, -0.0F, INFINITY, -INFINITY, NAN, 100.0F, -200.0F, 1e30F, -1e30F};
  for (const CpuIsa isa : available_cpu_isas()) {
    std::vector<float> y(x.size());
    cpu::kernels_for(isa).exp(y.data(), x.data(), ssize(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      const float exact = std::exp(x[i]);
      EXPECT_TRUE(y[i] == exact || (std::isnan(y[i]) && std::isnan(exact)))
          << cpu_isa_name(isa) << ": exp(" << x[i] << ") = " << y[i];
    }
  }
}

TEST(Kernels, ExpDoesNotDependOnTheLane) {
  std::vector<float> x(67);
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = -3.7F + 0.11F * static_cast<float>(i);
  }
  for (const CpuIsa isa : available_cpu_isas()) {
    std::vector<float> together(x.size());
    cpu::kernels_for(isa).exp(together.data(), x.data(), ssize(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      float alone = 0;
      cpu::kernels_for(isa).exp(&alone, &x[i], 1);
      EXPECT_EQ(std::bit_cast<uint32_t>(alone), std::bit_cast<uint32_t>(together[i]));
    }
  }
}

// All 256 codes through a product with 1, in each place of a row that the kernels treat apart:
// whole pairs of vectors, a single vector, a masked tail; with few rows of x and with many.
TEST(Kernels, E4m3Codes) {
  constexpr int64_t kCols = 61;
  const HostTensor scales = floats({256, 1}, std::vector<float>(256, 0.5F));
  for (const auto& backend : cpu_backends()) {
    for (const int64_t m : {1, 12}) {
      for (const int64_t at : {0, 31, 40, 50, 60}) {
        HostTensor w(DType::kF8E4M3, {256, kCols});
        for (int64_t n = 0; n < 256; ++n) {
          w.data<uint8_t>()[n * kCols + at] = static_cast<uint8_t>(n);
        }
        HostTensor x(DType::kF32, {m, kCols});
        x.fill([] { return 2.0F; });
        HostTensor y(DType::kF32, {m, 256});
        backend->ops().linear(
            y.view(), x.view(), WeightView::e4m3_blocks(w.view(), scales.view(), {1, 128}), {});
        for (int64_t n = 0; n < 256; ++n) {
          const float expected = to_float(F8E4M3{static_cast<uint8_t>(n)});
          const float actual = y.data<float>()[(m - 1) * 256 + n];
          ASSERT_TRUE(actual == expected || (std::isnan(actual) && std::isnan(expected)))
              << backend->name() << " m " << m << " column " << at << " code " << n << ": "
              << actual << ", expected " << expected;
        }
      }
    }
  }
}

// Of every format, also those that no kernel knows: the same bits as with the dequantised weights.
TEST(Kernels, ProductsOfEveryFormat) {
  std::vector<const WeightFormat*> formats(weight_formats().begin(), weight_formats().end());
  formats.insert(formats.end(), {&tutti::testing::kI8RowWeights, &tutti::testing::kU4GroupWeights});
  constexpr int64_t kGroups = 2;
  constexpr int64_t kRows = 51;
  constexpr int64_t kCols = 1072;
  for (const WeightFormat* format : formats) {
    WeightView w(WeightLayout::of(*format, {32, 48}), {kGroups, kRows, kCols});
    std::vector<std::vector<std::byte>> planes(kMaxWeightPlanes);
    std::mt19937 random(11);
    std::uniform_real_distribution<float> uniform(-0.5F, 0.499F);
    for (int p = 0; p < format->plane_count; ++p) {
      const WeightPlane& plane = format->planes[usize(p)];
      const Shape shape = w.layout.plane_shape(p, w.shape);
      planes[usize(p)].resize(usize(shape.numel() * dtype_size(plane.dtype)));
      const int64_t entry = plane.elements * dtype_size(plane.dtype);
      for (int64_t at = 0; at < ssize(planes[usize(p)].size()); at += entry) {
        format->make_up(p, uniform(random), 0.5F, planes[usize(p)].data() + at);
      }
      w.planes[usize(p)] = {planes[usize(p)].data(), plane.dtype, shape};
    }
    HostTensor dense(DType::kF32, w.shape);
    for (int64_t g = 0; g < kGroups; ++g) {
      for (int64_t n = 0; n < kRows; ++n) {
        format->dequantise(w.row(g, n), kCols, dense.data<float>() + (g * kRows + n) * kCols);
      }
    }
    for (const auto& backend : cpu_backends()) {
      for (const int64_t m : {1, 3, 12}) {
        SCOPED_TRACE(fmt::format("{} on {}, {} rows", format->name, backend->name(), m));
        const HostTensor x = normal({m, kCols}, 5);
        const HostTensor begin = ints({0, 1, narrow<int32_t>(m)});
        HostTensor y(DType::kF32, {m, kRows});
        HostTensor want(DType::kF32, {m, kRows});
        backend->ops().grouped_linear(y.view(), x.view(), w, begin.view());
        backend->ops().grouped_linear(
            want.view(), x.view(), WeightView::dense(dense.view()), begin.view());
        ASSERT_EQ(y.values(), want.values());
      }
    }
  }
}

TEST(Kernels, BandwidthProbeAnswers) {
  const Result<MemoryBandwidth> bandwidth = measure_bandwidth(2, int64_t{1} << 24);
  ASSERT_TRUE(bandwidth.ok());
  EXPECT_GT(bandwidth->read, 1e6);
  EXPECT_GT(bandwidth->copy, 1e6);
}

}  // namespace
}  // namespace tutti::test
