// Flags of other servers: the same thing under another name, or what to type instead.
#include "apps/foreign_flags.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
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

// Of releases older than those of the list.
const std::set<std::string> kOlder{"--num-ctx",
                                   "--num-gpus",
                                   "--swap-space",
                                   "--mlock",
                                   "--no-mmap",
                                   "--disable-log-requests",
                                   "--keep-alive",
                                   "--guided-decoding-backend",
                                   "--task",
                                   "--supervisor-address"};

std::set<std::string> words_of(std::string_view text) {
  std::set<std::string> out;
  std::stringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    out.insert(word.substr(0, word.find(',')));
  }
  return out;
}

// The lists are made from the servers' own packages by tools/peer_flags.py.
TEST(ForeignFlags, TheyAreTheOtherServersOwn) {
  const auto lists = parse_json_file(TUTTI_SOURCE_DIR "/tests/e2e/peer_flags.json");
  ASSERT_TRUE(lists.ok()) << lists.status().message();
  std::map<std::string, std::set<std::string>> servers_of;  // by flag
  for (const JsonMember& server : lists->as_object()) {
    for (const Json& flag : server.value.find("flags")->as_array()) {
      servers_of[flag.as_string()].insert(server.key);
    }
  }
  EXPECT_GT(servers_of.size(), 1000U);
  for (const ForeignFlag& row : foreign_flags()) {
    const std::set<std::string> said = words_of(row.of);
    std::set<std::string> found;
    for (const std::string& flag : words_of(row.flags)) {
      const std::set<std::string>& servers = servers_of[flag];
      EXPECT_EQ(servers.empty(), kOlder.contains(flag)) << flag;
      found.insert(servers.begin(), servers.end());
    }
    std::set<std::string> all = found;
    all.insert(said.begin(), said.end());
    EXPECT_EQ(all, said) << row.flags << ": the table leaves somebody out";
    if (!words_of(row.flags).contains("--num-ctx")) {  // a parameter of Ollama's, not a flag
      EXPECT_EQ(found, said) << row.flags << ": the table names somebody who has none of these";
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
