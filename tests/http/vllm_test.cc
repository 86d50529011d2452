// vLLM's routes to the tokenizer. The fake model has a token per byte and no text of tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti {
namespace {

using namespace testing;

TEST(Vllm, TokensOfATextAndOfAChat) {
  TestServer s;
  const Json text = body_json(s.post("/tokenize", R"({"prompt":"abc"})"));
  EXPECT_EQ(to_string(text),
            R"({"count":3,"max_model_len":4096,"tokens":[97,98,99],"token_strs":null})");
  const Json chat =
      body_json(s.post("/tokenize", R"({"messages":[{"role":"user","content":"hi"}]})"));
  const Json used =
      body_json(s.post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}]})"));
  EXPECT_EQ(to_string(at(chat, "count")), to_string(at(used, "usage", "prompt_tokens")));
}

TEST(Vllm, HowAChatEnds) {
  TestServer s;
  const auto asked = [&](const char* more) {
    EXPECT_EQ(s.post("/tokenize",
                     fmt::format(R"({{"messages":[{{"role":"user","content":"hi"}}]{}}})", more))
                  .status,
              200);
    return s.model->last_chat();
  };
  EXPECT_TRUE(asked("").add_generation_prompt);
  EXPECT_FALSE(asked(R"(,"add_generation_prompt":false)").add_generation_prompt);
  EXPECT_TRUE(asked(R"(,"continue_final_message":true)").continue_final_message);
}

TEST(Vllm, WhatIsWrongIsNamed) {
  TestServer s;
  for (const auto& [path, body, param] :
       {std::tuple{"/tokenize", "{}", "prompt"},
        std::tuple{"/tokenize", R"({"prompt":"x","messages":[]})", "prompt"},
        std::tuple{"/detokenize", "{}", "tokens"},
        std::tuple{"/detokenize", R"({"tokens":[-1]})", "tokens[0]"},
        std::tuple{"/detokenize", R"({"tokens":[1000]})", "tokens[0]"}}) {
    const RawResponse response = s.post(path, body);
    EXPECT_EQ(response.status, 400) << path << body;
    EXPECT_EQ(text_at(at(error_of(response), "param")), param);
  }
  EXPECT_EQ(s.post("/detokenize", R"({"tokens":[1]})").status, 400);  // it has no tokenizer
}

}  // namespace
}  // namespace tutti
