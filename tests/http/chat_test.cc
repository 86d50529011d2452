// /v1/chat/completions, whole and streamed, down to the bytes.
#include <regex>

#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti::testing {
namespace {

std::string chat(const std::string& extra, const std::string& content = "hi") {
  return make_post("/v1/chat/completions",
                   fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]{}{}}})",
                               content,
                               extra.empty() ? "" : ",",
                               extra));
}

std::string joined(const std::vector<std::string>& pieces) {
  std::string out;
  for (const std::string& piece : pieces) {
    out += piece;
  }
  return out;
}

TEST(Chat, WholeReply) {
  TestServer s;
  const RawResponse response = s.send(chat(R"("seed":1)"));
  EXPECT_EQ(response.status, 200);
  const Json json = body_json(response);
  EXPECT_TRUE(text_at(at(json, "id")).starts_with("chatcmpl-"));
  EXPECT_EQ(text_at(at(json, "object")), "chat.completion");
  EXPECT_EQ(text_at(at(json, "model")), "fake/model 1");
  EXPECT_EQ(text_at(at(json, "choices", 0, "message", "role")), "assistant");
  EXPECT_EQ(text_at(at(json, "choices", 0, "message", "content")), joined(reply_pieces()));
  EXPECT_EQ(json.find("choices")->as_array()[0].find("message")->find("reasoning_content"),
            nullptr);
  EXPECT_EQ(text_at(at(json, "choices", 0, "finish_reason")), "stop");
  EXPECT_TRUE(at(json, "choices", 0, "logprobs").is_null());
  EXPECT_EQ(at(json, "usage", "completion_tokens").as_int(), 7);
  EXPECT_EQ(at(json, "usage", "total_tokens").as_int(),
            at(json, "usage", "prompt_tokens").as_int() + 7);
  EXPECT_EQ(s.model->wait_generation(0)->request.sampling.seed, 1U);
  EXPECT_EQ(s.model->wait_generation(0)->request.request_id, response.header("x-request-id"));
}

// The exact bytes of a stream; only id and time vary.
TEST(Chat, StreamBytes) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(R"("stream":true,"stream_options":{"include_usage":true})"));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  generation->think("hm");
  client.read_until("hm");
  generation->say("a\n\"b\"");
  client.read_until("\\\"b");
  generation->finish(FinishReason::kLength);
  generation->sink->on_done({.prompt_tokens = 5,
                             .cached_prompt_tokens = 4,
                             .completion_tokens = 3,
                             .reasoning_tokens = 1});
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("content-type"), "text/event-stream");
  EXPECT_EQ(response.header("cache-control"), "no-cache");
  EXPECT_EQ(response.header("transfer-encoding"), "chunked");
  EXPECT_FALSE(response.header("x-request-id").empty());
  std::string body = std::regex_replace(response.body, std::regex("chatcmpl-[0-9a-f]{24}"), "ID");
  body = std::regex_replace(body, std::regex(R"("created":\d+)"), "\"created\":0");
  const std::string head =
      R"(data: {"id":"ID","object":"chat.completion.chunk","created":0,"model":"fake/model 1",)";
  const auto chunk = [&](const std::string& delta, const std::string& finish) {
    return head + R"("choices":[{"index":0,"delta":)" + delta +
           R"(,"logprobs":null,"finish_reason":)" + finish + R"(}],"usage":null})" + "\n\n";
  };
  EXPECT_EQ(body,
            chunk(R"({"role":"assistant","content":""})", "null") +
                chunk(R"({"reasoning_content":"hm"})", "null") +
                chunk(R"({"content":"a\n\"b\""})", "null") + chunk("{}", "\"length\"") + head +
                R"("choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,)"
                R"("prompt_tokens_details":{"cached_tokens":4},)"
                R"("completion_tokens_details":{"reasoning_tokens":1}}})"
                "\n\ndata: [DONE]\n\n");
  // Each piece was sent when it came, not with the next one.
  EXPECT_GE(response.chunks.size(), 4U);
}

