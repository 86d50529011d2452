// Streams that outlive the connection of their client, and replies that are listed and stopped.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kStream =
    R"({"stream":true,"messages":[{"role":"user","content":"thinking"}]})";
constexpr const char* kEndless =
    R"({"stream":true,"ignore_eos":true,"max_tokens":100000,"messages":[{"role":"user","content":"hi"}]})";
const std::string kKeep = "X-Tutti-Keep: 60";

/// What the events of a stream say, without their ids.
std::string without_ids(const std::string& body) {
  std::string out;
  size_t begin = 0;
  while (begin < body.size()) {
    const size_t end = body.find('\n', begin);
    const std::string line = body.substr(begin, end - begin + 1);
    out += line.starts_with("id: ") ? "" : line;
    begin = end == std::string::npos ? body.size() : end + 1;
  }
  return out;
}

/// The numbers of a stream's events.
std::vector<int64_t> ids_of(const std::string& body) {
  std::vector<int64_t> out;
  for (size_t at = body.find("id: "); at != std::string::npos; at = body.find("\nid: ", at + 1)) {
    out.push_back(std::stoll(body.substr(body.find(' ', at) + 1)));
  }
  return out;
}

std::vector<int64_t> numbers(int64_t from, size_t count) {
  std::vector<int64_t> out(count);
  std::iota(out.begin(), out.end(), from);
  return out;
}

Json listed(const TestServer& s) {
  return body_json(s.send(make_request("GET", "/v1/replies")));
}

/// Until the list of replies has so many; what it is then.
Json wait_listed(const TestServer& s, size_t count) {
  for (int i = 0; i < 300; ++i) {
    Json json = listed(s);
    if (at(json, "data").as_array().size() == count) {
      return json;
    }
    std::this_thread::sleep_for(10ms);
  }
  ADD_FAILURE() << "the list has not " << count << " replies";
  return listed(s);
}

TEST(Replies, AKeptStreamIsReadAgainFromAnyEvent) {
  TestServer s;
  const RawResponse first = s.send(make_post(kChat, kStream, {kKeep}));
  const std::string id = first.header("x-tutti-reply");
  ASSERT_FALSE(id.empty());
  const std::vector<int64_t> ids = ids_of(first.body);
  ASSERT_GT(ids.size(), 8U);
  EXPECT_EQ(ids, numbers(1, ids.size()));
  for (size_t after = 0; after + 1 < ids.size(); ++after) {
    const RawResponse again = s.send(
        make_request("GET", "/v1/replies/" + id, "", {fmt::format("Last-Event-ID: {}", after)}));
    EXPECT_EQ(again.header("content-type"), "text/event-stream");
    EXPECT_EQ(ids_of(again.body), numbers(static_cast<int64_t>(after) + 1, ids.size() - after));
    EXPECT_TRUE(first.body.ends_with(again.body)) << after;
    EXPECT_EQ(s.send(make_request("GET", fmt::format("/v1/replies/{}?after={}", id, after))).body,
              again.body);
  }
}

TEST(Replies, KeepingChangesNothingButTheIds) {
  TestServer s;
  const auto texts = [](const std::string& body) {
    std::string out;
    for (const std::string& event : sse_events(body)) {
      const auto json = parse_json(event);
      out += json.ok() ? to_string(at(*json, "choices")) : event;
    }
    return out;
  };
  const RawResponse kept = s.send(make_post(kChat, kStream, {kKeep}));
  const RawResponse plain = s.post(kChat, kStream);
  EXPECT_EQ(plain.body.find("id: "), std::string::npos);
  EXPECT_FALSE(plain.header("x-tutti-reply").empty());
  // How deltas are merged depends on time alone; their text does not.
  const auto said = [&](const std::string& body) {
    std::string out;
    for (const std::string& event : sse_events(without_ids(body))) {
      const auto json = parse_json(event);
      const Json& delta = json.ok() ? at(*json, "choices", 0, "delta") : Json();
      const Json* content = delta.find("content");
      out += content != nullptr && content->is_string() ? content->as_string() : "";
    }
    return out;
  };
  EXPECT_EQ(said(kept.body), said(plain.body));
  EXPECT_TRUE(texts(without_ids(kept.body)).ends_with("[DONE]"));
}

