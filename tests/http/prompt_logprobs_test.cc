// What a reply says about its prompt: echo and prompt_logprobs, over a real engine. The model's
// tokens are bytes, and what it says of a prompt is known.
#include <gtest/gtest.h>

#include "engine/fake_model_runner.h"
#include "engine/text_engine.h"
#include "engine/text_engine_fakes.h"
#include "http/fake_language_model.h"
#include "http/test_server.h"

namespace tutti::testing {
namespace {

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kCompletions = "/v1/completions";

struct ByteServer {
  explicit ByteServer(ServerConfig config = {}) {
    RunnerLimits limits{.block_size = 4,
                        .num_blocks = 512,
                        .max_batch_tokens = 64,
                        .max_batch_sequences = 8,
                        .max_context = 1024,
                        .vocab_size = 300,
                        .max_score_rows = 7};
    std::vector<std::string> bytes;
    for (int i = 0; i < 256; ++i) {
      bytes.emplace_back(1, static_cast<char>(i));
    }
    TextEngineParts parts;
    parts.info.id = "bytes";
    parts.defaults.eos_token_ids = {299};
    parts.text = std::make_shared<FakeTokenText>(bytes);
    parts.runner = std::make_unique<FakeModelRunner>(limits);
    engine = std::make_shared<TextEngine>(std::move(parts));
    auto models = std::make_shared<ServedModels>();
    EXPECT_TRUE(models->add(std::make_shared<ByteModel>(engine)).ok());
    config.port = 0;
    auto started = HttpServer::start(std::move(config), models);
    EXPECT_TRUE(started.ok()) << started.status().message();
    server = std::move(started).value();
  }

  ~ByteServer() {
    server->stop();
    engine->shutdown();
  }

  RawResponse post(const char* path, const std::string& body) const {
    return ask(server->port(), make_post(path, body));
  }

  /// The only choice of a completion.
  Json choice(const std::string& fields) const {
    const RawResponse response = post(kCompletions, "{" + fields + "}");
    EXPECT_EQ(response.status, 200) << response.body;
    return at(body_json(response), "choices", 0);
  }

  /// "" or "<status> <param>".
  std::string verdict(const char* path, const std::string& fields) const {
    const RawResponse response = post(path, "{" + fields + "}");
    return response.status == 200
               ? ""
               : fmt::format("{} {}", response.status, text_at(at(error_of(response), "param")));
  }

