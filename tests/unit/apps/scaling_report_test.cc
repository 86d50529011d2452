// What is said of runs that somebody measured.
#include "apps/scaling_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

ScalingRun run(int ranks, double seconds, double compute, double communication) {
  ScalingRun out{.ranks = ranks,
                 .prefill_tokens_per_second = 1000.0 * ranks,
                 .decode_tokens_per_second = 1 / seconds,
                 .step = split_step(seconds, compute, communication)};
  for (int i = 0; i < ranks; ++i) {
    out.gpus.push_back(i);
    out.gpu_busy.push_back(0.9);
  }
  return out;
}

// 10 ms alone; at 2 and 4 GPUs operations shrink and sums are added.
Scaling four_gpus() {
  return {.model = "qwen2-7b",
          .batch = 1,
          .prompt_tokens = 128,
          .new_tokens = 64,
          .runs = {run(1, 0.010, 0.0095, 0),
                   run(2, 0.006, 0.005, 0.0008),
                   run(4, 0.004, 0.003, 0.0009)},
          .promised_bytes_per_second = 450e9,
          .measured_bytes_per_second = 300e9};
}

std::vector<std::string> codes(const Scaling& scaling) {
  std::vector<std::string> out;
  for (const ScalingNote& note : explain(scaling)) {
    out.push_back(note.code);
  }
  return out;
}

std::string text_of(const Scaling& scaling, const std::string& code) {
  for (const ScalingNote& note : explain(scaling)) {
    if (note.code == code) {
      return note.text;
    }
  }
  return "no such note";
}

TEST(Scaling, StepsAreSplitWithoutCountingTwice) {
  const StepShares step = split_step(0.010, 0.006, 0.001);
  EXPECT_DOUBLE_EQ(step.host, 0.003);
  const StepShares over = split_step(0.010, 0.015, 0.005);
  EXPECT_DOUBLE_EQ(over.compute, 0.0075);
  EXPECT_DOUBLE_EQ(over.communication, 0.0025);
  EXPECT_NEAR(over.host, 0, 1e-12);
  EXPECT_EQ(split_step(0, 0, 0).host, 0);
}

TEST(Scaling, SpeedUpAndEfficiency) {
  const Scaling scaling = four_gpus();
  EXPECT_DOUBLE_EQ(speedup(scaling, scaling.runs[0]), 1);
  EXPECT_DOUBLE_EQ(speedup(scaling, scaling.runs[2]), 2.5);
  EXPECT_DOUBLE_EQ(efficiency(scaling, scaling.runs[2]), 0.625);
}

TEST(Scaling, AModelThatTakesTwoGpusCountsFromThem) {
  Scaling scaling = four_gpus();
  scaling.runs[0].failure = "does not fit";
  EXPECT_DOUBLE_EQ(speedup(scaling, scaling.runs[1]), 2);
  EXPECT_DOUBLE_EQ(speedup(scaling, scaling.runs[2]), 3);
  EXPECT_EQ(speedup(scaling, scaling.runs[0]), 0);
  EXPECT_THAT(codes(scaling), Contains("baseline"));
  EXPECT_THAT(text_of(scaling, "not_run"), HasSubstr("1 rank: does not fit"));
}

TEST(Scaling, SaysWhereTheTimeWent) {
  const Scaling scaling = four_gpus();
  EXPECT_THAT(text_of(scaling, "efficiency"), HasSubstr("at 4 ranks a step takes 4.0 ms"));
  EXPECT_THAT(text_of(scaling, "efficiency"), HasSubstr("perfect scaling would take 2.5 ms"));
  EXPECT_THAT(text_of(scaling, "communication"), HasSubstr("22 % of a step"));
  EXPECT_THAT(text_of(scaling, "compute"), HasSubstr("more than their share"));
  EXPECT_THAT(
      text_of(scaling, "links"),
      HasSubstr("promise 450.0 GB/s one way, sums of large messages reach 300.0 GB/s (67 %)"));
  EXPECT_THAT(codes(scaling), Not(Contains("best")));
}

