// CUDA_VISIBLE_DEVICES by CUDA's rules, on made-up machines.
#include "inventory/visible_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::HasSubstr;

std::vector<Gpu> machine(int count) {
  std::vector<Gpu> gpus;
  for (int i = 0; i < count; ++i) {
    Gpu& gpu = gpus.emplace_back();
    gpu.nvml_index = i;
    gpu.uuid = fmt::format("GPU-{:02x}aaaaaa-0000-4000-8000-000000000000", i);
    gpu.pci = fmt::format("0000:{:02x}:00.0", 16 + i);
    gpu.name = "NVIDIA H200";
    gpu.mig = false;
  }
  return gpus;
}

// "0,2" of what is visible, "0/1" for part 1 of GPU 0, "?" if it cannot be known.
std::string shown(const VisibleGpus& visible) {
  if (!visible.order) {
    return "?";
  }
  std::vector<std::string> out;
  for (const GpuRef& ref : *visible.order) {
    out.push_back(ref.mig ? fmt::format("{}/{}", ref.gpu, *ref.mig) : std::to_string(ref.gpu));
  }
  return fmt::format("{}", fmt::join(out, ","));
}

TEST(VisibleGpus, Lists) {
  const std::vector<Gpu> gpus = machine(4);
  for (const auto& [mask, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"0", "0"},
           {"2,0", "2,0"},
           {" 1, 3 ", "1,3"},
           {"GPU-03", "3"},
           {"gpu-03AAAAAA-0000,1", "3,1"},
       }) {
    const VisibleGpus visible = resolve_visible(mask, false, gpus);
    EXPECT_EQ(shown(visible), wanted) << mask;
    EXPECT_EQ(visible.problem, "") << mask;
  }
  EXPECT_EQ(shown(resolve_visible(std::nullopt, false, gpus)), "0,1,2,3");
}

TEST(VisibleGpus, AListEndsAtWhatNamesNothing) {
  const std::vector<Gpu> gpus = machine(4);
  for (const auto& [mask, wanted] : std::vector<std::pair<std::string, std::string>>{
           {"0,4,1", "0"},
           {"0,-1,1", "0"},
           {"2,two,1", "2"},
           {"1,,2", "1"},
           {"0,GPU-09,1", "0"},
           {"0,1,1", "0,1"},
           {"NoDevFiles", ""},
           {"99999999999999999999", ""},
       }) {
    const VisibleGpus visible = resolve_visible(mask, false, gpus);
    EXPECT_EQ(shown(visible), wanted) << mask;
    EXPECT_THAT(visible.problem, HasSubstr("CUDA_VISIBLE_DEVICES=\"" + mask + "\"")) << mask;
  }
  EXPECT_THAT(resolve_visible("", false, gpus).problem, HasSubstr("unset it"));
  EXPECT_THAT(resolve_visible("GPU-0", false, gpus).problem, HasSubstr("several UUIDs"));
}

TEST(VisibleGpus, UnlikeGpusHaveAnOrderOnlyByBus) {
  std::vector<Gpu> gpus = machine(2);
  gpus[0].name = "NVIDIA L4";
  EXPECT_EQ(shown(resolve_visible("1", false, gpus)), "?");
  EXPECT_EQ(shown(resolve_visible(std::nullopt, false, gpus)), "?");
  EXPECT_EQ(shown(resolve_visible("1", true, gpus)), "1");
  EXPECT_EQ(shown(resolve_visible("GPU-01", false, gpus)), "1") << "a UUID needs no order";
}

TEST(VisibleGpus, PartsOfGpus) {
  std::vector<Gpu> gpus = machine(2);
  gpus[1].mig = true;
  gpus[1].mig_devices = {
      {.uuid = "MIG-11111111-0000-5000-8000-000000000000",
       .gpu_instance = 1,
       .compute_instance = 0},
      {.uuid = "MIG-22222222-0000-5000-8000-000000000000",
       .gpu_instance = 2,
       .compute_instance = 0},
  };
  EXPECT_EQ(shown(resolve_visible("MIG-2222", false, gpus)), "1/1");
  EXPECT_EQ(shown(resolve_visible("MIG-" + *gpus[1].uuid + "/1/0", false, gpus)), "1/0");
  EXPECT_THAT(resolve_visible("MIG-" + *gpus[1].uuid + "/3/0", false, gpus).problem,
              HasSubstr("names no GPU"));
  EXPECT_EQ(shown(resolve_visible("0", false, gpus)), "?");
}

TEST(VisibleGpus, GpusThatNvmlDoesNotReachHaveNoIndex) {
  std::vector<Gpu> gpus = machine(3);
  gpus[1].uuid.reset();
  Inventory inventory;
  inventory.gpus = gpus;
  add_visible_indices({}, inventory);
  EXPECT_EQ(inventory.gpus[0].index, 0);
  EXPECT_EQ(inventory.gpus[1].index, std::nullopt);
  EXPECT_EQ(inventory.gpus[2].index, 1);
  EXPECT_TRUE(inventory.errors.empty());
}

}  // namespace
}  // namespace tutti
