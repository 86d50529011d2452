// Kimi's tokenizer files: what is read, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/tiktoken_file.h"
#include "text/tokenizer.h"
#include "unit/loader/checkpoint_files.h"
#include "unit/text/tiktoken_files.h"

namespace tutti {
namespace {

using ::testing::HasSubstr;

Json config(const std::string& added = "") {
  return *parse_json(R"({"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]",
    "eos_token": "[EOS]", "added_tokens_decoder": {)" +
                     added + "}}");
}

std::shared_ptr<const Tokenizer> tokenizer(const std::vector<std::string>& tokens = {},
                                           const Json& with = config()) {
  auto made = Tokenizer::from_tiktoken(tiktoken_file(tokens), &with);
  EXPECT_TRUE(made.ok()) << made.status().message();
  return std::move(made).value();
}

std::vector<int32_t> ids(const Tokenizer& t, std::string_view text, EncodeOptions options = {}) {
  return t.encode(text, options).value();
}

TEST(TiktokenFile, Lines) {
  const auto tokens = parse_tiktoken("QQ== 0\r\nQUI= 7\n\nQUJD 12", "f");
  ASSERT_TRUE(tokens.ok()) << tokens.status().message();
  ASSERT_EQ(tokens->size(), 3U);
  EXPECT_EQ((*tokens)[1].bytes, "AB");
  EXPECT_EQ((*tokens)[1].rank, 7);
  EXPECT_EQ((*tokens)[2].bytes, "ABC");
}

TEST(TiktokenFile, OtherLinesAreRefused) {
  for (const char* line :
       {"QQ==", "QQ== x", "QQ== 1 2", "QQ 1", "Q?== 1", " 1", "QQ== -1", "QQ==  1", "====  1"}) {
    const auto tokens = parse_tiktoken(std::string("QUI= 0\n") + line, "f");
    ASSERT_FALSE(tokens.ok()) << line;
    EXPECT_THAT(tokens.status().message(), HasSubstr("f: line 2")) << line;
  }
  for (const char* text : {"", "QQ== 1\nQQ== 2\n", "QQ== 1\nQUI= 1\n"}) {
    const Json with = config();
    EXPECT_FALSE(Tokenizer::from_tiktoken(text, &with).ok()) << text;
  }
}

// Neighbours merge by the rank of what they become, however that may be split.
TEST(Tiktoken, MergesByRanks) {
  EXPECT_EQ(ids(*tokenizer({"bc", "ab"}), "xabc"), (std::vector<int32_t>{'x', 'a', 256}));
  EXPECT_EQ(ids(*tokenizer({"ab", "bc"}), "xabc"), (std::vector<int32_t>{'x', 256, 'c'}));
  // Two ways to make one token; one of them does not come about.
  EXPECT_EQ(ids(*tokenizer({"bc", "abc", "ab"}), "zabc"), (std::vector<int32_t>{'z', 257}));
  EXPECT_EQ(ids(*tokenizer({"ab", "abc", "bc"}), "zabc"), (std::vector<int32_t>{'z', 257}));
  // No merge leads to it, but a piece that is a token is that.
  EXPECT_EQ(ids(*tokenizer({"wxyz"}), "wxyz"), (std::vector<int32_t>{256}));
  EXPECT_EQ(ids(*tokenizer({"wxyz"}), "vwxyz"), (std::vector<int32_t>{'v', 'w', 'x', 'y', 'z'}));
}

TEST(Tiktoken, ChineseIsCutApart) {
  const std::string han = "中";
  // No token across the border of Chinese and other letters, though there is one.
  EXPECT_EQ(ids(*tokenizer({"a" + han}), "a" + han).size(), 4U);
  EXPECT_EQ(ids(*tokenizer({"ab"}), "ab"), (std::vector<int32_t>{256}));
  EXPECT_EQ(ids(*tokenizer({" a"}), " a"), (std::vector<int32_t>{256}));
  EXPECT_EQ(ids(*tokenizer({" " + han}), " " + han).size(), 4U) << "neither a space before it";
}

TEST(Tiktoken, SpecialTokens) {
  const auto t = tokenizer({}, config(R"("256": {"content": "[BOS]", "special": true},
      "257": {"content": "[EOS]", "special": true}, "262": {"content": "<think>", "special": false})"));
  EXPECT_EQ(t->vocab_size(), 256 + 256);
  EXPECT_EQ(t->bos_id(), 256);
  EXPECT_EQ(t->eos_id(), 257);
  EXPECT_TRUE(t->prefix_ids().empty());
  EXPECT_EQ(t->token_id("<|reserved_token_300|>"), 300);
  EXPECT_EQ(ids(*t, "a<think>[EOS]"), (std::vector<int32_t>{'a', 262, 257}));
  EXPECT_EQ(ids(*t, "[EOS]", {.parse_special = false}).size(), 5U);
  const std::vector<int32_t> out{'a', 262, 257};
  EXPECT_EQ(t->decode(out), "a<think>[EOS]");
  EXPECT_EQ(t->decode(out, /*skip_special=*/true), "a<think>");
}

TEST(Tiktoken, WhatIsNotKnownIsRefused) {
  const auto refused = [](const Json* with) {
    const auto made = Tokenizer::from_tiktoken(tiktoken_file(), with);
    return made.ok() ? std::string("taken") : made.status().message();
  };
  EXPECT_THAT(refused(nullptr), HasSubstr("tokenizer_class"));
  const Json other = *parse_json(R"({"tokenizer_class": "QWenTokenizer"})");
  EXPECT_THAT(refused(&other), HasSubstr("QWenTokenizer"));
  const Json outside = config(R"("512": {"content": "<x>"})");
  EXPECT_THAT(refused(&outside), HasSubstr("added_tokens_decoder.512"));
  const Json nameless = config(R"("256": {"special": true})");
  EXPECT_THAT(refused(&nameless), HasSubstr("added_tokens_decoder.256"));
  const Json plain = config();
  const auto gap = Tokenizer::from_tiktoken(tiktoken_file() + "YWI= 300\n", &plain);
  ASSERT_FALSE(gap.ok());
  EXPECT_THAT(gap.status().message(), HasSubstr("rank 300"));
}

TEST(Tiktoken, FromADirectory) {
  const testing::TempDir directory;
  EXPECT_FALSE(Tokenizer::is_in(directory.path()));
  directory.write("tiktoken.model", tiktoken_file({"ab"}));
  directory.write("tokenizer_config.json", to_string(config()));
  EXPECT_TRUE(Tokenizer::is_in(directory.path()));
  const auto t = Tokenizer::load(directory.path());
  ASSERT_TRUE(t.ok()) << t.status().message();
  EXPECT_EQ(ids(**t, "ab"), (std::vector<int32_t>{256}));
}

}  // namespace
}  // namespace tutti