TEST(Chat, StreamWithoutUsageHasNone) {
  TestServer s;
  const RawResponse response = s.send(chat(R"("stream":true)"));
  EXPECT_EQ(response.body.find("usage"), std::string::npos);
  const auto events = sse_events(response.body);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST(Chat, StreamSaysTheSameAsTheWhole) {
  TestServer s;
  for (const char* content : {"hi", "thinking"}) {
    const Json whole = body_json(s.send(chat("", content)));
    const RawResponse stream =
        s.send(chat(R"("stream":true,"stream_options":{"include_usage":true})", content));
    std::string text;
    std::string reasoning;
    std::string finish;
    Json usage;
    std::string ids;
    for (const std::string& event : sse_events(stream.body)) {
      if (event == "[DONE]") {
        continue;
      }
      const Json json = *parse_json(event);
      const Json& delta = at(json, "choices", 0, "delta");
      text += delta.find("content") == nullptr ? "" : delta.find("content")->as_string();
      const Json* thought = delta.find("reasoning_content");
      if (thought != nullptr) {
        EXPECT_EQ(text, "");  // reasoning comes before the answer
        reasoning += thought->as_string();
      }
      const Json& reason = at(json, "choices", 0, "finish_reason");
      finish += reason.is_string() ? reason.as_string() : "";
      if (at(json, "usage").is_object()) {
        usage = at(json, "usage");
      }
      const std::string id = text_at(at(json, "id")) + to_string(at(json, "created"));
      EXPECT_TRUE(ids.empty() || ids == id);
      ids = id;
    }
    const Json& message = at(whole, "choices", 0, "message");
    EXPECT_EQ(text, text_at(at(message, "content")));
    EXPECT_EQ(reasoning, std::string(content) == "thinking" ? "Let me think." : "");
    EXPECT_EQ(reasoning.empty(), message.find("reasoning_content") == nullptr);
    EXPECT_EQ(finish, "stop");
    EXPECT_EQ(to_string(usage), to_string(at(whole, "usage")));
  }
}

TEST(Chat, SeveralChoices) {
  TestServer s;
  const Json whole = body_json(s.send(chat(R"("n":3,"max_tokens":2)")));
  ASSERT_EQ(at(whole, "choices").as_array().size(), 3U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(at(whole, "choices", i, "index").as_int(), i);
    EXPECT_EQ(text_at(at(whole, "choices", i, "finish_reason")), "length");
  }
  const RawResponse stream = s.send(chat(R"("n":3,"stream":true)"));
  std::vector<int> roles(3);
  std::vector<int> finishes(3);
  std::vector<std::string> text(3);
  for (const std::string& event : sse_events(stream.body)) {
    if (event == "[DONE]") {
      continue;
    }
    const Json json = *parse_json(event);
    const auto index = static_cast<size_t>(at(json, "choices", 0, "index").as_int());
    const Json& delta = at(json, "choices", 0, "delta");
    if (delta.find("role") != nullptr) {
      EXPECT_EQ(text[index], "");
      ++roles[index];
    }
    text[index] += delta.find("content") == nullptr ? "" : delta.find("content")->as_string();
    finishes[index] += at(json, "choices", 0, "finish_reason").is_string() ? 1 : 0;
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(roles[i], 1);
    EXPECT_EQ(finishes[i], 1);
    EXPECT_EQ(text[i], joined(reply_pieces()));
  }
}

TEST(Chat, Logprobs) {
  TestServer s;
  const Json whole = body_json(s.send(chat(R"("logprobs":true,"top_logprobs":2)")));
  const Json& logprobs = at(whole, "choices", 0, "logprobs");
  EXPECT_TRUE(at(logprobs, "refusal").is_null());
  ASSERT_EQ(at(logprobs, "content").as_array().size(), 7U);
  EXPECT_EQ(to_string(at(logprobs, "content", 2)),
            "{\"token\":\"w\xC3\xB6rld\",\"bytes\":[119,195,182,114,108,100],\"logprob\":-0.5,"
            "\"top_logprobs\":[{\"token\":\"t0\",\"bytes\":[116,48],\"logprob\":-1},"
            "{\"token\":\"t1\",\"bytes\":[116,49],\"logprob\":-1}]}");
  const RawResponse stream = s.send(chat(R"("logprobs":true,"stream":true)", "thinking"));
  size_t tokens = 0;
  for (const std::string& event : sse_events(stream.body)) {
    if (event != "[DONE]") {
      const Json json = *parse_json(event);
      const Json& content = at(json, "choices", 0, "logprobs", "content");
      tokens += content.is_array() ? content.as_array().size() : 0;
    }
  }
  EXPECT_EQ(tokens, 9U);
}

TEST(Chat, PartialCharactersAndImpossibleLogprobsStayValidJson) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(R"("stream":true,"logprobs":true)"));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  GenerationDelta delta;
  delta.logprobs.push_back({.token = 1, .bytes = "\xF0\x9F", .logprob = -INFINITY, .top = {}});
  delta.finish = FinishReason::kStop;
  generation->sink->on_delta(delta);
  generation->sink->on_done({});
  const auto events = sse_events(client.read_response().body);
  ASSERT_GE(events.size(), 3U);
  const auto json = parse_json(events[1]);
  ASSERT_TRUE(json.ok()) << events[1];
  const Json& token = at(*json, "choices", 0, "logprobs", "content", 0);
  EXPECT_EQ(to_string(at(token, "bytes")), "[240,159]");
  EXPECT_EQ(at(token, "logprob").as_number(), -9999.0);
}

