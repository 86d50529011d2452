// Flags of other servers: the same thing under another name, or what to type instead.
#include "apps/foreign_flags.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "doc_tables.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

// A command with two flags that take a value and one that does not.
Result<std::vector<std::string>> translate(const std::vector<std::string>& args) {
  const std::set<std::string_view> with_value{"--tp", "--context", "--system", "--host"};
  const std::set<std::string_view> alone{"--no-prefix-cache", "-q"};
  return translate_foreign_flags(
      args,
      {.has =
           [&](std::string_view flag) { return with_value.contains(flag) || alone.contains(flag); },
       .takes_value = [&](std::string_view flag) { return with_value.contains(flag); }});
}

using Args = std::vector<std::string>;

TEST(ForeignFlags, TheSameUnderAnotherNameIsTaken) {
  EXPECT_EQ(*translate({"m", "--max-model-len", "4096"}), (Args{"m", "--context", "4096"}));
  EXPECT_EQ(*translate({"m", "--max_model_len=4096"}), (Args{"m", "--context", "4096"}));
  EXPECT_EQ(*translate({"-tp", "2", "m"}), (Args{"--tp", "2", "m"}));
  EXPECT_EQ(*translate({"--tensor-parallel-size=2", "m", "-q"}), (Args{"--tp", "2", "m", "-q"}));
  EXPECT_EQ(*translate({"--disable-radix-cache", "m"}), (Args{"--no-prefix-cache", "m"}));
  EXPECT_EQ(*translate({"-q", "--model", "org/m", "Hi"}), (Args{"org/m", "-q", "Hi"}));
}

TEST(ForeignFlags, WhatIsOursStays) {
  for (const Args& args : {Args{},
                           Args{"m", "--tp", "2"},
                           Args{"m", "--system", "-tp", "Hi"},
                           Args{"m", "--system", "--dtype"},
                           Args{"m", "--", "--dtype", "-ngl"},
                           Args{"m", "--unknown", "-x", "-", "--"}}) {
    EXPECT_EQ(*translate(args), args);
  }
}

TEST(ForeignFlags, OthersAreRefusedWithWhatToTypeInstead) {
  for (const auto& [flag, ours] : {std::pair{"--gpu-memory-utilization", "--kv-memory"},
                                   {"--gpu_memory_utilization=0.9", "--kv-memory"},
                                   {"--n-gpu", "--gpus"},
                                   {"-ngl", "--gpus"},
                                   {"--ctx-size", "--context"},
                                   {"--dtype", "--compute"},
                                   {"-pp", "--tp"}}) {
    const auto got = translate({"m", flag, "1"});
    ASSERT_FALSE(got.ok()) << flag;
    EXPECT_EQ(got.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(got.status().message(), HasSubstr(ours)) << flag;
  }
  EXPECT_THAT(translate({"m", "--max-num-seqs", "4"}).status().message(),
              HasSubstr("--max-batch-sequences"));
  EXPECT_THAT(translate({"m", "--max-model-len"}).status().message(), HasSubstr("--context"));
}

TEST(ForeignFlags, EverySpellingStandsOnceAndLeadsSomewhere) {
  std::set<std::string> seen;
  for (const ForeignFlag& row : foreign_flags()) {
    EXPECT_NE(row.same[0] == '\0', row.advice[0] == '\0') << row.flags;
    std::stringstream flags(row.flags);
    for (std::string flag; flags >> flag;) {
      EXPECT_TRUE(seen.insert(flag).second) << flag;
    }
  }
}

std::string flags_table() {
  std::string out = "| flag | of | here |\n|---|---|---|\n";
  for (const ForeignFlag& row : foreign_flags()) {
    std::stringstream flags(row.flags);
    std::string names;
    for (std::string flag; flags >> flag;) {
      names += (names.empty() ? "`" : ", `") + flag + "`";
    }
    const std::string same = row.same;
    out += "| " + names + " | " + row.of + " | " +
           (same.empty() ? row.advice : "taken as `" + same + "`") + " |\n";
  }
  return out;
}

TEST(ForeignFlags, TheDocumentHasThem) {
  testing::expect_tables("docs/serving.md", {{"foreign flags", flags_table()}});
}

}  // namespace
}  // namespace tutti
