// OpenAI's Responses API over a model that says what the test wants (Q-…: reliability catalogue).
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/wall_clock.h"
#include "http/dialect_events.h"
#include "http/test_server.h"
#include "serve/response_store.h"

namespace tutti {
namespace {

using namespace testing;
using ::testing::HasSubstr;

constexpr const char* kResponses = "/v1/responses";

/// A file that goes away with the test.
class StoreFile {
 public:
  StoreFile()
      : path_(std::filesystem::path(::testing::TempDir()) /
              fmt::format("responses-{}-{}.db",
                          getpid(),
                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    remove();
  }

  ~StoreFile() { remove(); }

  StoreFile(const StoreFile&) = delete;
  StoreFile& operator=(const StoreFile&) = delete;

  std::shared_ptr<ResponseStore> open() const {
    auto store = std::make_shared<ResponseStore>(path_.string());
    const Status ready = store->prepare();
    EXPECT_TRUE(ready.ok()) << ready.message();
    return store;
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  void remove() const {
    for (const char* more : {"", "-wal", "-shm"}) {
      std::filesystem::remove(path_.string() + more);
    }
  }

  const std::filesystem::path path_;
};

ServerConfig with(std::shared_ptr<ResponseStore> store) {
  ServerConfig config;
  config.responses = std::move(store);
  return config;
}

TEST(Responses, AWholeResponse) {
  TestServer s;
  const Json json =
      body_json(s.post(kResponses, R"({"input":"thinking","instructions":"Be brief."})"));
  EXPECT_EQ(text_at(at(json, "object")), "response");
  EXPECT_EQ(text_at(at(json, "status")), "completed");
  EXPECT_TRUE(text_at(at(json, "id")).starts_with("resp_"));
  EXPECT_EQ(text_at(at(json, "output", 0, "type")), "reasoning");
  EXPECT_EQ(text_at(at(json, "output", 0, "content", 0, "text")), "Let me think.");
  EXPECT_EQ(text_at(at(json, "output", 1, "type")), "message");
  EXPECT_THAT(text_at(at(json, "output", 1, "content", 0, "text")), HasSubstr("Hello"));
  EXPECT_EQ(text_at(at(json, "instructions")), "Be brief.");
  EXPECT_EQ(to_string(at(json, "store")), "false");  // this server keeps none
  EXPECT_EQ(
      at(json, "usage", "total_tokens").as_int(),
      at(json, "usage", "input_tokens").as_int() + at(json, "usage", "output_tokens").as_int());
  EXPECT_EQ(to_string(s.model->last_chat().messages),
            R"([{"role":"system","content":"Be brief."},{"role":"user","content":"thinking"}])");
}

TEST(Responses, Q01_EventsComeInTheirOrderAndAreNumbered) {
  TestServer s;
  const std::vector<NamedEvent> events =
      named_events(s.post(kResponses, R"({"input":"thinking","stream":true})").body);
  EXPECT_EQ(
      kinds_of(events),
      "response.created response.in_progress response.output_item.added "
      "response.content_part.added response.reasoning_text.delta response.reasoning_text.done "
      "response.content_part.done response.output_item.done response.output_item.added "
      "response.content_part.added response.output_text.delta response.output_text.done "
      "response.content_part.done response.output_item.done response.completed");
  std::string said;
  int64_t number = 0;
  for (const NamedEvent& event : events) {
    EXPECT_EQ(at(event.data, "sequence_number").as_int(), number++);
    said += event.kind == "response.output_text.delta" ? text_at(at(event.data, "delta")) : "";
  }
  const Json& whole = at(events.back().data, "response");
  EXPECT_EQ(text_at(at(whole, "output", 1, "content", 0, "text")), said);
  EXPECT_EQ(text_at(at(whole, "status")), "completed");
  EXPECT_GT(at(whole, "usage", "total_tokens").as_int(), 0);
  EXPECT_EQ(text_at(at(events[0].data, "response", "status")), "in_progress");
}

TEST(Responses, Q04_FunctionCalls) {
  TestServer s(manual_model());
  size_t asked = 0;
  for (const bool stream : {true, false}) {
    RawClient client(s.port());
    ASSERT_TRUE(client.send(make_post(
        kResponses,
        fmt::format(R"({{"stream":{},"input":"hi","tools":[{{"type":"function","name":"weather",
                    "parameters":{{"type":"object"}},"strict":true}}]}})",
                    stream))));
    const auto generation = s.model->wait_generation(asked++);
    ASSERT_NE(generation, nullptr);
    generation->say("<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": ");
    generation->say("\"Oslo\"}}\n</tool_call>");
    generation->finish(FinishReason::kStop);
    generation->sink->on_done({.prompt_tokens = 5, .completion_tokens = 7});
    const std::string body = client.read_response().body;
    Json whole;
    if (stream) {
      const std::vector<NamedEvent> events = named_events(body);
      std::string arguments;
      for (const NamedEvent& event : events) {
        if (event.kind == "response.function_call_arguments.delta") {
          arguments += text_at(at(event.data, "delta"));
        } else if (event.kind == "response.function_call_arguments.done") {
          EXPECT_EQ(text_at(at(event.data, "arguments")), arguments);
        }
      }
      EXPECT_EQ(to_string(*parse_json(arguments)), R"({"city":"Oslo"})");
      whole = at(events.back().data, "response");
    } else {
      whole = *parse_json(body);
    }
    EXPECT_EQ(at(whole, "output").as_array().size(), 1U) << body;
    const Json& call = at(whole, "output", 0);
    EXPECT_EQ(text_at(at(call, "type")), "function_call");
    EXPECT_EQ(text_at(at(call, "name")), "weather");
    EXPECT_FALSE(text_at(at(call, "call_id")).empty());
    EXPECT_TRUE(text_at(at(call, "id")).starts_with("fc_"));
  }
}