// R1 of January 2025 now and then begins without its opening mark.
TEST(Chat, ReasoningThatNothingOpenedIsToldApartInAWholeReply) {
  for (const auto& [said, reasoning, content] :
       {std::tuple{"\nI think so.\n</think>\n\nYes.", "I think so.", "Yes."},
        {"</think>Yes.", "(null)", "Yes."},
        {"hm</think>\n", "hm", ""}}) {
    TestServer s(manual_model());
    RawClient client(s.port());
    client.send(chat("", "thinking"));
    const auto generation = s.model->wait_generation(0);
    ASSERT_NE(generation, nullptr);
    const std::string text = said;
    generation->say(text.substr(0, 3));
    generation->say(text.substr(3));
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({});
    const Json json = body_json(client.read_response());
    EXPECT_EQ(text_at(at(json, "choices", 0, "message", "reasoning_content")), reasoning) << said;
    EXPECT_EQ(text_at(at(json, "choices", 0, "message", "content")), content) << said;
  }
}

// A stream has sent the text when the mark comes: it goes on as it is, nothing lost, nothing twice.
TEST(Chat, ReasoningThatNothingOpenedStreamsAsItCame) {
  const std::string text = "I think so.\n</think>\n\nYes.";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    TestServer s(manual_model());
    RawClient client(s.port());
    client.send(chat(R"("stream":true)", "thinking"));
    const auto generation = s.model->wait_generation(0);
    ASSERT_NE(generation, nullptr);
    generation->say(text.substr(0, cut));
    generation->say(text.substr(cut));
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({});
    std::string content;
    for (const std::string& event : sse_events(client.read_response().body)) {
      const auto json = parse_json(event);
      if (json.ok()) {
        const Json& piece = at(*json, "choices", 0, "delta");
        EXPECT_EQ(piece.find("reasoning_content"), nullptr) << event;
        content += piece.find("content") == nullptr ? "" : text_at(at(piece, "content"));
      }
    }
    EXPECT_EQ(content, text) << cut;
  }
}

constexpr const char* kTools = R"("tools":[{"type":"function","function":{"name":"f"}}])";

