#include "loadgen/chunk_fields.h"

#include <gtest/gtest.h>

namespace tutti::loadgen {
namespace {

TEST(ChunkFieldsTest, TextOfEveryKindOfChunk) {
  ChunkReader reader;
  const std::pair<const char*, const char*> cases[] = {
      {R"({"choices":[{"index":0,"text":" a","logprobs":null,"finish_reason":null}]})", " a"},
      {R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})", ""},
      {R"({"choices":[{"index":0,"delta":{"content":"\u00e9\n"}}]})", "\xC3\xA9\n"},
      {R"({"choices":[{"delta":{"reasoning_content":"hm"},"finish_reason":null}]})", "hm"},
      {R"({"choices":[{"delta":{"reasoning":"hm"}}],"usage":null})", "hm"},
      {R"({"choices":[{"message":{"role":"assistant","content":"whole"}}]})", "whole"},
      {R"({"choices":[],"text":"not here","content":"nor here"})", ""},
      {R"({"choices":[{"logprobs":{"content":[{"token":"x","content":"y"}]},"text":"z"}]})", "z"},
  };
  for (const auto& [json, text] : cases) {
    const ChunkFields* fields = reader.read(json);
    ASSERT_NE(fields, nullptr) << json;
    EXPECT_EQ(fields->text, text) << json;
    EXPECT_FALSE(fields->error.has_value()) << json;
  }
}

TEST(ChunkFieldsTest, UsageFinishAndNothingLeftFromTheChunkBefore) {
  ChunkReader reader;
  const ChunkFields* fields = reader.read(
      R"({"choices":[{"text":"x","finish_reason":"length"}],"usage":{"prompt_tokens":12,)"
      R"("completion_tokens":34,"total_tokens":46,"prompt_tokens_details":{"cached_tokens":5},)"
      R"("completion_tokens_details":{"reasoning_tokens":9,"completion_tokens":99}}})");
  ASSERT_NE(fields, nullptr);
  EXPECT_TRUE(fields->finished);
  EXPECT_EQ(fields->prompt_tokens, 12);
  EXPECT_EQ(fields->completion_tokens, 34);
  EXPECT_EQ(fields->cached_tokens, 5);
  fields = reader.read(R"({"choices":[{"finish_reason":null}],"usage":null})");
  ASSERT_NE(fields, nullptr);
  EXPECT_FALSE(fields->finished);
  EXPECT_FALSE(fields->prompt_tokens.has_value());
  EXPECT_EQ(fields->text, "");
}

TEST(ChunkFieldsTest, Errors) {
  ChunkReader reader;
  EXPECT_EQ(reader.read(R"({"error":{"message":"queue full","type":"x","code":null}})")->error,
            "queue full");
  EXPECT_EQ(reader.read(R"({"error":"plain"})")->error, "plain");
  EXPECT_EQ(reader.read(R"({"error":{}})")->error, "");
  EXPECT_FALSE(reader.read(R"({"error":null})")->error.has_value());
}

TEST(ChunkFieldsTest, WhatIsNoObjectIsRefused) {
  ChunkReader reader;
  for (const std::string& json : {std::string(),
                                  std::string("[1]"),
                                  std::string("null"),
                                  std::string("\"text\""),
                                  std::string("{\"choices\":["),
                                  std::string("nonsense"),
                                  "{\"a\":" + std::string(100'000, '[')}) {
    EXPECT_EQ(reader.read(json), nullptr) << json.substr(0, 40);
  }
  EXPECT_NE(reader.read("{}"), nullptr);  // and the reader still works
}

}  // namespace
}  // namespace tutti::loadgen
