// Anthropic's Messages API over a model that says what the test wants (M-…: reliability catalogue).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/dialect_events.h"
#include "http/test_server.h"

namespace tutti {
namespace {

using namespace testing;
using ::testing::HasSubstr;

constexpr const char* kMessages = "/v1/messages";
constexpr const char* kHello = R"({"max_tokens":64,"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kStream =
    R"({"max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kWithTools = R"({"max_tokens":64,"stream":true,
  "messages":[{"role":"user","content":"hi"}],
  "tools":[{"name":"weather","description":"d","input_schema":{"type":"object"}}]})";

Json anthropic_error(const RawResponse& response) {
  const Json json = body_json(response);
  EXPECT_EQ(text_at(at(json, "type")), "error") << response.body;
  EXPECT_EQ(text_at(at(json, "request_id")), response.header("request-id"));
  EXPECT_FALSE(response.header("request-id").empty());
  EXPECT_TRUE(at(json, "error", "message").is_string()) << response.body;
  return at(json, "error");
}

TEST(Anthropic, AWholeMessage) {
  TestServer s;
  const Json json = body_json(s.post(kMessages, kHello));
  EXPECT_EQ(text_at(at(json, "type")), "message");
  EXPECT_EQ(text_at(at(json, "role")), "assistant");
  EXPECT_TRUE(text_at(at(json, "id")).starts_with("msg_"));
  EXPECT_EQ(text_at(at(json, "stop_reason")), "end_turn");
  EXPECT_EQ(text_at(at(json, "content", 0, "type")), "text");
  EXPECT_THAT(text_at(at(json, "content", 0, "text")), HasSubstr("Hello, "));
  EXPECT_GT(at(json, "usage", "input_tokens").as_int(), 0);
  EXPECT_EQ(at(json, "usage", "output_tokens").as_int(),
            static_cast<int64_t>(reply_pieces().size()));
}

TEST(Anthropic, M01_EventsComeInTheirOrder) {
  TestServer s;
  const RawResponse response = s.post(
      kMessages,
      R"({"max_tokens":64,"stream":true,"messages":[{"role":"user","content":"thinking"}]})");
  EXPECT_EQ(response.header("content-type"), "text/event-stream");
  const std::vector<NamedEvent> events = named_events(response.body);
  EXPECT_EQ(
      kinds_of(events),
      "message_start content_block_start content_block_delta content_block_stop "
      "content_block_start content_block_delta content_block_stop message_delta message_stop");
  EXPECT_EQ(text_at(at(events[1].data, "content_block", "type")), "thinking");
  std::string thought;
  std::string said;
  std::string signature;
  for (const NamedEvent& event : events) {
    const Json& delta = at(event.data, "delta");
    thought += delta.find("thinking") == nullptr ? "" : text_at(at(delta, "thinking"));
    said += delta.find("text") == nullptr ? "" : text_at(at(delta, "text"));
    signature += delta.find("signature") == nullptr ? "" : text_at(at(delta, "signature"));
  }
  EXPECT_EQ(thought, "Let me think.");
  EXPECT_FALSE(signature.empty());
  const Json whole = body_json(
      s.post(kMessages, R"({"max_tokens":64,"messages":[{"role":"user","content":"thinking"}]})"));
  EXPECT_EQ(said, text_at(at(whole, "content", 1, "text")));
  const Json& end = events[events.size() - 2].data;
  EXPECT_EQ(text_at(at(end, "delta", "stop_reason")), "end_turn");
  EXPECT_EQ(to_string(at(end, "usage")), to_string(at(whole, "usage")));
}

