// Clients that leave, stall or are silent: the model is told, nothing is left behind.
#include <chrono>

#include <gtest/gtest.h>

#include "http/test_server.h"

namespace tutti::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStream = R"({"stream":true,"messages":[{"role":"user","content":"hi"}]})";
constexpr const char* kWhole = R"({"messages":[{"role":"user","content":"hi"}]})";

enum class Leave { kClose, kReset, kHalfClose };

void leave(RawClient& client, Leave how) {
  if (how == Leave::kClose) {
    client.close();
  } else if (how == Leave::kReset) {
    client.reset();
  } else {
    client.half_close();
  }
}

class Disconnect : public ::testing::TestWithParam<Leave> {};

// The generation says nothing more, so only reading can tell that the client has left.
TEST_P(Disconnect, H20_CancelsASilentGenerationWithin100Ms) {
  TestServer s(manual_model());
  size_t index = 0;
  for (const char* body : {kStream, kWhole}) {
    RawClient client(s.port());
    client.send(make_post("/v1/chat/completions", body));
    const auto generation = s.model->wait_generation(index++);
    ASSERT_NE(generation, nullptr);
    generation->say("first");
    if (body == kStream) {
      client.read_until("first");
    }
    const auto left = std::chrono::steady_clock::now();
    leave(client, GetParam());
    ASSERT_TRUE(s.model->wait_cancelled(*generation));
    EXPECT_LT(generation->cancelled_at - left, 100ms);
    generation->sink->on_error(Status(StatusCode::kCancelled, "cancelled"));
  }
  EXPECT_NE(s.send(make_request("GET", "/metrics")).body.find("tutti:http_disconnects_total 2\n"),
            std::string::npos);
}

TEST_P(Disconnect, H20_CancelsABusyGeneration) {
  TestServer s;
  RawClient client(s.port());
  client.send(make_post(
      "/v1/chat/completions",
      R"({"stream":true,"ignore_eos":true,"n":4,"messages":[{"role":"user","content":"hi"}]})"));
  client.read_until("Hello");
  const auto generation = s.model->wait_generation(0);
  const auto left = std::chrono::steady_clock::now();
  leave(client, GetParam());
  ASSERT_TRUE(s.model->wait_cancelled(*generation));
  EXPECT_LT(generation->cancelled_at - left, 100ms);
}

INSTANTIATE_TEST_SUITE_P(Ways,
                         Disconnect,
                         ::testing::Values(Leave::kClose, Leave::kReset, Leave::kHalfClose));

TEST(Disconnects, AllGenerationsOfARequestAreCancelled) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(make_post("/v1/completions", R"({"prompt":["a","b","c"]})"));
  ASSERT_NE(s.model->wait_generation(2), nullptr);
  client.close();
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(s.model->wait_cancelled(*s.model->wait_generation(i)));
  }
  EXPECT_EQ(s.model->cancels(), 3U);
}

TEST(Disconnects, AFinishedGenerationIsNotCancelled) {
  TestServer s;
  EXPECT_EQ(s.post("/v1/chat/completions", kStream).status, 200);
  EXPECT_EQ(s.post("/v1/chat/completions", kWhole).status, 200);
  s.server->stop();
  EXPECT_EQ(s.model->cancels(), 0U);
}

TEST(Disconnects, H22_AStormLeavesNothingBehind) {
  TestServer s;
  constexpr size_t kClients = 100;
  for (size_t i = 0; i < kClients; ++i) {
    RawClient client(s.port());
    client.send(make_post(
        "/v1/chat/completions",
        R"({"stream":true,"ignore_eos":true,"messages":[{"role":"user","content":"hi"}]})"));
    ASSERT_NE(s.model->wait_generation(i), nullptr);
    leave(client, i % 2 == 0 ? Leave::kClose : Leave::kReset);
  }
  for (size_t i = 0; i < kClients; ++i) {
    EXPECT_TRUE(s.model->wait_cancelled(*s.model->wait_generation(i)));
  }
  EXPECT_EQ(s.post("/v1/chat/completions", kStream).status, 200);
}

TEST(Streams, SilenceGetsComments) {
  ServerConfig config;
  config.limits.sse_comment_interval = 50ms;
  TestServer s(manual_model(), config);
  RawClient client(s.port());
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  client.read_until(": keep-alive\n\n\r\n");
  generation->say("x");
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  const RawResponse response = client.read_response();
  EXPECT_NE(response.body.find(": keep-alive\n\n"), std::string::npos);
  EXPECT_EQ(sse_events(response.body).back(), "[DONE]");
}

// A client that takes nothing for a while, then reads: every byte of the text is there, although
// far more was said than the buffer's high-water mark.
TEST(Streams, H03_ASlowReaderGetsMergedPieces) {
  TestServer s(manual_model());
  RawClient client(s.port(), 4096);
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  std::string said;
  for (int i = 0; i < 20000; ++i) {
    const std::string piece = fmt::format("{} ", i);
    said += piece;
    generation->say(piece);
  }
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  const RawResponse response = client.read_response();
  std::string text;
  for (const std::string& event : sse_events(response.body)) {
    if (event != "[DONE]") {
      const Json json = *parse_json(event);
      const Json* content = at(json, "choices", 0, "delta").find("content");
      text += content == nullptr ? "" : content->as_string();
    }
  }
  EXPECT_EQ(text, said);
}

TEST(Streams, H03_AStalledReaderIsCancelled) {
  ServerConfig config;
  config.limits.write_stall_timeout = 150ms;
  TestServer s(manual_model(), config);
  RawClient client(s.port(), 4096);
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  // More than the sockets hold, less than the bound of unsent text.
  for (int i = 0; i < 90; ++i) {
    generation->say(std::string(64 << 10, 'x'));
    if (i >= 70) {
      std::this_thread::yield();
    }
  }
  EXPECT_TRUE(s.model->wait_cancelled(*generation));
  EXPECT_NE(s.send(make_request("GET", "/metrics")).body.find("tutti:http_slow_clients_total 1\n"),
            std::string::npos);
}

TEST(Streams, H03_UnsentTextIsBounded) {
  ServerConfig config;
  config.limits.stream_buffer_bytes = 64 << 10;
  TestServer s(manual_model(), config);
  RawClient client(s.port(), 4096);
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  const std::string piece(16 << 10, 'x');
  for (int i = 0; i < 4000 && s.model->cancels() == 0; ++i) {
    generation->say(piece);  // up to 64 MB; no socket buffer holds that
  }
  EXPECT_TRUE(s.model->wait_cancelled(*generation));
}

TEST(Streams, ManyAtOnceStayApart) {
  ServerConfig config;
  config.io_threads = 2;
  TestServer s({}, config);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 32; ++i) {
    clients.push_back(std::make_unique<RawClient>(s.port()));
    clients.back()->send(
        make_post("/v1/completions",
                  fmt::format(R"({{"stream":true,"max_tokens":{},"prompt":"a"}})", 1 + i)));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    std::string text;
    for (const std::string& event : sse_events(clients[i]->read_response().body)) {
      text += event == "[DONE]" ? "" : text_at(at(*parse_json(event), "choices", 0, "text"));
    }
    std::string want;
    for (size_t k = 0; k < std::min(i + 1, reply_pieces().size()); ++k) {
      want += reply_pieces()[k];
    }
    EXPECT_EQ(text, want);
  }
}

}  // namespace
}  // namespace tutti::testing