TEST(Chat, ToolCallsLeaveTheContent) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(kTools));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  EXPECT_NE(generation->request.form.calls, nullptr);
  generation->say("Let me see.\n<tool_");
  generation->say("call>{\"name\": \"f\", \"arguments\": {\"a\":  \"é\"}}</tool_call>\n");
  generation->say("<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>");
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  const Json json = body_json(client.read_response());
  EXPECT_EQ(text_at(at(json, "choices", 0, "finish_reason")), "tool_calls");
  const Json& message = at(json, "choices", 0, "message");
  EXPECT_EQ(text_at(at(message, "content")), "Let me see.");
  ASSERT_EQ(at(message, "tool_calls").as_array().size(), 2U);
  const Json& call = at(message, "tool_calls", 0);
  EXPECT_TRUE(text_at(at(call, "id")).starts_with("call-"));
  EXPECT_EQ(text_at(at(call, "type")), "function");
  EXPECT_EQ(to_string(at(call, "function")), R"({"name":"f","arguments":"{\"a\":  \"é\"}"})");
  EXPECT_NE(text_at(at(call, "id")), text_at(at(message, "tool_calls", 1, "id")));
}

TEST(Chat, ToolCallsAreStreamedWhenComplete) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(std::string(R"("stream":true,)") + kTools));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  for (const char* piece : {"Hm",
                            " \n<tool_call>",
                            "{\"name\": \"f\"",
                            "}</tool_call",
                            "><tool_call>{\"name\": \"g\"}"}) {
    generation->say(piece);
  }
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  std::string content;
  std::string finish;
  std::vector<std::string> names;
  for (const std::string& event : sse_events(client.read_response().body)) {
    if (event == "[DONE]") {
      continue;
    }
    const Json json = *parse_json(event);
    const Json& delta = at(json, "choices", 0, "delta");
    content += delta.find("content") == nullptr ? "" : delta.find("content")->as_string();
    if (delta.find("tool_calls") != nullptr) {
      EXPECT_EQ(at(delta, "tool_calls", 0, "index").as_int(), static_cast<int64_t>(names.size()));
      names.push_back(text_at(at(delta, "tool_calls", 0, "function", "name")));
    }
    const Json& reason = at(json, "choices", 0, "finish_reason");
    finish += reason.is_string() ? reason.as_string() : "";
  }
  EXPECT_EQ(content, "Hm");
  EXPECT_EQ(names, (std::vector<std::string>{"f", "g"}));
  EXPECT_EQ(finish, "tool_calls");
}

