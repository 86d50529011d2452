// What is written reads back, and what somebody else wrote is refused by name.
#include "watch/gpu_status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "watch/eight_gpus.h"

namespace tutti::test {
namespace {

using ::testing::HasSubstr;

TEST(GpuStatus, ReadsBack) {
  const GpuStatus status = eight_gpus();
  const std::string text = to_string(status_json(status));
  const Result<GpuStatus> again = parse_status(parse_json(text).value());
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_EQ(to_string(status_json(*again)), text);
  EXPECT_EQ(again->gpus.size(), 8U);
  EXPECT_EQ(again->gpus[6].slowed_seconds.at("hw_thermal"), 12.5);
  EXPECT_EQ(again->gpus[7].xids.at(79), 1);
  EXPECT_TRUE(again->gpus[7].lost);
  EXPECT_EQ(again->gpus[7].busy, std::nullopt);
  EXPECT_EQ(again->notices.size(), 2U);
}

TEST(GpuStatus, OtherPeoplesJson) {
  for (const auto& [text, why] : {std::pair("{}", "gpus: wanted an array"),
                                  std::pair(R"({"gpus": 3})", "gpus: wanted an array"),
                                  std::pair(R"({"gpus": [3]})", "gpus[0]: got"),
                                  std::pair(R"({"gpus": [{}, {"busy": "x"}]})", "gpus[1]")}) {
    const Result<GpuStatus> status = parse_status(parse_json(text).value());
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_THAT(status.status().message(), HasSubstr(why));
  }
  EXPECT_TRUE(parse_status(parse_json(R"({"gpus": [{"new": 1, "slowed_by": 3}]})").value()).ok());
}

TEST(GpuStatus, OfSeveralServersOfOneMachine) {
  GpuStatus a = eight_gpus();
  GpuStatus b = eight_gpus();
  a.gpus[0].used = false;
  a.gpus[1].used = false;
  b.gpus[0].used = false;
  b.gpus[6].slowed_seconds["hw_thermal"] = 99;
  b.notices.push_back({.time = "2026-11-30T22:18:30Z", .gpu = 0, .text = "between"});
  const GpuStatus both = merge_statuses({a, b});
  ASSERT_EQ(both.gpus.size(), 8U);
  EXPECT_FALSE(both.gpus[0].used);
  EXPECT_TRUE(both.gpus[1].used);
  EXPECT_EQ(both.gpus[6].slowed_seconds.at("hw_thermal"), 99);
  EXPECT_EQ(both.gpus[7].xids.at(79), 1);
  ASSERT_EQ(both.notices.size(), 3U);
  EXPECT_EQ(both.notices[1].text, "between");
  EXPECT_TRUE(merge_statuses({}).gpus.empty());
  EXPECT_EQ(merge_statuses({{.error = "no driver"}}).error, "no driver");
}

TEST(GpuStatus, Times) {
  EXPECT_EQ(utc_time(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(utc_time(1795994568), "2026-11-29T23:22:48Z");
}

}  // namespace
}  // namespace tutti::test