TEST(Replies, AThousandCutStreamsAreWhole) {
  FakeLanguageModel::Options options;
  options.step = 50us;
  TestServer s(options);
  const std::string whole = [&] {
    const RawResponse reply = s.send(make_post(kChat, kStream, {kKeep}));
    (void)s.send(make_request("DELETE", "/v1/replies/" + reply.header("x-tutti-reply")));
    return reply.body;
  }();
  const auto texts = [](const std::string& body) {
    std::string out;
    for (const std::string& event : sse_events(without_ids(body))) {
      const auto json = parse_json(event);
      const Json& delta = json.ok() ? at(*json, "choices", 0, "delta") : Json();
      for (const char* member : {"content", "reasoning_content"}) {
        const Json* text = delta.find(member);
        out += text != nullptr && text->is_string() ? text->as_string() : "";
      }
    }
    return out;
  };
  const std::string wanted = texts(whole);
  const uint32_t seed = std::random_device()();
  std::mt19937 random(seed);
  for (int round = 0; round < 1000; ++round) {
    std::string got;
    std::string id;
    {
      RawClient client(s.port());
      ASSERT_TRUE(client.send(make_post(kChat, kStream, {kKeep})));
      const int cut = std::uniform_int_distribution<int>(1, 9)(random);
      got = client.read_until(fmt::format("id: {}\n", cut));
      const size_t header = got.find("X-Tutti-Reply: ");
      ASSERT_NE(header, std::string::npos) << "seed " << seed;
      id = got.substr(header + 15, got.find('\r', header) - header - 15);
      if (random() % 2 == 0) {
        client.reset();
      }
    }
    // Events that came whole: those before the last that was begun.
    const std::vector<int64_t> begun = ids_of(got.substr(got.find("id: 1\n")));
    const auto after = static_cast<int64_t>(begun.size()) - 1;
    const RawResponse rest = s.send(
        make_request("GET", "/v1/replies/" + id, "", {fmt::format("Last-Event-ID: {}", after)}));
    ASSERT_EQ(rest.status, 200) << "seed " << seed << rest.body;
    const RawResponse all = s.send(make_request("GET", "/v1/replies/" + id));
    ASSERT_EQ(texts(all.body), wanted) << "seed " << seed;
    ASSERT_TRUE(all.body.ends_with(rest.body)) << "seed " << seed;
    ASSERT_EQ(ids_of(rest.body).front(), after + 1) << "seed " << seed;
    ASSERT_EQ(s.send(make_request("DELETE", "/v1/replies/" + id)).status, 200);
    if (round % 50 == 0) {
      (void)wait_listed(s, 0);
    }
  }
  (void)wait_listed(s, 0);
}

TEST(Replies, AStreamGoesOnWithoutItsClientAndTwoReadIt) {
  TestServer s(manual_model());
  auto client = std::make_unique<RawClient>(s.port());
  ASSERT_TRUE(client->send(make_post(kChat, kStream, {kKeep})));
  const auto generation = s.model->wait_generation(0);
  generation->say("one ");
  const std::string head = client->read_until("one ");
  const size_t begin = head.find("X-Tutti-Reply: ") + 15;
  const std::string id = head.substr(begin, head.find('\r', begin) - begin);
  client.reset();
  generation->say("two ");
  RawClient a(s.port());
  RawClient b(s.port());
  ASSERT_TRUE(a.send(make_request("GET", "/v1/replies/" + id)));
  ASSERT_TRUE(b.send(make_request("GET", "/v1/replies/" + id)));
  (void)a.read_until("two ");
  generation->say("three");
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({.prompt_tokens = 1, .completion_tokens = 3});
  const std::string from_a = a.read_response().body;
  EXPECT_EQ(from_a, b.read_response().body);
  EXPECT_THAT(from_a, HasSubstr("[DONE]"));
  EXPECT_THAT(from_a, HasSubstr("three"));
  EXPECT_FALSE(generation->cancelled);
}

TEST(Replies, NothingIsKeptAfterItsTime) {
  ServerConfig config;
  TestServer s({}, config);
  const RawResponse reply = s.send(make_post(kChat, kStream, {"X-Tutti-Keep: 1"}));
  const std::string path = "/v1/replies/" + reply.header("x-tutti-reply");
  EXPECT_EQ(s.send(make_request("GET", path)).status, 200);
  EXPECT_EQ(text_at(at(wait_listed(s, 1), "data", 0, "status")), "ended");
  std::this_thread::sleep_for(1s);
  (void)wait_listed(s, 0);
  EXPECT_EQ(s.send(make_request("GET", path)).status, 404);
}

TEST(Replies, WithoutAReaderTheModelStopsInTime) {
  TestServer s;
  {
    RawClient client(s.port());
    ASSERT_TRUE(client.send(make_post(kChat, kEndless, {"X-Tutti-Keep: 1"})));
    (void)client.read_until("id: 5\n");
  }
  const auto generation = s.model->wait_generation(0);
  EXPECT_TRUE(s.model->wait_cancelled(*generation));
  (void)wait_listed(s, 0);
}

TEST(Replies, OnesUnderWayAreListedAndStopped) {
  TestServer s(manual_model());
  for (const bool kept : {false, true}) {
    RawClient client(s.port());
    const size_t index = s.model->generations();
    ASSERT_TRUE(client.send(
        make_post(kChat, kStream, {kept ? kKeep : "X-Other: 1", "x-request-id: mine"})));
    const auto generation = s.model->wait_generation(index);
    const Json list = wait_listed(s, 1);
    const Json& one = at(list, "data", 0);
    EXPECT_EQ(text_at(at(one, "status")), "running");
    EXPECT_EQ(text_at(at(one, "route")), kChat);
    EXPECT_EQ(text_at(at(one, "request_id")), "mine");
    generation->say("so far");
    (void)client.read_until("so far");
    EXPECT_EQ(s.send(make_request("DELETE", "/v1/replies/" + text_at(at(one, "id")))).status, 200);
    EXPECT_TRUE(s.model->wait_cancelled(*generation));
    EXPECT_THAT(client.read_response().body, HasSubstr("stopped"));
    (void)wait_listed(s, 0);
  }
  RawClient client(s.port());
  const size_t index = s.model->generations();
  ASSERT_TRUE(client.send(make_post(kChat, R"({"messages":[{"role":"user","content":"hi"}]})")));
  ASSERT_NE(s.model->wait_generation(index), nullptr);
  const Json list = wait_listed(s, 1);
  EXPECT_EQ(
      s.send(make_request("DELETE", "/v1/replies/" + text_at(at(list, "data", 0, "id")))).status,
      200);
  EXPECT_EQ(client.read_response().status, 499);
}

