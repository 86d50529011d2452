// Ollama's API over a model that says what the test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti {
namespace {

using namespace testing;
using ::testing::HasSubstr;

std::vector<Json> lines_of(const std::string& body) {
  std::vector<Json> out;
  size_t begin = 0;
  for (size_t end = body.find('\n'); end != std::string::npos; end = body.find('\n', begin)) {
    auto parsed = parse_json(body.substr(begin, end - begin));
    EXPECT_TRUE(parsed.ok()) << body.substr(begin, end - begin);
    out.push_back(*std::move(parsed));
    begin = end + 1;
  }
  EXPECT_EQ(begin, body.size()) << "a line without end";
  return out;
}

std::string error_text(const RawResponse& response) {
  return text_at(at(body_json(response), "error"));
}

TEST(Ollama, U01_AChatIsOneObjectALine) {
  TestServer s;
  const RawResponse response =
      s.post("/api/chat", R"({"messages":[{"role":"user","content":"thinking"}]})");
  EXPECT_EQ(response.header("content-type"), "application/x-ndjson");
  const std::vector<Json> lines = lines_of(response.body);
  std::string said;
  std::string thought;
  for (const Json& line : lines) {
    EXPECT_EQ(text_at(at(line, "model")), "fake/model 1");
    EXPECT_EQ(text_at(at(line, "message", "role")), "assistant");
    EXPECT_EQ(at(line, "done").as_bool(), &line == &lines.back());
    said += text_at(at(line, "message", "content"));
    const Json* thinking = at(line, "message").find("thinking");
    thought += thinking == nullptr ? "" : thinking->as_string();
  }
  EXPECT_EQ(thought, "Let me think.");
  const Json& last = lines.back();
  EXPECT_EQ(text_at(at(last, "done_reason")), "stop");
  const Json whole = body_json(
      s.post("/api/chat", R"({"stream":false,"messages":[{"role":"user","content":"thinking"}]})"));
  EXPECT_EQ(text_at(at(whole, "message", "content")), said);
  EXPECT_EQ(text_at(at(whole, "message", "thinking")), thought);
  for (const char* count : {"prompt_eval_count", "eval_count"}) {
    EXPECT_EQ(to_string(at(whole, count)), to_string(at(last, count)));
    EXPECT_GT(at(last, count).as_int(), 0);
  }
  EXPECT_GT(at(last, "total_duration").as_int(), 0);
}

TEST(Ollama, APromptGoesThroughTheTemplateUnlessItIsRaw) {
  TestServer s;
  const Json whole =
      body_json(s.post("/api/generate", R"({"prompt":"hi","system":"Be brief.","stream":false})"));
  EXPECT_THAT(text_at(at(whole, "response")), HasSubstr("Hello"));
  EXPECT_EQ(to_string(s.model->last_chat().messages),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}])");
  const Json raw =
      body_json(s.post("/api/generate", R"({"prompt":"hi","raw":true,"stream":false})"));
  EXPECT_EQ(at(raw, "prompt_eval_count").as_int(), 2);
  const std::vector<Json> lines = lines_of(s.post("/api/generate", R"({"prompt":"hi"})").body);
  EXPECT_GT(lines.size(), 2U);
  EXPECT_TRUE(at(lines.back(), "done").as_bool());
}

TEST(Ollama, CallsAreWholeAndHaveObjectsAsArguments) {
  TestServer s(manual_model());
  size_t asked = 0;
  for (const char* stream : {"true", "false"}) {
    RawClient client(s.port());
    ASSERT_TRUE(client.send(make_post(
        "/api/chat",
        fmt::format(
            R"({{"stream":{},"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"type":"function",
            "function":{{"name":"weather","parameters":{{"type":"object"}}}}}}]}})",
            stream))));
    const auto generation = s.model->wait_generation(asked++);
    ASSERT_NE(generation, nullptr);
    generation->say("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": ");
    generation->say("\"Oslo\"}}\n</tool_call>");
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({.prompt_tokens = 5, .completion_tokens = 7});
    const RawResponse response = client.read_response();
    const Json first = *parse_json(response.body.substr(0, response.body.find('\n')));
    EXPECT_EQ(to_string(at(first, "message", "tool_calls")),
              R"([{"function":{"index":0,"name":"weather","arguments":{"city":"Oslo"}}}])")
        << response.body;
  }
}

