#include "plan/machine.h"

#include <gmock/gmock.h>

#include "plan/gpu_models.h"

namespace tutti {
namespace {

using testing::Contains;
using testing::HasSubstr;

Inventory named(const std::string& hardware) {
  Result<NamedHardware> parsed = parse_hardware(hardware);
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  return std::move(parsed).value().inventory;
}

Inventory known(const std::string& hardware) {
  Inventory inventory = named(hardware);
  for (Gpu& gpu : inventory.gpus) {
    gpu.memory_used_bytes = 0;
  }
  return inventory;
}

TEST(Hardware, NamesBecomeGpus) {
  const Result<NamedHardware> two = parse_hardware("2x8xh100");
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->nodes, 2);
  ASSERT_EQ(two->inventory.gpus.size(), 8U);
  EXPECT_EQ(two->inventory.gpus[7].index, 7);
  EXPECT_EQ(two->inventory.gpus[7].memory_total_bytes, int64_t{81559} << 20);
  const Inventory mixed = named("2xH100-80GB+L4");
  ASSERT_EQ(mixed.gpus.size(), 3U);
  EXPECT_EQ(*mixed.gpus[2].name, "NVIDIA L4");
}

TEST(Hardware, WrongNamesAreRefusedWithAnExample) {
  for (const char* text : {"",
                           "8x",
                           "x",
                           "8xH900",
                           "0xH200",
                           "-1xH200",
                           "2x8x4xH200",
                           "65xH200",
                           "2x8xH200+L4",
                           "H200+",
                           "99999999999xH200"}) {
    const Result<NamedHardware> parsed = parse_hardware(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(parsed.status().message(), HasSubstr("8xH200")) << text;
  }
}

TEST(Hardware, ProductNamesAreRecognised) {
  const auto name = [](const char* product, int64_t mib) -> std::string {
    const GpuModel* model = match_gpu_model(product, mib << 20);
    return model == nullptr ? "" : std::string(model->name);
  };
  EXPECT_EQ(name("NVIDIA H200", 143771), "H200");
  EXPECT_EQ(name("NVIDIA H100 80GB HBM3", 81559), "H100-80GB");
  EXPECT_EQ(name("NVIDIA H20", 97871), "H20");
  EXPECT_EQ(name("NVIDIA A100-SXM4-40GB", 40960), "A100-40GB");
  EXPECT_EQ(name("Tesla T4", 15360), "T4");
  EXPECT_EQ(name("NVIDIA GeForce RTX 4090", 24564), "4090");
  EXPECT_EQ(name("NVIDIA L40S", 46068), "L40S");
  EXPECT_EQ(name("Some other card", 8192), "");
}

TEST(Machine, GpusThatNoModelMayUseSayWhy) {
  Inventory inventory = known("8xH200");
  inventory.env["CUDA_VISIBLE_DEVICES"] = "GPU-1,GPU-2";
  inventory.gpus[0].index.reset();  // hidden by the mask
  inventory.gpus[1].index.reset();
  inventory.gpus[1].nvml_index.reset();  // off the bus
  inventory.gpus[2].recovery_action = "gpu_reset";
  inventory.gpus[3].compute_mode = "prohibited";
  inventory.gpus[4].compute_capability = "7.5";
  inventory.gpus[5].remapped.failed = true;
  const Machine machine = machine_of(inventory, 1, "");
  EXPECT_EQ(machine.usable(), (std::vector<size_t>{6, 7}));
  EXPECT_EQ(machine.gpus[0].barred, "hidden");
  EXPECT_THAT(machine.gpus[0].why, HasSubstr("CUDA_VISIBLE_DEVICES=GPU-1,GPU-2"));
  EXPECT_EQ(machine.gpus[1].barred, "missing");
  EXPECT_THAT(machine.gpus[2].why, HasSubstr("gpu_reset"));
  EXPECT_EQ(machine.gpus[3].barred, "prohibited");
  EXPECT_THAT(machine.gpus[4].why, HasSubstr("8.0 (Ampere)"));
  EXPECT_EQ(machine.gpus[5].barred, "sick");
}

TEST(Machine, TheEmptiestGpusComeFirstAndEqualOnesInTheirOrder) {
  Inventory inventory = known("4xH200");
  inventory.gpus[0].memory_used_bytes = int64_t{90} << 30;
  inventory.gpus[2].memory_used_bytes = int64_t{8} << 30;
  const Machine machine = machine_of(inventory, 1, "");
  EXPECT_EQ(machine.emptiest_first({0, 1, 2, 3}), (std::vector<size_t>{1, 3, 2, 0}));
  EXPECT_EQ(machine.emptiest_first({2, 0}), (std::vector<size_t>{2, 0}));
}

TEST(Machine, OfDividedGpusOnePartIsUsed) {
  Inventory inventory = known("2xH200");
  for (Gpu& gpu : inventory.gpus) {
    gpu.mig = true;
    gpu.index.reset();
    for (int64_t part = 0; part < 2; ++part) {
      gpu.mig_devices.push_back({.index = *gpu.nvml_index * 2 + part,
                                 .uuid = "MIG-" + std::to_string(*gpu.nvml_index * 2 + part),
                                 .name = "NVIDIA H200 MIG 3g.71gb",
                                 .memory_total_bytes = int64_t{71} << 30,
                                 .memory_used_bytes = int64_t{1} << 30});
    }
  }
  const Machine machine = machine_of(inventory, 1, "");
  ASSERT_EQ(machine.gpus.size(), 6U);
  EXPECT_EQ(machine.usable(), (std::vector<size_t>{1}));
  EXPECT_EQ(machine.gpus[1].free_bytes, int64_t{70} << 30);
  EXPECT_EQ(machine.gpus[0].barred, "mig");
  EXPECT_THAT(machine.gpus[2].why, HasSubstr("one part"));
  EXPECT_LT(machine.gpus[1].rates.read, rates_of(find_gpu_model("H200")).read * 0.6);
}

TEST(Machine, WhatIsNotKnownIsAssumedAndSaid) {
  Inventory inventory = named("2xH200");
  inventory.gpus[1].memory_total_bytes.reset();
  const Machine machine = machine_of(inventory, 1, "");
  EXPECT_EQ(machine.gpus[1].total_bytes, int64_t{143771} << 20);
  EXPECT_THAT(machine.assumptions, Contains(HasSubstr("taken as nothing")));
  EXPECT_THAT(machine.assumptions, Contains(HasSubstr("data sheet")));
  EXPECT_THAT(machine.assumptions, Contains(HasSubstr("linked")));
}

TEST(Machine, UnifiedMemoryIsTheHosts) {
  Inventory inventory = named("GB10");
  inventory.host.memory_bytes = int64_t{120} << 30;
  inventory.host.cgroup_memory_bytes = int64_t{64} << 30;
  const Machine machine = machine_of(inventory, 1, "");
  EXPECT_TRUE(machine.unified);
  EXPECT_EQ(machine.gpus[0].free_bytes, int64_t{64} << 30) << "the smaller of both limits";
}

TEST(Machine, TheSlowestLinkCounts) {
  Inventory inventory = known("4xH100-80GB");
  const auto link = [](int64_t a, int64_t b, const char* kind) {
    return GpuLink{.a = a, .b = b, .kind = kind};
  };
  inventory.links = {link(0, 1, "NV18"),
                     link(0, 2, "SYS"),
                     link(0, 3, "NV18"),
                     link(1, 2, "SYS"),
                     link(1, 3, "NV18"),
                     link(2, 3, "PHB")};
  inventory.links[2].data_test = "fail";
  const Machine machine = machine_of(inventory, 1, "");
  EXPECT_EQ(machine.link({0, 1}), LinkKind::kNvlink);
  EXPECT_EQ(machine.link({0, 1, 2}), LinkKind::kPcie);
  EXPECT_EQ(machine.link({0, 1, 3}), LinkKind::kHost) << "moved data did not arrive";
  EXPECT_EQ(machine.link({1, 3}), LinkKind::kNvlink);
}

TEST(Machine, MissingGpusAreCounted) {
  Inventory inventory = known("7xH200");
  inventory.counts = {.pci = 8, .nvml = 7, .cuda = 7, .last_good = 8};
  EXPECT_EQ(machine_of(inventory, 1, "").missing, 1);
  inventory.counts.nvml = 8;
  EXPECT_FALSE(machine_of(inventory, 1, "").missing.has_value());
}

}  // namespace
}  // namespace tutti