  std::shared_ptr<TextEngine> engine;
  std::unique_ptr<HttpServer> server;
};

/// What the model says of byte `i` of the prompt.
PromptScore score_at(const std::string& prompt, size_t i, int32_t top) {
  std::vector<int32_t> ids(prompt.begin(), prompt.end());
  return fake_score(std::span(ids).first(i), ids[i], top);
}

TEST(Echo, ThePromptAlone) {
  ByteServer s;
  const RawResponse response =
      s.post(kCompletions, R"({"prompt":"abc","echo":true,"max_tokens":0})");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json json = body_json(response);
  EXPECT_EQ(to_string(at(json, "choices")),
            R"([{"index":0,"text":"abc","logprobs":null,"finish_reason":"length"}])");
  EXPECT_EQ(at(json, "usage", "prompt_tokens").as_int(), 3);
  EXPECT_EQ(at(json, "usage", "completion_tokens").as_int(), 0);
}

TEST(Echo, ThenTheOutputOfEachChoice) {
  ByteServer s;
  const std::string fields = R"("n":2,"seed":5,"max_tokens":4,"ignore_eos":true)";
  const Json plain = body_json(s.post(kCompletions, R"({"prompt":["ab","xyz"],)" + fields + "}"));
  const Json echo =
      body_json(s.post(kCompletions, R"({"prompt":["ab","xyz"],"echo":true,)" + fields + "}"));
  ASSERT_EQ(at(echo, "choices").as_array().size(), 4U);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(text_at(at(echo, "choices", i, "text")),
              (i < 2 ? "ab" : "xyz") + text_at(at(plain, "choices", i, "text")));
  }
  // Token ids are echoed as their text.
  EXPECT_EQ(text_at(at(s.choice(R"("prompt":[104,105],"echo":true,"max_tokens":0)"), "text")),
            "hi");
}

TEST(Echo, LogprobsOfThePromptComeFirst) {
  ByteServer s;
  const std::string prompt = "hello, world";  // more than the model scores in one step
  const Json choice = s.choice(
      R"("prompt":"hello, world","echo":true,"logprobs":2,"max_tokens":3,"ignore_eos":true)");
  const Json& logprobs = at(choice, "logprobs");
  ASSERT_EQ(at(logprobs, "tokens").as_array().size(), prompt.size() + 3);
  ASSERT_EQ(at(logprobs, "token_logprobs").as_array().size(), prompt.size() + 3);
  EXPECT_TRUE(at(logprobs, "token_logprobs", 0).is_null());
  EXPECT_TRUE(at(logprobs, "top_logprobs", 0).is_null());
  for (size_t i = 0; i < prompt.size(); ++i) {
    EXPECT_EQ(text_at(at(logprobs, "tokens", i)), prompt.substr(i, 1));
    EXPECT_EQ(at(logprobs, "text_offset", i).as_int(), static_cast<int64_t>(i));
    if (i > 0) {
      const PromptScore want = score_at(prompt, i, 2);
      EXPECT_FLOAT_EQ(static_cast<float>(at(logprobs, "token_logprobs", i).as_number()),
                      want.token.logprob);
      EXPECT_EQ(at(logprobs, "top_logprobs", i).as_object().size(), 3U);
    }
  }
  EXPECT_TRUE(text_at(at(choice, "text")).starts_with(prompt));
  const Json alone = s.choice(R"("prompt":"ab","echo":true,"logprobs":0,"max_tokens":0)");
  EXPECT_EQ(at(alone, "logprobs", "tokens").as_array().size(), 2U);
  EXPECT_EQ(text_at(at(alone, "text")), "ab");
  const Json one = s.choice(R"("prompt":"a","echo":true,"logprobs":0,"max_tokens":0)");
  EXPECT_EQ(to_string(at(one, "logprobs", "token_logprobs")), "[null]");
}

TEST(Echo, AStreamSaysTheSame) {
  ByteServer s;
  const std::string fields =
      R"("prompt":"hello, world","echo":true,"logprobs":1,"max_tokens":5,"seed":3,"ignore_eos":true)";
  const Json whole = s.choice(fields);
  const RawResponse response = s.post(kCompletions, "{" + fields + R"(,"stream":true})");
  std::string text;
  std::string tokens;
  for (const std::string& event : sse_events(response.body)) {
    if (event == "[DONE]") {
      continue;
    }
    const Json choice = at(*parse_json(event), "choices", 0);
    text += text_at(at(choice, "text"));
    if (at(choice, "logprobs").is_object()) {
      for (const Json& offset : at(choice, "logprobs", "text_offset").as_array()) {
        tokens += to_string(offset) + " ";
      }
    }
  }
  EXPECT_EQ(text, text_at(at(whole, "text")));
  std::string want;
  for (const Json& offset : at(whole, "logprobs", "text_offset").as_array()) {
    want += to_string(offset) + " ";
  }
  EXPECT_EQ(tokens, want);
}

TEST(Echo, StopStringsDoNotLookAtThePrompt) {
  ByteServer s;
  const Json choice =
      s.choice(R"("prompt":"stop","echo":true,"max_tokens":2,"stop":"stop","ignore_eos":true)");
  EXPECT_TRUE(text_at(at(choice, "text")).starts_with("stop"));
  EXPECT_EQ(text_at(at(choice, "finish_reason")), "length");
}

void expect_prompt_logprobs(const Json& list, const std::string& prompt, int32_t top) {
  ASSERT_EQ(list.as_array().size(), prompt.size());
  EXPECT_TRUE(at(list, 0).is_null());
  for (size_t i = 1; i < prompt.size(); ++i) {
    const PromptScore want = score_at(prompt, i, top);
    const Json& entry = at(list, i);
    const Json& own = at(entry, std::to_string(want.token.token).c_str());
    EXPECT_FLOAT_EQ(static_cast<float>(at(own, "logprob").as_number()), want.token.logprob);
    EXPECT_EQ(at(own, "rank").as_int(), want.rank);
    EXPECT_EQ(text_at(at(own, "decoded_token")), prompt.substr(i, 1));
    EXPECT_EQ(entry.as_object().size(), 1U + want.token.top.size());
    for (size_t k = 0; k < want.token.top.size(); ++k) {
      const Json& alternative = at(entry, std::to_string(want.token.top[k].token).c_str());
      EXPECT_EQ(at(alternative, "rank").as_int(), static_cast<int64_t>(k) + 1);
      EXPECT_FLOAT_EQ(static_cast<float>(at(alternative, "logprob").as_number()),
                      want.token.top[k].logprob);
    }
  }
}

TEST(PromptLogprobsField, OnEachChoiceOfACompletion) {
  ByteServer s;
  const std::string prompt = "some longer prompt";
  const RawResponse response = s.post(
      kCompletions, R"({"prompt":"some longer prompt","n":2,"prompt_logprobs":3,"max_tokens":2})");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json json = body_json(response);
  for (int i = 0; i < 2; ++i) {
    expect_prompt_logprobs(at(json, "choices", i, "prompt_logprobs"), prompt, 3);
    EXPECT_TRUE(at(json, "choices", i, "logprobs").is_null());
  }
  expect_prompt_logprobs(
      at(s.choice(R"("prompt":"ab","prompt_logprobs":0,"max_tokens":1)"), "prompt_logprobs"),
      "ab",
      0);
  EXPECT_EQ(s.choice(R"("prompt":"ab","max_tokens":1)").find("prompt_logprobs"), nullptr);
}

TEST(PromptLogprobsField, OnceForAChat) {
  ByteServer s;
  const std::string messages = R"([{"role":"user","content":"hi"}])";
  const RawResponse response =
      s.post(kChat, R"({"messages":)" + messages + R"(,"n":2,"prompt_logprobs":1,"max_tokens":2})");
  ASSERT_EQ(response.status, 200) << response.body;
  expect_prompt_logprobs(at(body_json(response), "prompt_logprobs"), messages, 1);
}

TEST(PromptLogprobsField, WhatDoesNotGoTogether) {
  ByteServer s;
  EXPECT_EQ(s.verdict(kCompletions, R"("prompt":"a","prompt_logprobs":1,"stream":true)"),
            "400 prompt_logprobs");
  EXPECT_EQ(s.verdict(kCompletions, R"("prompt":"a","prompt_logprobs":21)"), "400 prompt_logprobs");
  EXPECT_EQ(s.verdict(kCompletions, R"("prompt":"a","max_tokens":0)"), "400 max_tokens");
  EXPECT_EQ(s.verdict(kCompletions, R"("prompt":"a","max_tokens":-1,"echo":true)"),
            "400 max_tokens");
  EXPECT_EQ(s.verdict(kChat, R"("messages":[{"role":"user","content":"a"}],"echo":true)"),
            "400 echo");
}

TEST(PromptLogprobsField, TheirNumberIsBounded) {
  ServerConfig config;
  config.request_limits.prompt_logprobs = 24;
  ByteServer s(config);
  const auto with = [&](const char* prompt, const char* more) {
    return s.verdict(kCompletions, fmt::format(R"("prompt":"{}","max_tokens":1,{})", prompt, more));
  };
  EXPECT_EQ(with("abcdef", R"("n":2,"prompt_logprobs":1)"), "");  // 6 x 2 x 2 = 24
  EXPECT_EQ(with("abcdefg", R"("n":2,"prompt_logprobs":1)"), "400 prompt_logprobs");
  EXPECT_EQ(with("abcdef", R"("n":2,"prompt_logprobs":2)"), "400 prompt_logprobs");
  EXPECT_EQ(with("abcdef", R"("echo":true,"logprobs":3)"), "");
  EXPECT_EQ(with("abcdef", R"("echo":true,"logprobs":4)"), "400 echo");
  EXPECT_EQ(with("abcdefghijklmnopqrstuvwxyz", R"("echo":true)"), "");  // no log-probabilities
}

TEST(Echo, AStreamHoldsNoMoreThanItsBuffer) {
  ServerConfig config;
  config.limits.stream_buffer_bytes = 4096;  // 2048 / 16 = 128 tokens
  ByteServer s(config);
  const auto streamed = [&](size_t tokens) {
    return s.verdict(kCompletions,
                     fmt::format(R"("prompt":"{}","echo":true,"max_tokens":1,"stream":true)",
                                 std::string(tokens, 'x')));
  };
  EXPECT_EQ(streamed(128), "");
  EXPECT_EQ(streamed(129), "400 echo");
}

}  // namespace
}  // namespace tutti::testing