TEST(Responses, ItemsBecomeMessages) {
  TestServer s;
  const RawResponse response = s.post(kResponses, R"({"input":[
    {"role":"developer","content":"Be brief."},
    {"type":"message","role":"user","content":[{"type":"input_text","text":"a"}]},
    {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"hm"}]},
    {"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\":1}"},
    {"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},
    {"type":"function_call_output","call_id":"c1","output":"one"},
    {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"two"}]}]})");
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(
      to_string(s.model->last_chat().messages),
      R"([{"role":"system","content":"Be brief."},{"role":"user","content":"a"},)"
      R"({"role":"assistant","content":"","reasoning_content":"hm","tool_calls":[{"id":"c1","type":)"
      R"("function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"c2","type":"function",)"
      R"("function":{"name":"g","arguments":"{}"}}]},)"
      R"({"role":"tool","tool_call_id":"c1","content":"one"},)"
      R"({"role":"tool","tool_call_id":"c2","content":"two"}])");
}

TEST(Responses, Q03_AnAnswerThatIsCutOffIsIncomplete) {
  TestServer s;
  const Json whole = body_json(s.post(kResponses, R"({"input":"hi","max_output_tokens":2})"));
  EXPECT_EQ(text_at(at(whole, "status")), "incomplete");
  EXPECT_EQ(text_at(at(whole, "incomplete_details", "reason")), "max_output_tokens");
  const std::vector<NamedEvent> events = named_events(
      s.post(kResponses, R"({"input":"hi","max_output_tokens":2,"stream":true})").body);
  EXPECT_EQ(events.back().kind, "response.incomplete");
}

TEST(Responses, Q03_AnErrorInAStreamIsTold) {
  TestServer s(manual_model());
  RawClient client(s.port());
  ASSERT_TRUE(client.send(make_post(kResponses, R"({"input":"hi","stream":true})")));
  const auto generation = s.model->wait_generation(0);
  generation->say("Hel");
  generation->sink->on_error(error(StatusCode::kInternal, "broke"));
  const std::vector<NamedEvent> events = named_events(client.read_response().body);
  EXPECT_EQ(events[events.size() - 2].kind, "error");
  EXPECT_EQ(events.back().kind, "response.failed");
  EXPECT_EQ(text_at(at(events.back().data, "response", "status")), "failed");
}

TEST(Responses, CountsTokens) {
  TestServer s;
  const Json counted = body_json(s.post("/v1/responses/input_tokens", R"({"input":"hi"})"));
  const Json used = body_json(s.post(kResponses, R"({"input":"hi"})"));
  EXPECT_EQ(to_string(at(counted, "input_tokens")), to_string(at(used, "usage", "input_tokens")));
}

