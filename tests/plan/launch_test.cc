#include "plan/launch.h"

#include <gmock/gmock.h>

namespace tutti {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ModelFacts facts(const std::string& name) {
  const Result<Catalogue> catalogue = Catalogue::load();
  return *facts_of(*catalogue->find(name));
}

Inventory gpus(const std::string& hardware) {
  Inventory inventory = parse_hardware(hardware)->inventory;
  for (Gpu& gpu : inventory.gpus) {
    gpu.memory_used_bytes = 0;
    gpu.uuid = "GPU-" + std::to_string(*gpu.index) + "aaaa";
  }
  return inventory;
}

std::optional<Launch> launch(const std::string& model,
                             const Inventory& inventory,
                             const LaunchWish& wish = {}) {
  Result<std::optional<Launch>> planned =
      plan_launch(facts(model), machine_of(inventory, 1, ""), wish);
  EXPECT_TRUE(planned.ok()) << planned.status().message();
  return planned.ok() ? std::move(planned).value() : std::nullopt;
}

LaunchWish typed(const std::string& choice, int tp = 0) {
  return {.gpus = *parse_gpu_choice(choice), .tp = tp};
}

TEST(Launch, TakesEveryGpuThatHelps) {
  const std::optional<Launch> all = launch("deepseek-r1", gpus("8xH200"));
  ASSERT_TRUE(all);
  EXPECT_THAT(all->gpus, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(all->tp, 8);
  EXPECT_THAT(all->paragraph, HasSubstr("cuda:0-7"));
}

TEST(Launch, PassesOverABusyGpuAndSaysSo) {
  Inventory inventory = gpus("8xH200");
  inventory.gpus[1].memory_used_bytes = int64_t{139} << 30;
  const std::optional<Launch> four = launch("qwen2.5-7b", inventory);
  ASSERT_TRUE(four);
  EXPECT_THAT(four->gpus, ElementsAre(0, 2, 3, 4));
  EXPECT_THAT(four->paragraph, HasSubstr("cuda:0,2-4"));
  EXPECT_THAT(four->paragraph, HasSubstr("cuda:5-7 left out: the model cannot be split"));
  EXPECT_THAT(four->paragraph, HasSubstr("cuda:1 left out: busy: 1.5 GB of 150.8 GB is free"));
}

TEST(Launch, WhatWasTypedStays) {
  const std::optional<Launch> named = launch("qwen2.5-7b", gpus("8xH200"), typed("2,GPU-5"));
  ASSERT_TRUE(named);
  EXPECT_TRUE(named->gpus.empty());
  EXPECT_EQ(named->tp, 0);
  EXPECT_THAT(named->paragraph, HasSubstr("cuda:2,5"));
  EXPECT_THAT(named->paragraph, HasSubstr("‹gpus› 2,GPU-5 leaves it out"));
  const std::optional<Launch> two = launch("qwen2.5-7b", gpus("8xH200"), typed("auto", 2));
  ASSERT_TRUE(two);
  EXPECT_THAT(two->gpus, ElementsAre(0, 1));
  EXPECT_EQ(two->tp, 2);
}

TEST(Launch, RefusesWithWhatWouldDo) {
  const Result<std::optional<Launch>> refused =
      plan_launch(facts("deepseek-r1"), machine_of(gpus("8xH100-80GB"), 1, ""), {});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kOutOfMemory);
  EXPECT_THAT(refused.status().message(), HasSubstr("short by"));
  EXPECT_THAT(refused.status().message(), HasSubstr("tutti plan deepseek-r1:awq-int4"));
  // Of eight that would do, two were typed.
  const Result<std::optional<Launch>> few =
      plan_launch(facts("deepseek-r1"), machine_of(gpus("8xH200"), 1, ""), typed("2"));
  ASSERT_FALSE(few.ok());
  EXPECT_THAT(few.status().message(), HasSubstr("‹gpus› 2 leaves it out"));
}

TEST(Launch, OthersSayWhatItCannot) {
  EXPECT_FALSE(launch("kimi-k2-thinking", gpus("8xH200"))) << "this build cannot load it";
  EXPECT_FALSE(launch("qwen2.5-7b", gpus("8xH200"), typed("auto", 8))) << "an illegal split";
  EXPECT_FALSE(launch("qwen2.5-7b", gpus("8xH200"), typed("all"))) << "an illegal split";
  EXPECT_FALSE(launch("qwen2.5-7b", gpus("2xH200"), typed("auto", 4))) << "too few GPUs";
  EXPECT_FALSE(launch("qwen2.5-7b", gpus("2xH200"), {.ranks_per_gpu = 2}));
  EXPECT_FALSE(launch("qwen2.5-7b", Inventory{}));
  Inventory hidden = gpus("2xH200");
  hidden.gpus[0].index.reset();
  hidden.gpus[1].index.reset();
  EXPECT_FALSE(launch("qwen2.5-7b", hidden));
}

TEST(Launch, AShorterContextIsTakenAndSaid) {
  const std::optional<Launch> shorter = launch("llama-3.1-70b", gpus("H200"));
  ASSERT_TRUE(shorter);
  EXPECT_THAT(shorter->paragraph, HasSubstr("a context of 131072 tokens needs"));
}

TEST(Launch, AllowancesAloneRefuseNothing) {
  // 70B in bf16 takes 141.1 GB; with 800 MB beside it there is room, if CUDA needs less than it is
  // taken to need.
  Inventory inventory = gpus("H200");
  inventory.gpus[0].memory_used_bytes = *inventory.gpus[0].memory_total_bytes - 142'000'000'000;
  const Machine machine = machine_of(inventory, 1, "");
  const ModelFacts llama = facts("llama-3.1-70b");
  EXPECT_EQ(make_plan(llama, machine, {.context = 512})->verdict, Verdict::kRefused);
  EXPECT_TRUE(plan_launch(llama, machine, {.request = {.context = 512}}).ok());
  inventory.gpus[0].memory_used_bytes = *inventory.gpus[0].memory_total_bytes - 141'300'000'000;
  EXPECT_FALSE(
      plan_launch(llama, machine_of(inventory, 1, ""), {.request = {.context = 512}}).ok());
}

}  // namespace
}  // namespace tutti