TEST(Ollama, OptionsFillParameters) {
  TestServer s(manual_model());
  RawClient client(s.port());
  ASSERT_TRUE(client.send(make_post("/api/chat", R"({"messages":[{"role":"user","content":"hi"}],
    "keep_alive":"5m","options":{"temperature":0.5,"num_predict":7,"seed":3,"stop":["x","y"],
    "repeat_penalty":1.25,"num_ctx":4096,"top_k":5}})")));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  EXPECT_EQ(generation->request.sampling.temperature, 0.5F);
  EXPECT_EQ(generation->request.sampling.repetition_penalty, 1.25F);
  EXPECT_EQ(generation->request.sampling.top_k, 5);
  EXPECT_EQ(generation->request.sampling.seed, 3U);
  EXPECT_EQ(generation->request.max_tokens, 7);
  EXPECT_THAT(generation->request.stop, ::testing::ElementsAre("x", "y"));
}

TEST(Ollama, WithoutWordsAModelIsOnlyLookedUp) {
  TestServer s;
  for (const char* path : {"/api/chat", "/api/generate"}) {
    const Json json = body_json(s.post(path, R"({"model":"fake/model 1"})"));
    EXPECT_EQ(text_at(at(json, "done_reason")), "load");
  }
  EXPECT_EQ(s.model->generations(), 0U);
}

TEST(Ollama, NamesMayHaveATag) {
  FakeLanguageModel::Options options;
  options.id = "tiny";
  TestServer s(options);
  EXPECT_EQ(s.post("/api/generate", R"({"model":"tiny:latest","prompt":"x"})").status, 200);
  const RawResponse response = s.post("/api/generate", R"({"model":"tiny:7b","prompt":"x"})");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(error_text(response), HasSubstr("tiny:7b"));
}

TEST(Ollama, ListsAndShowsModels) {
  ServerConfig config;
  config.version = "1.2.3";
  TestServer s({}, config);
  for (const char* path : {"/api/tags", "/api/ps"}) {
    const Json list = body_json(s.send(make_request("GET", path)));
    EXPECT_EQ(text_at(at(list, "models", 0, "name")), "fake/model 1") << path;
  }
  EXPECT_EQ(s.send(make_request("GET", "/api/version")).body, R"({"version":"1.2.3"})");
  const Json shown = body_json(s.post("/api/show", R"({"model":"fake/model 1"})"));
  EXPECT_EQ(to_string(at(shown, "capabilities")), R"(["completion","tools"])");
  EXPECT_EQ(at(shown, "model_info", "fake.context_length").as_int(), 4096);
}

TEST(Ollama, ErrorsHaveItsShape) {
  ServerConfig config;
  config.api_key = "sk-1";
  TestServer s({}, config);
  EXPECT_EQ(s.send(make_request("GET", "/api/tags")).status, 401);
  EXPECT_THAT(error_text(s.send(make_request("GET", "/api/tags"))), HasSubstr("no API key"));
  const std::vector<std::string> key{"Authorization: Bearer sk-1"};

  struct Refused {
    const char* members;
    const char* said;
  };

  for (const Refused& one : {
           Refused{R"("messages":[{"role":"user","content":"x","images":["aa"]}])",
                   "messages[0].images"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"options":{"temperature":9})",
                   "options.temperature"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"options":{"mirostat":1})",
                   "options.mirostat"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"think":7)", "think"},
           Refused{R"("messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}])",
                   "tools[0].function"},
           Refused{R"("messages":[{"content":"x"}])", "messages[0].role"},
       }) {
    const RawResponse response =
        s.send(make_post("/api/chat", fmt::format("{{{}}}", one.members), key));
    EXPECT_EQ(response.status, 400) << one.members;
    EXPECT_THAT(error_text(response), HasSubstr(one.said));
  }
}

TEST(Ollama, ProgramsMaySendJsonUnderAnyTypeAndPagesNot) {
  TestServer s;
  const std::string body = R"({"prompt":"hi","stream":false})";
  for (const char* type : {"X-None: 1", "Content-Type: application/x-www-form-urlencoded"}) {
    EXPECT_EQ(s.send(make_request("POST", "/api/generate", body, {type})).status, 200) << type;
    for (const char* page : {"Origin: http://evil.example", "Sec-Fetch-Site: cross-site"}) {
      EXPECT_EQ(s.send(make_request("POST", "/api/generate", body, {type, page})).status, 415);
    }
    EXPECT_EQ(s.send(make_request("POST", "/v1/responses", R"({"input":"hi"})", {type})).status,
              415);
  }
}

TEST(Ollama, AnErrorInAStreamIsALine) {
  TestServer s(manual_model());
  RawClient client(s.port());
  ASSERT_TRUE(
      client.send(make_post("/api/chat", R"({"messages":[{"role":"user","content":"hi"}]})")));
  const auto generation = s.model->wait_generation(0);
  generation->say("Hel");
  generation->sink->on_error(error(StatusCode::kInternal, "broke"));
  const std::vector<Json> lines = lines_of(client.read_response().body);
  EXPECT_THAT(text_at(at(lines.back(), "error")), HasSubstr("broke"));
}

}  // namespace
}  // namespace tutti
