// Starting, refusing to start, running out of descriptors, draining, stopping.
#include <chrono>
#include <semaphore>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include "http/test_server.h"
#include "serve/random_id.h"

namespace tutti::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kStream = R"({"stream":true,"messages":[{"role":"user","content":"hi"}]})";

std::string start_error(ServerConfig config) {
  auto server = HttpServer::start(std::move(config), std::make_shared<ServedModels>());
  return server.ok() ? "" : server.status().message();
}

bool mentions(const std::string& text, const std::string& word) {
  return text.find(word) != std::string::npos;
}

TEST(Lifecycle, R06_APortInUseIsNamedWithTheRemedy) {
  TestServer s;
  ServerConfig config;
  config.port = s.port();
  const std::string message = start_error(config);
  EXPECT_TRUE(mentions(message, std::to_string(s.port()))) << message;
  EXPECT_TRUE(mentions(message, "‹port›")) << message;
}

TEST(Lifecycle, AnUnknownHostIsNamed) {
  ServerConfig config;
  config.port = 0;
  config.host = "no-such-host.invalid";
  EXPECT_TRUE(mentions(start_error(config), "no-such-host.invalid"));
  config.host = "192.0.2.1";  // TEST-NET-1: nobody's address
  config.insecure = true;
  EXPECT_TRUE(mentions(start_error(config), "192.0.2.1"));
}

TEST(Lifecycle, OpenToTheNetworkNeedsAKeyOrConsent) {
  ServerConfig config;
  config.port = 0;
  config.host = "0.0.0.0";
  const std::string message = start_error(config);
  EXPECT_TRUE(mentions(message, "‹api_key›") && mentions(message, "‹insecure›")) << message;
  config.insecure = true;
  EXPECT_EQ(start_error(config), "");
  config.insecure = false;
  config.api_key = "k";
  EXPECT_EQ(start_error(config), "");
}

TEST(Lifecycle, ABlankKeyIsRefused) {
  ServerConfig config;
  config.port = 0;
  config.use_key = true;
  for (const char* key : {"", " ", "a b", "\t", "k\xC3\xA9y"}) {
    config.api_key = key;
    EXPECT_TRUE(mentions(start_error(config), "API key")) << key;
  }
}

TEST(Lifecycle, OtherHostNamesWorkWhenOpenToTheNetwork) {
  ServerConfig config;
  config.host = "0.0.0.0";
  config.insecure = true;
  TestServer s({}, config);
  EXPECT_EQ(s.send("GET /health HTTP/1.1\r\nHost: my.example\r\n\r\n").status, 200);
}

TEST(Lifecycle, R02_DrainFinishesStreamsAndTakesNoMore) {
  TestServer s(manual_model());
  RawClient idle(s.port());
  idle.send(make_request("GET", "/health"));
  EXPECT_EQ(idle.read_response().status, 200);
  RawClient client(s.port());
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  std::thread drain([&] { s.server->drain(30s); });
  while (s.send(make_request("GET", "/health/ready")).status == 200) {
  }
  EXPECT_EQ(s.send(make_request("GET", "/ready")).status, 503);
  EXPECT_EQ(s.send(make_request("GET", "/health/live")).status, 200);
  const RawResponse late = s.post("/v1/chat/completions", kStream);
  EXPECT_EQ(late.status, 503);
  EXPECT_TRUE(retry_within(late, 2, 8));
  idle.send(make_post("/v1/chat/completions", kStream));
  EXPECT_EQ(idle.read_response().status, 503);
  EXPECT_TRUE(idle.closed_within(2000ms));
  generation->say("bye");
  generation->finish(FinishReason::kStop);
  generation->sink->on_done({});
  const RawResponse response = client.read_response();
  EXPECT_EQ(sse_events(response.body).back(), "[DONE]");
  EXPECT_TRUE(client.closed_within(2000ms));
  client.close();
  drain.join();
  EXPECT_EQ(s.model->cancels(), 0U);
}

TEST(Lifecycle, R02_StopEndsRepliesWithAnError) {
  TestServer s(manual_model());
  RawClient stream(s.port());
  stream.send(make_post("/v1/chat/completions", kStream));
  ASSERT_NE(s.model->wait_generation(0), nullptr);
  stream.read_until("assistant");
  RawClient whole(s.port());
  whole.send(make_post("/v1/completions", R"({"prompt":"a"})"));
  ASSERT_NE(s.model->wait_generation(1), nullptr);
  std::thread stop([&] { s.server->stop(); });
  const auto events = sse_events(stream.read_response().body);
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(mentions(events.back(), "shutting down")) << events.back();
  EXPECT_TRUE(mentions(events.back(), "\"code\":\"unavailable\""));
  EXPECT_EQ(whole.read_response().status, 503);
  stream.close();
  whole.close();
  stop.join();
  EXPECT_TRUE(s.model->wait_cancelled(*s.model->wait_generation(0)));
  EXPECT_TRUE(s.model->wait_cancelled(*s.model->wait_generation(1)));
  s.server->stop();
}

// Sinks may be called after the server is gone: the model owns them.
TEST(Lifecycle, LatePiecesAfterTheServerAreHarmless) {
  TestServer s(manual_model());
  RawClient client(s.port());
  client.send(make_post("/v1/chat/completions", kStream));
  const auto generation = s.model->wait_generation(0);
  ASSERT_NE(generation, nullptr);
  client.close();
  ASSERT_TRUE(s.model->wait_cancelled(*generation));
  s.server.reset();
  generation->say("too late");
  generation->sink->on_error(Status(StatusCode::kCancelled, "cancelled"));
}

// Of ids of requests, on a thread that never made one. It begins and ends while there are
// descriptors: sanitizers want some for that.
TEST(Lifecycle, H05_RandomNumbersTakeNoDescriptor) {
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  std::binary_semaphore begun{0};
  std::binary_semaphore none_left{0};
  std::binary_semaphore done{0};
  std::binary_semaphore some_left{0};
  uint64_t numbers[2] = {};
  std::jthread thread([&] {
    begun.release();
    none_left.acquire();
    numbers[0] = random_u64();
    numbers[1] = random_u64();
    done.release();
    some_left.acquire();
  });
  begun.acquire();
  rlimit none = old;
  none.rlim_cur = 0;
  const bool limited = setrlimit(RLIMIT_NOFILE, &none) == 0;
  none_left.release();
  done.acquire();
  const bool restored = setrlimit(RLIMIT_NOFILE, &old) == 0;
  some_left.release();
  EXPECT_TRUE(limited && restored);
  EXPECT_NE(numbers[0], numbers[1]);
}

TEST(Lifecycle, H05_OutOfDescriptorsIsSurvived) {
  ServerConfig config;
  config.limits.accept_pause = 20ms;
  TestServer s({}, config);
  RawClient client;  // has its descriptor already
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  const int next = ::open("/dev/null", O_RDONLY);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit none = old;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool connected = client.connect(s.port());  // the backlog takes it
  client.send(make_request("GET", "/health"));
  const bool silent = !client.closed_within(150ms);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
  EXPECT_TRUE(connected && silent);
  EXPECT_EQ(client.read_response().status, 200);
}

}  // namespace
}  // namespace tutti::testing