TEST(Scaling, RanksThatShareTheirHardwareAreNoFault) {
  Scaling scaling = four_gpus();
  scaling.hardware = Hardware::kCpu;
  scaling.cpus = 2;
  scaling.runs = {run(1, 0.010, 0.009, 0), run(2, 0.012, 0.009, 0.002)};
  scaling.promised_bytes_per_second.reset();
  EXPECT_THAT(text_of(scaling, "shared_cpu"), HasSubstr("its 2 processors"));
  EXPECT_THAT(text_of(scaling, "efficiency"), HasSubstr("without a split would take 10.0 ms"));
  EXPECT_THAT(codes(scaling), Not(Contains("compute")));
  EXPECT_THAT(codes(scaling), Not(Contains("links")));
  scaling.hardware = Hardware::kOneGpu;
  EXPECT_THAT(codes(scaling), Contains("shared_gpu"));
}

TEST(Scaling, SlowLinksAndIdleGpusAreNamed) {
  Scaling scaling = four_gpus();
  scaling.measured_bytes_per_second = 20e9;
  scaling.runs[2].gpu_busy = {0.9, 0.1, 0.9, 0.9};
  EXPECT_THAT(text_of(scaling, "links_slow"), HasSubstr("tutti doctor"));
  EXPECT_THAT(text_of(scaling, "idle_gpu"), HasSubstr("one GPU is busy 10 %"));
}

TEST(Scaling, TheFastestIsNamedIfItIsNotTheLargest) {
  Scaling scaling = four_gpus();
  scaling.runs[2] = run(4, 0.008, 0.003, 0.004);
  EXPECT_THAT(text_of(scaling, "best"), HasSubstr("2 ranks are fastest"));
}

TEST(Scaling, Json) {
  Scaling scaling = four_gpus();
  scaling.runs.push_back({.ranks = 8, .failure = "there are 4 GPUs"});
  const Json json = scaling_json(scaling);
  EXPECT_EQ(json.find("schema")->as_int(), 1);
  const JsonArray& runs = json.find("runs")->as_array();
  ASSERT_EQ(runs.size(), 4U);
  EXPECT_EQ(to_string(*runs[1].find("gpus")), "[0,1]");
  EXPECT_EQ(runs[1].find("parallel")->find("tp")->as_int(), 2);
  EXPECT_NEAR(runs[1].find("step_seconds")->find("host")->as_number(), 0.0002, 1e-9);
  EXPECT_NEAR(runs[2].find("efficiency")->as_number(), 0.625, 1e-9);
  EXPECT_TRUE(runs[3].find("speedup")->is_null());
  EXPECT_EQ(runs[3].find("error")->as_string(), "there are 4 GPUs");
  EXPECT_EQ(json.find("links")->find("promised_bytes_per_second")->as_number(), 450e9);
  for (const Json& note : json.find("notes")->as_array()) {
    EXPECT_TRUE(note.find("code")->is_string());
    EXPECT_TRUE(note.find("text")->is_string());
  }
}

TEST(Scaling, TextAndPicture) {
  Scaling scaling = four_gpus();
  scaling.model = "a<b&c";
  scaling.runs.push_back({.ranks = 8, .failure = "there are 4 GPUs"});
  const std::string text = scaling_text(scaling);
  EXPECT_THAT(text, HasSubstr("    4 ########################     250.0   2.50   62%"));
  EXPECT_THAT(text, HasSubstr("    8 not run, see below"));
  const std::string svg = scaling_svg(scaling);
  EXPECT_THAT(svg, HasSubstr("<svg xmlns="));
  EXPECT_THAT(svg, HasSubstr("a&lt;b&amp;c"));
  EXPECT_THAT(svg, HasSubstr("250.0 (62 %)"));
  EXPECT_THAT(svg, HasSubstr("not run"));
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

}  // namespace
}  // namespace tutti