TEST(Anthropic, M03_ToolCallsAreBlocksOfTheirOwn) {
  TestServer s(manual_model());
  RawClient client(s.port());
  ASSERT_TRUE(client.send(make_post(kMessages, kWithTools)));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  generation->say("I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": ");
  generation->say("\"Oslo\"}}\n</tool_call>");
  generation->finish(FinishReason::kStop);
  generation->sink->on_done(
      {.prompt_tokens = 5, .cached_prompt_tokens = 2, .completion_tokens = 7});
  const std::vector<NamedEvent> events = named_events(client.read_response().body);
  std::string input;
  std::vector<std::string> blocks;
  for (const NamedEvent& event : events) {
    if (event.kind == "content_block_start") {
      blocks.push_back(text_at(at(event.data, "content_block", "type")));
      if (blocks.back() == "tool_use") {
        EXPECT_EQ(text_at(at(event.data, "content_block", "name")), "weather");
        EXPECT_EQ(to_string(at(event.data, "content_block", "input")), "{}");
        EXPECT_FALSE(text_at(at(event.data, "content_block", "id")).empty());
      }
    }
    if (text_at(at(event.data, "delta", "type")) == "input_json_delta") {
      input += text_at(at(event.data, "delta", "partial_json"));
    }
  }
  EXPECT_THAT(blocks, ::testing::ElementsAre("text", "tool_use"));
  EXPECT_EQ(to_string(*parse_json(input)), R"({"city":"Oslo"})");
  const Json& end = events[events.size() - 2].data;
  EXPECT_EQ(text_at(at(end, "delta", "stop_reason")), "tool_use");
  EXPECT_EQ(at(end, "usage", "input_tokens").as_int(), 3);
  EXPECT_EQ(at(end, "usage", "cache_read_input_tokens").as_int(), 2);
}

TEST(Anthropic, M05_WhyItStopped) {
  TestServer s(manual_model());
  size_t asked = 0;
  const auto ends_with = [&](FinishReason finish, const std::string& stop, int64_t tokens) {
    RawClient client(s.port());
    EXPECT_TRUE(client.send(make_post(kMessages, kHello)));
    const auto generation = s.model->wait_generation(asked++);
    GenerationDelta last;
    last.finish = finish;
    last.stop = stop;
    generation->sink->on_delta(std::move(last));
    generation->sink->on_done({.prompt_tokens = 5, .completion_tokens = tokens});
    return body_json(client.read_response());
  };
  EXPECT_EQ(text_at(at(ends_with(FinishReason::kLength, "", 64), "stop_reason")), "max_tokens");
  EXPECT_EQ(text_at(at(ends_with(FinishReason::kLength, "", 30), "stop_reason")),
            "model_context_window_exceeded");
  const Json stopped = ends_with(FinishReason::kStop, "END", 3);
  EXPECT_EQ(text_at(at(stopped, "stop_reason")), "stop_sequence");
  EXPECT_EQ(text_at(at(stopped, "stop_sequence")), "END");
  EXPECT_EQ(to_string(at(stopped, "content")), "[]");
}

TEST(Anthropic, M06_ErrorsHaveItsShape) {
  ServerConfig config;
  config.api_key = "sk-1";
  TestServer s(manual_model(), config);
  const std::vector<std::string> key{"x-api-key: sk-1"};
  const auto type_of = [](const RawResponse& response) {
    return text_at(at(anthropic_error(response), "type"));
  };
  RawResponse response = s.post(kMessages, kHello);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(type_of(response), "authentication_error");
  response = s.send(make_post(kMessages, "{}", key));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(type_of(response), "invalid_request_error");
  response = s.send(
      make_post(kMessages, R"({"model":"x","messages":[{"role":"user","content":"a"}]})", key));
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(type_of(response), "not_found_error");
  s.model->fail_next(error(StatusCode::kUnavailable, "not now"));
  response = s.send(make_post(kMessages, kHello, key));
  EXPECT_EQ(response.status, 529);
  EXPECT_EQ(type_of(response), "overloaded_error");
  EXPECT_TRUE(retry_within(response, 2, 8));
  s.model->fail_next(error(StatusCode::kOverloaded, "full"));
  response = s.send(make_post(kMessages, kHello, key));
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(type_of(response), "rate_limit_error");
  response = s.send(
      make_post(kMessages, R"({"timeout":0.05,"messages":[{"role":"user","content":"a"}]})", key));
  EXPECT_EQ(response.status, 504);
  EXPECT_EQ(type_of(response), "timeout_error");
  EXPECT_EQ(response.header("x-should-retry"), "false");
}

TEST(Anthropic, M06_AnErrorInAStreamIsAnEvent) {
  TestServer s(manual_model());
  RawClient client(s.port());
  ASSERT_TRUE(client.send(make_post(kMessages, kStream)));
  const auto generation = s.model->wait_generation(0);
  generation->say("Hel");
  generation->sink->on_error(error(StatusCode::kInternal, "broke"));
  const std::vector<NamedEvent> events = named_events(client.read_response().body);
  EXPECT_EQ(events.back().kind, "error");
  EXPECT_EQ(text_at(at(events.back().data, "error", "type")), "api_error");
}

TEST(Anthropic, M07_BothHeadersCarryTheKey) {
  ServerConfig config;
  config.api_key = "sk-1";
  TestServer s({}, config);
  for (const char* key : {"x-api-key: sk-1", "Authorization: Bearer sk-1"}) {
    for (const char* version : {"2023-06-01", "2026-10-21"}) {
      EXPECT_EQ(
          s.send(make_post(kMessages, kHello, {key, fmt::format("anthropic-version: {}", version)}))
              .status,
          200)
          << key;
    }
  }
}

TEST(Anthropic, M08_CountsTheTokensThatTheMessageWouldHave) {
  TestServer s;
  const Json counted = body_json(s.post("/v1/messages/count_tokens", kHello));
  const Json used = body_json(s.post(kMessages, kHello));
  EXPECT_EQ(to_string(at(counted, "input_tokens")), to_string(at(used, "usage", "input_tokens")));
  EXPECT_EQ(s.model->generations(), 1U);
}

TEST(Anthropic, BlocksBecomeMessages) {
  TestServer s;
  const RawResponse response = s.post(kMessages, R"({"max_tokens":4,
    "system":[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral"}}],
    "messages":[
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"x"},
        {"type":"redacted_thinking","data":"zz"},{"type":"text","text":"I look."},
        {"type":"tool_use","id":"t1","name":"weather","input":{"city":"Oslo"}}]},
      {"role":"user","content":[{"type":"text","text":"go on"},
        {"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"rain"}]}]}]})");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(to_string(s.model->last_chat().messages),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"ab"},)"
            R"({"role":"assistant","content":"I look.","reasoning_content":"hm","tool_calls":)"
            R"([{"id":"t1","type":"function","function":{"name":"weather","arguments":)"
            R"({"city":"Oslo"}}}]},{"role":"tool","tool_call_id":"t1","content":"rain"},)"
            R"({"role":"user","content":"go on"}])");
  EXPECT_FALSE(s.model->last_chat().continue_final_message);
}

TEST(Anthropic, TheAssistantsLastWordsAreGoneOnWith) {
  TestServer s;
  EXPECT_EQ(s.post(kMessages, R"({"max_tokens":4,"messages":[{"role":"user","content":"a"},
                                 {"role":"assistant","content":"The answer is"}]})")
                .status,
            200);
  EXPECT_TRUE(s.model->last_chat().continue_final_message);
}

