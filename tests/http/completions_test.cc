// /v1/completions: prompts of all forms, the legacy shape, its log-probabilities.
#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti::testing {
namespace {

constexpr const char* kPath = "/v1/completions";

TEST(Completions, WholeReply) {
  TestServer s;
  const RawResponse response = s.post(kPath, R"({"prompt":"abc","max_tokens":3})");
  EXPECT_EQ(response.status, 200);
  const Json json = body_json(response);
  EXPECT_TRUE(text_at(at(json, "id")).starts_with("cmpl-"));
  EXPECT_EQ(text_at(at(json, "object")), "text_completion");
  EXPECT_EQ(to_string(at(json, "choices")),
            "[{\"index\":0,\"text\":\"Hello, w\xC3\xB6rld\",\"logprobs\":null,"
            "\"finish_reason\":\"length\"}]");
  EXPECT_EQ(at(json, "usage", "prompt_tokens").as_int(), 3);
  EXPECT_EQ(s.model->wait_generation(0)->request.prompt, (std::vector<int32_t>{'a', 'b', 'c'}));
}

TEST(Completions, TokenIdsGoThroughUnchanged) {
  TestServer s;
  EXPECT_EQ(s.post(kPath, R"({"prompt":[5,0,999]})").status, 200);
  EXPECT_EQ(s.model->wait_generation(0)->request.prompt, (std::vector<int32_t>{5, 0, 999}));
}

TEST(Completions, ManyPromptsNumberTheirChoices) {
  TestServer s;
  const Json json =
      body_json(s.post(kPath, R"({"prompt":["a","bc",[1,2,3]],"n":2,"max_tokens":1})"));
  ASSERT_EQ(at(json, "choices").as_array().size(), 6U);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(at(json, "choices", i, "index").as_int(), i);
    EXPECT_EQ(text_at(at(json, "choices", i, "text")), "Hello");
  }
  EXPECT_EQ(at(json, "usage", "prompt_tokens").as_int(), 1 + 2 + 3);
  EXPECT_EQ(at(json, "usage", "completion_tokens").as_int(), 6);
}

TEST(Completions, Stream) {
  TestServer s;
  const RawResponse response = s.post(
      kPath,
      R"({"prompt":["a","b"],"max_tokens":2,"stream":true,"stream_options":{"include_usage":true}})");
  EXPECT_EQ(response.header("content-type"), "text/event-stream");
  std::vector<std::string> text(2);
  std::vector<int> finishes(2);
  const auto events = sse_events(response.body);
  ASSERT_GE(events.size(), 4U);
  EXPECT_EQ(events.back(), "[DONE]");
  const Json usage = *parse_json(events[events.size() - 2]);
  EXPECT_EQ(to_string(at(usage, "choices")), "[]");
  EXPECT_EQ(at(usage, "usage", "completion_tokens").as_int(), 4);
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const Json json = *parse_json(events[i]);
    EXPECT_EQ(text_at(at(json, "object")), "text_completion");
    EXPECT_TRUE(at(json, "usage").is_null());
    const auto index = static_cast<size_t>(at(json, "choices", 0, "index").as_int());
    text.at(index) += text_at(at(json, "choices", 0, "text"));
    finishes.at(index) += at(json, "choices", 0, "finish_reason").is_string() ? 1 : 0;
  }
  EXPECT_EQ(text, (std::vector<std::string>{"Hello, ", "Hello, "}));
  EXPECT_EQ(finishes, (std::vector<int>{1, 1}));
}

TEST(Completions, Logprobs) {
  TestServer s;
  const Json json = body_json(s.post(kPath, R"({"prompt":"a","logprobs":1,"max_tokens":4})"));
  EXPECT_EQ(to_string(at(json, "choices", 0, "logprobs")),
            "{\"tokens\":[\"Hello\",\", \",\"w\xC3\xB6rld\",\"\\n\\\"quoted\\\"\"],"
            "\"token_logprobs\":[-0.5,-0.5,-0.5,-0.5],"
            "\"top_logprobs\":[{\"t0\":-1,\"Hello\":-0.5},{\"t0\":-1,\", \":-0.5},"
            "{\"t0\":-1,\"w\xC3\xB6rld\":-0.5},{\"t0\":-1,\"\\n\\\"quoted\\\"\":-0.5}],"
            "\"text_offset\":[0,5,7,12]}");
  // Streamed offsets go on counting across events.
  const RawResponse stream =
      s.post(kPath, R"({"prompt":"a","logprobs":0,"max_tokens":4,"stream":true})");
  std::string offsets;
  for (const std::string& event : sse_events(stream.body)) {
    if (event != "[DONE]") {
      const Json chunk = *parse_json(event);
      for (const Json& offset : at(chunk, "choices", 0, "logprobs", "text_offset").as_array()) {
        offsets += to_string(offset) + " ";
      }
    }
  }
  EXPECT_EQ(offsets, "0 5 7 12 ");
}

// Pieces of characters print alike: none may hide another, and the chosen one has its own text.
TEST(Completions, TokensThatPrintAlikeAreAllInTopLogprobs) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(make_post(kPath, R"({"prompt":"a","logprobs":3})"));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  GenerationDelta delta;
  delta.logprobs.push_back({.token = 7,
                            .bytes = "\xF0\x9F",
                            .logprob = -2,
                            .top = {{.token = 5, .bytes = "\xE4", .logprob = -0.5F},
                                    {.token = 7, .bytes = "\xF0\x9F", .logprob = -2},
                                    {.token = 9, .bytes = "a", .logprob = -3}}});
  // Not among the likeliest, of which two are the same text.
  delta.logprobs.push_back({.token = 7,
                            .bytes = "b",
                            .logprob = -9,
                            .top = {{.token = 9, .bytes = "a", .logprob = -1},
                                    {.token = 3, .bytes = "a", .logprob = -2}}});
  delta.finish = FinishReason::kStop;
  generation->sink->on_delta(delta);
  generation->sink->on_done({});
  const Json json = body_json(client.read_response());
  EXPECT_EQ(to_string(at(json, "choices", 0, "logprobs", "top_logprobs")),
            "[{\"token_id:5\":-0.5,\"\xEF\xBF\xBD\":-2,\"a\":-3},"
            "{\"a\":-1,\"token_id:3\":-2,\"b\":-9}]");
}

TEST(Completions, OneFailedPromptCancelsTheOthers) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(make_post(kPath, R"({"prompt":["a","b"]})"));
  const auto first = s.model->wait_generation(0);
  const auto second = s.model->wait_generation(1);
  ASSERT_TRUE(first != nullptr && second != nullptr);
  second->sink->on_error(Status(StatusCode::kOutOfMemory, "no KV blocks"));
  EXPECT_EQ(client.read_response().status, 503);
  EXPECT_TRUE(s.model->wait_cancelled(*first));
}

TEST(Completions, EmptyPromptIsRefused) {
  TestServer s;
  const RawResponse response = s.post(kPath, R"({"prompt":""})");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(text_at(at(error_of(response), "param")), "prompt");
}

}  // namespace
}  // namespace tutti::testing
