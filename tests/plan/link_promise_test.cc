// Rates of links as data sheets have them.
#include "plan/link_promise.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

// CUDA counts the other way round than NVML.
Inventory machine(const std::string& kind, const std::string& capability) {
  Inventory m;
  for (int64_t i = 0; i < 3; ++i) {
    Gpu& gpu = m.gpus.emplace_back();
    gpu.nvml_index = i;
    gpu.index = 2 - i;
    gpu.compute_capability = capability;
    gpu.pcie = {.gen = 1, .gen_max = 5, .width = 16, .width_max = 16};
  }
  m.links = {{.a = 0, .b = 1, .kind = kind},
             {.a = 0, .b = 2, .kind = kind},
             {.a = 1, .b = 2, .kind = kind}};
  return m;
}

TEST(LinkPromise, NvlinkByGenerationAndCount) {
  EXPECT_DOUBLE_EQ(*promised_rate(machine("NV18", "9.0"), {0, 1, 2}), 18 * 26.5625e9);
  EXPECT_DOUBLE_EQ(*promised_rate(machine("NV12", "8.0"), {0, 1}), 12 * 25e9);
  EXPECT_DOUBLE_EQ(*promised_rate(machine("NV18", "10.0"), {0, 1}), 18 * 53.125e9);
}

TEST(LinkPromise, PcieAtItsBest) {
  EXPECT_NEAR(*promised_rate(machine("NODE", "8.9"), {0, 1}), 63e9, 1e9);
}

TEST(LinkPromise, TheSlowestPairAmongThoseUsedCounts) {
  Inventory m = machine("NV18", "9.0");
  m.links[0].kind = "NV4";  // NVML 0 and 1, CUDA 2 and 1
  EXPECT_DOUBLE_EQ(*promised_rate(m, {0, 1, 2}), 4 * 26.5625e9);
  EXPECT_DOUBLE_EQ(*promised_rate(m, {0, 1}), 18 * 26.5625e9);
}

TEST(LinkPromise, WhatIsNotKnown) {
  EXPECT_EQ(promised_rate(machine("NV18", "9.0"), {0}), std::nullopt);
  EXPECT_EQ(promised_rate(Inventory(), {0, 1}), std::nullopt);
  Inventory m = machine("SYS", "8.0");
  m.gpus[0].pcie = {};
  EXPECT_EQ(promised_rate(m, {1, 2}), std::nullopt);
}

}  // namespace
}  // namespace tutti