TEST(Anthropic, ThinkingIsSwitched) {
  TestServer s;
  const auto reasoning = [&](const std::string& thinking) {
    EXPECT_EQ(
        s.post(kMessages,
               fmt::format(R"({{"thinking":{},"messages":[{{"role":"user","content":"a"}}]}})",
                           thinking))
            .status,
        200);
    return s.model->last_chat().reasoning;
  };
  EXPECT_EQ(reasoning(R"({"type":"enabled","budget_tokens":1024})"), true);
  EXPECT_EQ(reasoning(R"({"type":"adaptive"})"), true);
  EXPECT_EQ(reasoning(R"({"type":"disabled"})"), false);
  EXPECT_EQ(reasoning("null"), std::nullopt);
}

TEST(Anthropic, WhatCannotBeDoneIsRefusedByName) {
  TestServer s;

  struct Refused {
    const char* members;
    const char* said;
  };

  for (const Refused& one : {
           Refused{R"("messages":[{"role":"user","content":[{"type":"image","source":{}}]}])",
                   "messages[0].content[0].type: image of role user is not supported"},
           Refused{R"("messages":[{"role":"robot","content":"x"}])", "messages[0].role"},
           Refused{R"("messages":[{"role":"user","content":7}])", "messages[0].content"},
           Refused{R"("messages":[])", "messages: missing or empty"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"mcp_servers":[{}])",
                   "mcp_servers: not supported"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"temperature":3)", "temperature"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"stop_sequences":[""])",
                   "stop_sequences[0]"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"thinking":{"type":"on"})",
                   "thinking.type"},
           Refused{
               R"("messages":[{"role":"user","content":"x"}],"tools":[{"type":"bash_20250124"}])",
               "tools[0].type"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"tools":[{"name":"a"}],
                   "tool_choice":{"type":"all"})",
                   "tool_choice.type"},
       }) {
    const RawResponse response = s.post(kMessages, fmt::format("{{{}}}", one.members));
    EXPECT_EQ(response.status, 400) << one.members;
    EXPECT_THAT(text_at(at(anthropic_error(response), "message")), HasSubstr(one.said));
  }
}

TEST(Anthropic, ModelsAreListedInItsWords) {
  TestServer s;
  const Json list =
      body_json(s.send(make_request("GET", "/v1/models", "", {"anthropic-version: 2023-06-01"})));
  EXPECT_EQ(text_at(at(list, "data", 0, "type")), "model");
  EXPECT_EQ(text_at(at(list, "data", 0, "created_at")), "2023-11-14T22:13:20Z");
  EXPECT_EQ(to_string(at(list, "has_more")), "false");
  EXPECT_EQ(body_json(s.send(make_request("GET", "/v1/models"))).find("has_more"), nullptr);
}

}  // namespace
}  // namespace tutti
