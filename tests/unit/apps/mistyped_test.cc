#include "apps/mistyped.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tutti {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kCommands{"run", "serve", "bench", "doctor", "plan", "models"};
const std::vector<std::string> kFlags{"--help", "-h", "--port", "--max-tokens", "--context"};

TEST(Mistyped, TheNearestCommandAndAllOfThem) {
  EXPECT_THAT(unknown_command("plann", "", kCommands),
              AllOf(HasSubstr("\"plann\""),
                    HasSubstr("did you mean tutti plan?"),
                    HasSubstr("run, serve, bench, doctor, plan, models")));
  EXPECT_THAT(unknown_command("zebra", "", kCommands),
              AllOf(Not(HasSubstr("did you mean")), HasSubstr("tutti --help")));
}

TEST(Mistyped, CommandsOfOtherProgramsLeadToOurs) {
  for (const auto& [typed, ours] : {std::pair{"pull", "hf download"},
                                    {"ls", "tutti list"},
                                    {"chat", "tutti run MODEL"},
                                    {"cal-model-mem", "tutti plan MODEL"},
                                    {"collect-env", "tutti doctor --dump"}}) {
    EXPECT_THAT(unknown_command(typed, "", kCommands), HasSubstr(ours));
  }
  // They are commands of the program, not of "bench".
  const std::vector<std::string> bench{"latency", "throughput", "serve"};
  EXPECT_THAT(unknown_command("server", "bench", bench),
              HasSubstr("did you mean tutti bench serve?"));
}

TEST(Mistyped, TheNearestFlag) {
  for (const auto& [typed, ours] : {std::pair{"--prot", "--port"},
                                    {"--prot=8000", "--port"},
                                    {"-port", "--port"},
                                    {"--max_token", "--max-tokens"},
                                    {"--contex", "--context"},
                                    {"--conte", "--context"}}) {
    EXPECT_THAT(unknown_flag(typed, "serve", kFlags),
                AllOf(HasSubstr(typed),
                      HasSubstr(std::string("did you mean ") + ours + "?"),
                      HasSubstr("tutti serve --help")));
  }
  EXPECT_THAT(unknown_flag("--zebra", "bench serve", kFlags),
              AllOf(Not(HasSubstr("did you mean")), HasSubstr("tutti bench serve --help")));
}

}  // namespace
}  // namespace tutti
