// What --gpus says, and which of the GPUs that CUDA shows it means.
#include "backend/gpu_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using Names = std::vector<std::string>;
using Picked = std::vector<size_t>;

TEST(GpuChoiceTest, AutoAllAndNumbers) {
  EXPECT_TRUE(parse_gpu_choice("auto")->automatic());
  EXPECT_FALSE(parse_gpu_choice("all")->automatic());
  EXPECT_TRUE(parse_gpu_choice("all")->all);
  EXPECT_EQ(parse_gpu_choice("2")->count, 2);
  EXPECT_EQ(parse_gpu_choice("2")->names, Names{});
  EXPECT_EQ(parse_gpu_choice("99999999999")->count, 64) << "refused later by what is there";
}

TEST(GpuChoiceTest, Lists) {
  EXPECT_EQ(parse_gpu_choice("0,2,3")->names, (Names{"0", "2", "3"}));
  EXPECT_EQ(parse_gpu_choice("0,2,3")->count, 0);
  EXPECT_EQ(parse_gpu_choice("2,")->names, Names{"2"});
  EXPECT_EQ(parse_gpu_choice("GPU-8932f937")->names, Names{"GPU-8932f937"});
  EXPECT_EQ(parse_gpu_choice("1,GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-0a")->names,
            (Names{"1", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-0a"}));
  EXPECT_TRUE(parse_gpu_choice("MIG-GPU-8932f937/1/0").ok());
}

TEST(GpuChoiceTest, WhatIsNoChoice) {
  for (const char* text : {"",
                           ",",
                           "0",
                           "-1",
                           "two",
                           "1;2",
                           "1, 2",
                           "1,,2",
                           ",1",
                           "GPU-",
                           "GPU",
                           "GPU-xyz",
                           "all,1"}) {
    const auto choice = parse_gpu_choice(text);
    ASSERT_FALSE(choice.ok()) << text;
    EXPECT_EQ(choice.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(choice.status().message(), StartsWith(fmt::format("‹gpus› {}: wanted", text)));
  }
}

TEST(GpuChoiceTest, TextIsWhatWasTyped) {
  for (const char* text : {"auto", "all", "2", "0,2,3", "2,", "GPU-8932f937", "1,GPU-89"}) {
    EXPECT_EQ(parse_gpu_choice(text)->text(), text);
  }
}

class PickTest : public ::testing::Test {
 protected:
  static Result<Picked> pick(const std::string& text,
                             const std::optional<std::string>& mask = std::nullopt) {
    return pick_gpus(parse_gpu_choice(text).value(), kVisible, mask);
  }

  static void expect_refused(const std::string& text, StatusCode code, const Names& parts) {
    const auto picked = pick(text);
    ASSERT_FALSE(picked.ok()) << text;
    EXPECT_EQ(picked.status().code(), code) << text;
    EXPECT_THAT(picked.status().message(), StartsWith("‹gpus› " + text + ": "));
    for (const std::string& part : parts) {
      EXPECT_THAT(picked.status().message(), HasSubstr(part));
    }
  }

  inline static const std::vector<VisibleGpu> kVisible{
      {0, "NVIDIA H200", "GPU-8932f937-0000-0000-0000-000000000000"},
      {1, "NVIDIA H200", "GPU-8932aaaa-0000-0000-0000-000000000000"},
      {2, "NVIDIA H200 MIG 1g.18gb", "MIG-11110000-0000-0000-0000-000000000000"},
      {3, "NVIDIA L40S", "GPU-22220000-0000-0000-0000-000000000000"}};
};

TEST_F(PickTest, CountsTakeTheFirst) {
  EXPECT_EQ(*pick("auto"), (Picked{0, 1, 2, 3}));
  EXPECT_EQ(*pick("all"), (Picked{0, 1, 2, 3}));
  EXPECT_EQ(*pick("2"), (Picked{0, 1}));
}

TEST_F(PickTest, ListsKeepTheirOrder) {
  EXPECT_EQ(*pick("3,0"), (Picked{3, 0}));
  EXPECT_EQ(*pick("2,"), Picked{2});
  EXPECT_EQ(*pick("GPU-2"), Picked{3}) << "a unique beginning";
  EXPECT_EQ(*pick("gpu-8932F937,3,MIG-11"), (Picked{0, 3, 2}));
}

TEST_F(PickTest, WhatIsNotThereIsNamedBesideWhatIs) {
  const Names visible{"0 NVIDIA H200 (GPU-8932f937-0000-0000-0000-000000000000)",
                      "3 NVIDIA L40S (GPU-22220000-0000-0000-0000-000000000000)"};
  expect_refused("5", StatusCode::kNotFound, visible);
  expect_refused("5", StatusCode::kNotFound, {"type ‹gpus› 4"});
  expect_refused("0,4", StatusCode::kNotFound, visible);
  expect_refused("0,4", StatusCode::kNotFound, {"there is no GPU 4"});
  expect_refused("GPU-ff", StatusCode::kNotFound, visible);
  expect_refused("GPU-1111", StatusCode::kNotFound, {"there is no GPU GPU-1111"});
  EXPECT_THAT(pick("5").status().message(), Not(HasSubstr("CUDA_VISIBLE_DEVICES")));
  EXPECT_THAT(pick("5", "4,5,6,7").status().message(), HasSubstr("CUDA_VISIBLE_DEVICES=4,5,6,7"));
}

TEST_F(PickTest, AmbiguousAndDoubleNamesAreRefused) {
  expect_refused("GPU-8932", StatusCode::kInvalidArgument, {"several GPUs begin with GPU-8932"});
  expect_refused("1,1", StatusCode::kInvalidArgument, {"1 names cuda:1 a second time"});
  expect_refused("GPU-8932f,3,0", StatusCode::kInvalidArgument, {"0 names cuda:0 a second time"});
}

TEST(GpuTextTest, ListsAndGroups) {
  EXPECT_EQ(gpu_list({0}), "cuda:0");
  EXPECT_EQ(gpu_list({0, 1, 2, 3}), "cuda:0-3");
  EXPECT_EQ(gpu_list({0, 2, 3, 7}), "cuda:0,2-3,7");
  EXPECT_EQ(gpu_list({3, 2}), "cuda:3,2");
  EXPECT_EQ(describe_gpus({{0, "A", ""}}), "A (cuda:0)");
  EXPECT_EQ(describe_gpus({{0, "A", ""}, {1, "A", ""}}), "2 x A (cuda:0-1)");
  EXPECT_EQ(describe_gpus({{0, "A", ""}, {1, "B", ""}, {2, "A", ""}}),
            "2 x A (cuda:0,2) + B (cuda:1)");
}

TEST(GpuTextTest, MaskThatHidesAll) {
  for (const char* mask : {"-1", "", "GPU-dead"}) {
    const std::string text = mask_names_none(mask);
    EXPECT_THAT(text, StartsWith(fmt::format("CUDA_VISIBLE_DEVICES=\"{}\" names no GPU", mask)));
    EXPECT_THAT(text, HasSubstr("unset CUDA_VISIBLE_DEVICES"));
    EXPECT_THAT(text, HasSubstr("nvidia-smi -L"));
  }
}

}  // namespace
}  // namespace tutti