// parallel_tool_calls: false. What the model calls after its first call is dropped, whole or
// streamed.
TEST(Chat, OneToolCallAtMostIfCallsMayNotBeParallel) {
  for (const bool stream : {false, true}) {
    TestServer s(manual_model());
    RawClient client(s.port());
    client.send(chat(fmt::format(R"("stream":{},"parallel_tool_calls":false,{})", stream, kTools)));
    const auto generation = s.model->wait_generation(0);
    ASSERT_NE(generation, nullptr);
    generation->say("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\":1}}</tool_call>\n");
    generation->say("<tool_call>{\"name\": \"g\"}</tool_call><tool_call>{\"name\": \"h\"}");
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({});
    const std::string body = client.read_response().body;
    EXPECT_NE(body.find(R"("name":"f","arguments":"{\"a\":1}")"), std::string::npos) << body;
    EXPECT_EQ(body.find(R"("name":"g")"), std::string::npos) << body;
    EXPECT_EQ(body.find(R"("name":"h")"), std::string::npos) << body;
    EXPECT_EQ(body.find("tool_call>"), std::string::npos) << body;
    EXPECT_NE(body.find(R"("finish_reason":"tool_calls")"), std::string::npos) << body;
  }
}

TEST(Chat, WithoutToolsMarksAreText) {
  for (const std::string& extra :
       {std::string(), std::string(R"("tool_choice":"none",)") + kTools}) {
    TestServer s(manual_model());
    RawClient client(s.port());
    client.send(chat(extra));
    const auto generation = s.model->wait_generation(0);
    ASSERT_NE(generation, nullptr);
    EXPECT_EQ(generation->request.form.calls, nullptr);
    generation->say("<tool_call>{\"name\": \"f\"}</tool_call>");
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({});
    const Json json = body_json(client.read_response());
    EXPECT_EQ(text_at(at(json, "choices", 0, "message", "content")),
              "<tool_call>{\"name\": \"f\"}</tool_call>");
    EXPECT_EQ(text_at(at(json, "choices", 0, "finish_reason")), "stop");
  }
}

TEST(Chat, ErrorInsideAStreamIsAnEvent) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(R"("stream":true)"));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  generation->say("half");
  generation->sink->on_error(Status(StatusCode::kDevice, "rank 2 failed"));
  generation->say("late");  // must not show
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  const auto events = sse_events(response.body);
  EXPECT_EQ(events.back(),
            R"({"error":{"message":"rank 2 failed","type":"server_error","param":null,)"
            R"("code":"device_error"}})");
  EXPECT_EQ(response.body.find("finish_reason\":\""), std::string::npos);
  EXPECT_EQ(response.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(response.body.find("late"), std::string::npos);
  // The connection is still in step.
  client.send(make_request("GET", "/health"));
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(Chat, ErrorBeforeAWholeReplyIsItsStatus) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(chat(""));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  generation->say("half");
  generation->sink->on_error(Status(StatusCode::kDevice, "rank 2 failed"));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(text_at(at(error_of(response), "code")), "device_error");
}

TEST(Chat, TemplateGetsMessagesAndVariables) {
  TestServer s;
  EXPECT_EQ(s.post("/v1/chat/completions",
                   R"({"messages":[{"role":"developer","content":[{"type":"text","text":"a"}]}],)"
                   R"("chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"high"})")
                .status,
            200);
  EXPECT_EQ(to_string(s.model->last_chat().messages),
            R"([{"role":"system","content":[{"type":"text","text":"a"}]}])");
  EXPECT_EQ(to_string(Json(s.model->last_chat().template_kwargs)),
            R"({"enable_thinking":false,"reasoning_effort":"high"})");
  const RawResponse none = s.send(chat("", "unsupported"));
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(text_at(at(error_of(none), "code")), "unsupported");
}

TEST(Chat, Http10StreamEndsWithTheConnection) {
  TestServer s;
  const std::string body = R"({"stream":true,"messages":[{"role":"user","content":"hi"}]})";
  RawClient client(s.port());
  client.send(fmt::format(
      "POST /v1/chat/completions HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: keep-alive\r\n"
      "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
      body.size(),
      body));
  const RawResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.header("transfer-encoding"), "");
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_EQ(sse_events(response.body).back(), "[DONE]");
}

// A reply that is not what was asked for says so, whole or as a stream, and so does a refusal.
TEST(Chat, WhatHadNoEffectIsInAHeader) {
  TestServer s;
  const std::string odd = R"({"messages":[{"role":"user","content":"hi"}],"max_token":5)";
  const std::string want =
      "max_token: no such field, so it has no effect; did you mean max_tokens?";
  for (const char* rest : {"}", R"(,"stream":true})", R"(,"n":0})"}) {
    const RawResponse response = s.post("/v1/chat/completions", odd + rest);
    EXPECT_EQ(response.status, std::string_view(rest).starts_with(",\"n") ? 400 : 200);
    EXPECT_EQ(response.header("x-tutti-warning"), want) << rest;
  }
  EXPECT_EQ(s.post("/v1/chat/completions",
                   R"({"messages":[{"role":"user","content":"hi"}],
                       "chat_template_kwargs":{"unread":1}})")
                .header("x-tutti-warning"),
            "chat_template_kwargs.unread: this model's chat template does not read it, so it has "
            "no effect");
  RawClient client(s.port());
  client.send(make_post("/v1/chat/completions", odd + "}"));
  EXPECT_FALSE(client.read_response().header("x-tutti-warning").empty());
  client.send(make_request("GET", "/v1/models"));
  EXPECT_TRUE(client.read_response().header("x-tutti-warning").empty());
}

}  // namespace
}  // namespace tutti::testing