TEST(Responses, OneIsStoredFoundAndForgotten) {
  const StoreFile file;
  TestServer s({}, with(file.open()));
  const Json made = body_json(s.post(kResponses, R"({"input":"hi","metadata":{"a":"b"}})"));
  const std::string path = "/v1/responses/" + text_at(at(made, "id"));
  EXPECT_EQ(to_string(at(made, "store")), "true");
  EXPECT_EQ(to_string(body_json(s.send(make_request("GET", path)))), to_string(made));
  const Json input = body_json(s.send(make_request("GET", path + "/input_items")));
  EXPECT_EQ(text_at(at(input, "data", 0, "content", 0, "text")), "hi");
  EXPECT_EQ(to_string(at(body_json(s.send(make_request("DELETE", path))), "deleted")), "true");
  EXPECT_EQ(s.send(make_request("GET", path)).status, 404);
  EXPECT_EQ(s.send(make_request("DELETE", path)).status, 404);
  EXPECT_EQ(s.send(make_request("PUT", path)).header("allow"), "GET, HEAD, DELETE");
  const Json secret = body_json(s.post(kResponses, R"({"input":"hi","store":false})"));
  EXPECT_EQ(to_string(at(secret, "store")), "false");
  EXPECT_EQ(s.send(make_request("GET", "/v1/responses/" + text_at(at(secret, "id")))).status, 404);
}

TEST(Responses, AStreamIsStoredBeforeItsEnd) {
  const StoreFile file;
  TestServer s({}, with(file.open()));
  const std::vector<NamedEvent> events =
      named_events(s.post(kResponses, R"({"input":"hi","stream":true})").body);
  const Json& whole = at(events.back().data, "response");
  EXPECT_EQ(to_string(body_json(
                s.send(make_request("GET", "/v1/responses/" + text_at(at(whole, "id")))))),
            to_string(whole));
}

TEST(Responses, OneGoesOnWithAnother) {
  const StoreFile file;
  TestServer s({}, with(file.open()));
  Json last = body_json(s.post(kResponses, R"({"input":"one","instructions":"Be brief."})"));
  last = body_json(s.post(
      kResponses,
      fmt::format(R"({{"input":"two","previous_response_id":"{}"}})", text_at(at(last, "id")))));
  last = body_json(s.post(
      kResponses,
      fmt::format(R"({{"input":"three","previous_response_id":"{}"}})", text_at(at(last, "id")))));
  std::vector<std::string> roles;
  std::string asked;
  const ChatInput chat = s.model->last_chat();
  for (const Json& message : chat.messages.as_array()) {
    roles.push_back(text_at(at(message, "role")));
    asked += roles.back() == "user" ? text_at(at(message, "content")) + " " : "";
  }
  EXPECT_THAT(roles, ::testing::ElementsAre("user", "assistant", "user", "assistant", "user"));
  EXPECT_EQ(asked, "one two three ");
  const RawResponse lost =
      s.post(kResponses, R"({"input":"x","previous_response_id":"resp_none"})");
  EXPECT_EQ(lost.status, 404);
}

TEST(Responses, StoredItemsAreReferredTo) {
  const StoreFile file;
  TestServer s({}, with(file.open()));
  const Json made = body_json(s.post(kResponses, R"({"input":"hi"})"));
  const std::string item = text_at(at(made, "output", 0, "id"));
  const auto ask = [&] {
    return s.post(kResponses,
                  fmt::format(R"({{"store":false,"input":[{{"role":"user","content":"a"}},
                              {{"type":"item_reference","id":"{}"}},
                              {{"role":"user","content":"b"}}]}})",
                              item));
  };
  EXPECT_EQ(ask().status, 200);
  const ChatInput chat = s.model->last_chat();
  EXPECT_EQ(text_at(at(chat.messages, 1, "role")), "assistant");
  EXPECT_THAT(text_at(at(chat.messages, 1, "content")), HasSubstr("Hello"));
  EXPECT_EQ(s.send(make_request("DELETE", "/v1/responses/" + text_at(at(made, "id")))).status, 200);
  EXPECT_EQ(ask().status, 404);
}

