// Measurements of this machine: kept, found again, forgotten when the machine changes, and used.
#include "plan/calibration.h"

#include <filesystem>

#include <gtest/gtest.h>
#include <unistd.h>

#include "plan/speed.h"

namespace tutti {
namespace {

class Calibrations : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "calibrations" + std::to_string(getpid());
    std::filesystem::remove_all(directory_);
    inventory_.driver.version = "580.1";
    for (int i = 0; i < 2; ++i) {
      Gpu& gpu = inventory_.gpus.emplace_back();
      gpu.index = i;
      gpu.nvml_index = i;
      gpu.uuid = "GPU-" + std::to_string(i);
      gpu.name = i == 0 ? "NVIDIA L4" : "NVIDIA H200";
      gpu.memory_total_bytes = i == 0 ? int64_t{23034} << 20 : int64_t{143771} << 20;
      gpu.memory_used_bytes = 0;
      gpu.power_limit_watts = 72.0;
    }
    calibration_.rates = {.read = 2.5e11,
                          .bf16_flops = 5e13,
                          .fp8_flops = 9e13,
                          .layer_seconds = 31e-6,
                          .layer_row_seconds = 0.7e-6,
                          .measured = true};
  }

  void TearDown() override { std::filesystem::remove_all(directory_); }

  void keep() {
    TuningCache cache(directory_, calibration_identity(inventory_.gpus[0], inventory_, "1.0"));
    keep_calibration(calibration_, cache);
    ASSERT_TRUE(cache.save().ok());
  }

  Machine machine(const std::string& build = "1.0") {
    Machine made = machine_of(inventory_, 1, "");
    apply_calibrations(inventory_, directory_, build, made);
    return made;
  }

  std::string directory_;
  Inventory inventory_;
  Calibration calibration_;
};

TEST_F(Calibrations, AreUsedForTheGpuThatWasMeasured) {
  const GpuRates sheet = machine().gpus[0].rates;
  EXPECT_FALSE(sheet.measured);
  keep();
  const Machine made = machine();
  EXPECT_DOUBLE_EQ(made.gpus[0].rates.read, 2.5e11);
  EXPECT_DOUBLE_EQ(made.gpus[0].rates.layer_seconds, 31e-6);
  EXPECT_TRUE(made.gpus[0].rates.measured);
  EXPECT_NE(made.gpus[1].rates.read, 2.5e11) << "another kind of GPU";
}

TEST_F(Calibrations, AreForgottenWhenTheMachineChanges) {
  keep();
  EXPECT_FALSE(machine("1.1").gpus[0].rates.measured) << "another build";
  inventory_.gpus[0].power_limit_watts = 50.0;
  EXPECT_FALSE(machine().gpus[0].rates.measured) << "another power limit";
  inventory_.gpus[0].power_limit_watts = 72.0;
  EXPECT_TRUE(machine().gpus[0].rates.measured);
  inventory_.driver.version = "590.2";
  EXPECT_FALSE(machine().gpus[0].rates.measured) << "another driver";
}

TEST_F(Calibrations, WhatMakesNoSenseIsNotUsed) {
  for (const char* text : {"",
                           "1 2 3",
                           "nan 5e13 9e13 1e-6 1e-6 0 0",
                           "-1 5e13 9e13 1e-6 1e-6 0 0",
                           "2.5e11 5e13 9e13 1e-6 1e-6 900 0",
                           "all of it"}) {
    TuningCache cache(directory_, "x");
    cache.put("calibration", text);
    EXPECT_FALSE(find_calibration(cache).has_value()) << text;
  }
}

TEST_F(Calibrations, SumsBetweenGpusFollowTheMeasurement) {
  inventory_.gpus[1] = inventory_.gpus[0];
  inventory_.gpus[1].uuid = "GPU-1";
  inventory_.gpus[1].index = 1;
  inventory_.gpus[1].nvml_index = 1;
  const LinkRates before = machine().link_rates({0, 1});
  calibration_.sum_ranks = 2;
  calibration_.sum_seconds = 40e-6;
  keep();
  const LinkRates after = machine().link_rates({0, 1});
  EXPECT_NEAR(after.first + 2 * after.per_rank, 40e-6, 1e-9);
  EXPECT_DOUBLE_EQ(after.bytes_per_second, before.bytes_per_second);
  ModelShape shape;
  shape.layers = 10;
  shape.hidden = 64;
  EXPECT_GT(reduce_seconds(shape, 2, 1, after), reduce_seconds(shape, 2, 1, before));
}

// A model's step that the formula itself describes gives back what went in.
TEST_F(Calibrations, CostsOfALayerAreWhatIsLeftOfTwoSteps) {
  constexpr double kLayers = 24;
  constexpr double kBytes = 2.9e9;
  const GpuRates& truth = calibration_.rates;
  const auto step = [&](double rows) {
    return kBytes / truth.read + kLayers * (truth.layer_seconds + truth.layer_row_seconds * rows);
  };
  GpuRates rates{.read = truth.read};
  set_layer_costs(
      {.one = step(1), .many = step(64), .rows = 64, .layers = kLayers, .bytes = kBytes}, rates);
  EXPECT_NEAR(rates.layer_seconds, truth.layer_seconds, 1e-9);
  EXPECT_NEAR(rates.layer_row_seconds, truth.layer_row_seconds, 1e-10);
  // A step faster than its bytes: the measurement was disturbed; costs stay above zero.
  set_layer_costs({.one = 1e-6, .many = 1e-6, .rows = 64, .layers = kLayers, .bytes = kBytes},
                  rates);
  EXPECT_GT(rates.layer_seconds, 0);
  EXPECT_GE(rates.layer_row_seconds, 0);
}

}  // namespace
}  // namespace tutti