TEST(Replies, AnotherKeySeesNone) {
  auto keys = std::make_shared<KeyRing>();
  keys->set(
      {{.name = "a", .digest = digest_of("key-a")}, {.name = "b", .digest = digest_of("key-b")}});
  ServerConfig config;
  config.keys = keys;
  TestServer s({}, config);
  const std::vector<std::string> a{"Authorization: Bearer key-a", kKeep};
  const std::vector<std::string> b{"Authorization: Bearer key-b"};
  const std::string path =
      "/v1/replies/" + s.send(make_post(kChat, kStream, a)).header("x-tutti-reply");
  EXPECT_EQ(s.send(make_request("GET", path)).status, 401);
  EXPECT_EQ(s.send(make_request("GET", path, "", b)).status, 404);
  EXPECT_EQ(s.send(make_request("DELETE", path, "", b)).status, 404);
  EXPECT_EQ(to_string(at(body_json(s.send(make_request("GET", "/v1/replies", "", b))), "data")),
            "[]");
  EXPECT_EQ(s.send(make_request("GET", path, "", a)).status, 200);
}

TEST(Replies, TheOldestEventsGoWhereThereAreTooMany) {
  ServerConfig config;
  config.limits.kept_reply_bytes = 4096;
  TestServer s({}, config);
  const RawResponse reply = s.send(make_post(
      kChat,
      R"({"stream":true,"ignore_eos":true,"max_tokens":200,"messages":[{"role":"user","content":"hi"}]})",
      {kKeep}));
  EXPECT_EQ(reply.status, 200);
  const std::string path = "/v1/replies/" + reply.header("x-tutti-reply");
  const Json one = at(wait_listed(s, 1), "data", 0);
  const int64_t first = at(one, "first_event").as_int();
  EXPECT_GT(first, 100);
  EXPECT_EQ(s.send(make_request("GET", path)).status, 404);
  const RawResponse rest = s.send(make_request("GET", fmt::format("{}?after={}", path, first - 1)));
  EXPECT_EQ(rest.status, 200);
  EXPECT_LE(rest.body.size(), 4096U);
  EXPECT_THAT(rest.body, HasSubstr("[DONE]"));
}

TEST(Replies, WhatIsWrongIsNamed) {
  ServerConfig config;
  config.limits.kept_replies = 1;
  TestServer s({}, config);
  for (const char* wrong : {"0", "-1", "1.5", "301", "soon", ""}) {
    const RawResponse response =
        s.send(make_post(kChat, kStream, {fmt::format("X-Tutti-Keep: {}", wrong)}));
    EXPECT_EQ(response.status, 400) << wrong;
    EXPECT_THAT(text_at(at(error_of(response), "message")), HasSubstr("1 to 300")) << wrong;
  }
  const RawResponse kept = s.send(make_post(kChat, kStream, {kKeep}));
  const std::string path = "/v1/replies/" + kept.header("x-tutti-reply");
  for (const char* after : {"?after=x", "?after=-1", "?after=100000"}) {
    EXPECT_EQ(s.send(make_request("GET", path + after)).status, 400) << after;
  }
  const RawResponse full = s.send(make_post(kChat, kStream, {kKeep}));
  EXPECT_EQ(full.status, 200);
  EXPECT_THAT(full.header("x-tutti-warning"), HasSubstr("not kept"));
  EXPECT_EQ(full.body.find("id: "), std::string::npos);
  EXPECT_EQ(s.send(make_request("GET", "/v1/replies/reply-none")).status, 404);
}

TEST(Replies, OtherDialectsAreKeptToo) {
  TestServer s;
  const RawResponse lines =
      s.send(make_post("/api/chat", R"({"messages":[{"role":"user","content":"hi"}]})", {kKeep}));
  const std::string path = "/v1/replies/" + lines.header("x-tutti-reply");
  const RawResponse again = s.send(make_request("GET", path + "?after=1"));
  EXPECT_EQ(again.header("content-type"), "application/x-ndjson");
  EXPECT_EQ(again.body, lines.body.substr(lines.body.find('\n') + 1));
  const RawResponse events = s.send(make_post(
      "/v1/messages", R"({"stream":true,"messages":[{"role":"user","content":"hi"}]})", {kKeep}));
  EXPECT_TRUE(events.body.starts_with("id: 1\nevent: message_start\n"));
}

}  // namespace
}  // namespace tutti