TEST(Responses, OnlyTheKeyThatMadeOneReadsIt) {
  const StoreFile file;
  const std::shared_ptr<ResponseStore> store = file.open();
  auto keys = std::make_shared<KeyRing>();
  keys->set(
      {{.name = "a", .digest = digest_of("key-a")}, {.name = "b", .digest = digest_of("key-b")}});
  ServerConfig config = with(store);
  config.keys = keys;
  TestServer s({}, config);
  const std::vector<std::string> a{"Authorization: Bearer key-a"};
  const std::vector<std::string> b{"Authorization: Bearer key-b"};
  const Json made = body_json(s.send(make_post(kResponses, R"({"input":"hi"})", a)));
  const std::string path = "/v1/responses/" + text_at(at(made, "id"));
  EXPECT_EQ(s.send(make_request("GET", path)).status, 401);
  EXPECT_EQ(s.send(make_request("GET", path, "", b)).status, 404);
  EXPECT_EQ(s.send(make_request("GET", path + "/input_items", "", b)).status, 404);
  EXPECT_EQ(s.send(make_request("DELETE", path, "", b)).status, 404);
  EXPECT_EQ(s.send(make_post(kResponses,
                             fmt::format(R"({{"input":"x","previous_response_id":"{}"}})",
                                         text_at(at(made, "id"))),
                             b))
                .status,
            404);
  EXPECT_EQ(s.send(make_request("GET", path, "", a)).status, 200);
}

TEST(ResponseStore, KeepsAMonthAcrossProcesses) {
  const StoreFile file;
  const auto one = file.open();
  const auto other = file.open();
  const int64_t now = unix_now();
  const int64_t month = std::chrono::seconds(ResponseStore::kKept).count();
  for (const auto& [id, created] : {std::pair{"new", now},
                                    std::pair{"old", now - month + 60},
                                    std::pair{"gone", now - month - 60}}) {
    ASSERT_TRUE(one->put({.id = id,
                          .owner = "o",
                          .previous = "",
                          .response = "{}",
                          .input = "[]",
                          .created_unix = created})
                    .ok());
  }
  EXPECT_TRUE(other->find("new", "o").ok());
  EXPECT_TRUE(other->find("old", "o").ok());
  EXPECT_EQ(other->find("gone", "o").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(other->find("new", "").status().code(), StatusCode::kNotFound);
  ASSERT_TRUE(other->drop_old(now + 120).ok());
  EXPECT_EQ(one->find("old", "o").status().code(), StatusCode::kNotFound);
  EXPECT_TRUE(one->find("new", "o").ok());
  EXPECT_EQ(std::filesystem::status(file.path()).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(ResponseStore, NothingIsMadeBeforeItIsNeeded) {
  const StoreFile file;
  ResponseStore store(file.path().string());
  EXPECT_EQ(store.find("x", "").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(store.remove("x", "").code(), StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(file.path()));
  ASSERT_TRUE(store.prepare().ok());
  EXPECT_TRUE(std::filesystem::exists(file.path()));
}

TEST(Responses, WhereNothingCanBeStoredTheAnswerSaysSo) {
  TestServer s({}, with(std::make_shared<ResponseStore>("/proc/no/such/folder/x.db")));
  const Json made = body_json(s.post(kResponses, R"({"input":"hi"})"));
  EXPECT_EQ(text_at(at(made, "status")), "completed");
  EXPECT_EQ(to_string(at(made, "store")), "false");
  EXPECT_EQ(s.send(make_request("GET", "/v1/responses/resp_1")).status, 404);
}

TEST(Responses, WhatCannotBeDoneIsRefusedByName) {
  TestServer s;

  struct Refused {
    const char* members;
    const char* param;
  };

  for (const Refused& one : {
           Refused{R"("model":"fake/model 1")", "input"},
           Refused{R"("input":[])", "input"},
           Refused{R"("input":7)", "input"},
           Refused{R"("input":[{"type":"item_reference","id":"x"}])", "input[0]"},
           Refused{R"("input":[{"type":"web_search_call","id":"x"}])", "input[0].type"},
           Refused{
               R"("input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])",
               "input[0].content[0]"},
           Refused{R"("input":[{"type":"function_call_output","output":"x"}])", "input[0].call_id"},
           Refused{R"("input":"x","background":true)", "background"},
           Refused{R"("input":"x","truncation":"auto")", "truncation"},
           Refused{R"("input":"x","tools":[{"type":"web_search"}])", "tools[0].type"},
           Refused{R"("input":"x","previous_response_id":"resp_1")", "previous_response_id"},
           Refused{R"("input":"x","temperature":3)", "temperature"},
       }) {
    const RawResponse response = s.post(kResponses, fmt::format("{{{}}}", one.members));
    EXPECT_EQ(response.status, 400) << one.members;
    EXPECT_EQ(text_at(at(error_of(response), "param")), one.param);
  }
}

}  // namespace
}  // namespace tutti
