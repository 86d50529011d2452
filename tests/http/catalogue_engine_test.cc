// Cases of the catalogue of abuse that need a real engine (ids H-20 to H-22, O-…, X-…, P-03): the
// server over TextEngine and a runner that checks every KV block. Blocks are counted, not guessed.
#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/fake_model_runner.h"
#include "engine/text_engine.h"
#include "engine/text_engine_fakes.h"
#include "http/fake_language_model.h"
#include "http/test_server.h"

namespace tutti::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* kCompletions = "/v1/completions";

/// Passes everything on and remembers at which step a cancel came.
class WatchedModel final : public ByteModel {
 public:
  WatchedModel(std::shared_ptr<TextEngine> engine, const FakeModelRunner& runner)
      : ByteModel(std::move(engine)), runner_(runner) {}

  void cancel(uint64_t generation) override {
    step_of_cancel_ = runner_.steps();
    ++cancels_;
    ByteModel::cancel(generation);
  }

  int64_t step_of_cancel() const { return step_of_cancel_; }

  int64_t cancels() const { return cancels_; }

 private:
  const FakeModelRunner& runner_;
  std::atomic<int64_t> step_of_cancel_{-1};
  std::atomic<int64_t> cancels_{0};
};

struct EngineSetup {
  RunnerLimits runner = {.block_size = 4,
                         .num_blocks = 512,
                         .max_batch_tokens = 64,
                         .max_batch_sequences = 8,
                         .max_context = 1024,
                         .vocab_size = 300};
  EngineConfig engine;
  ServerConfig server;
  FakeModelRunner::Hook hook;
};

struct EngineServer {
  explicit EngineServer(EngineSetup setup = {}) {
    auto fake = std::make_unique<FakeModelRunner>(setup.runner);
    runner = fake.get();
    if (setup.hook) {
      runner->set_hook(setup.hook);
    }
    TextEngineParts parts;
    parts.info.id = "real-engine";
    parts.engine = setup.engine;
    parts.defaults.sampling.temperature = 0.0F;
    parts.text = std::make_shared<FakeTokenText>(std::vector<std::string>());
    parts.runner = std::move(fake);
    engine = std::make_shared<TextEngine>(std::move(parts));
    model = std::make_shared<WatchedModel>(engine, *runner);
    auto models = std::make_shared<ServedModels>();
    EXPECT_TRUE(models->add(model).ok());
    setup.server.port = 0;
    auto started = HttpServer::start(std::move(setup.server), models);
    EXPECT_TRUE(started.ok()) << started.status().message();
    server = std::move(started).value();
  }

  ~EngineServer() {
    server->stop();
    engine->shutdown();
  }

  uint16_t port() const { return server->port(); }

  RawResponse post(const std::string& body) const {
    return ask(port(), make_post(kCompletions, body));
  }

  // Nothing runs, waits or holds a block. Cached content holds none.
  bool empty_within(std::chrono::milliseconds timeout) const {
    const auto end = std::chrono::steady_clock::now() + timeout;
    while (std::chrono::steady_clock::now() < end) {
      const EngineStats stats = engine->stats();
      if (stats.requests_running + stats.requests_waiting + stats.kv_blocks_used == 0) {
        return true;
      }
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }

  template <class Condition>
  bool wait_for(const Condition& condition) const {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!condition(engine->stats())) {
      if (std::chrono::steady_clock::now() > end) {
        return false;
      }
      std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  FakeModelRunner* runner = nullptr;
  std::shared_ptr<TextEngine> engine;
  std::shared_ptr<WatchedModel> model;
  std::unique_ptr<HttpServer> server;
};

/// Declared after the server: a failed assertion must not leave the engine waiting.
struct OpenAtEnd {
  Gate& gate;

  ~OpenAtEnd() { gate.open(); }
};

std::string completion(const std::string& prompt, int64_t max_tokens, bool stream) {
  return fmt::format(R"({{"prompt":"{}","max_tokens":{},"stream":{},"temperature":0,"seed":7}})",
                     prompt,
                     max_tokens,
                     stream);
}

void leave(RawClient& client, uint64_t how) {
  if (how % 3 == 0) {
    client.close();
  } else if (how % 3 == 1) {
    client.reset();
  } else {
    client.half_close();
  }
}

EngineSetup slow_steps(std::chrono::milliseconds step) {
  EngineSetup setup;
  setup.hook = [step](const Batch&) {
    std::this_thread::sleep_for(step);
    return Status();
  };
  return setup;
}

// From the moment the server tells the engine, at most two steps pass until the blocks are free.
TEST(Catalogue, H20_LeavingWhileDecodingFreesBlocksWithinTwoSteps) {
  EngineServer s(slow_steps(40ms));
  for (const uint64_t how : {0U, 1U, 2U}) {
    RawClient client(s.port());
    client.send(make_post(kCompletions, completion("hello", 500, true)));
    client.read_until("data: ");
    ASSERT_TRUE(s.wait_for([](const EngineStats& stats) { return stats.kv_blocks_used > 0; }));
    const int64_t cancels = s.model->cancels();
    leave(client, how);
    ASSERT_TRUE(s.wait_for([&](const EngineStats&) { return s.model->cancels() > cancels; }));
    ASSERT_TRUE(s.empty_within(10s));
    EXPECT_LE(s.runner->steps() - s.model->step_of_cancel(), 2);
  }
}

TEST(Catalogue, H21_LeavingInPrefillFreesBlocksWithinTwoSteps) {
  EngineSetup setup = slow_steps(40ms);
  setup.runner.max_batch_tokens = 8;
  EngineServer s(std::move(setup));
  RawClient client(s.port());
  client.send(make_post(kCompletions, completion(std::string(800, 'x'), 5, true)));
  ASSERT_TRUE(s.wait_for([](const EngineStats& stats) { return stats.steps >= 2; }));
  ASSERT_EQ(s.engine->stats().generated_tokens, 0U);
  client.close();
  ASSERT_TRUE(s.wait_for([&](const EngineStats&) { return s.model->cancels() > 0; }));
  ASSERT_TRUE(s.empty_within(10s));
  EXPECT_LE(s.runner->steps() - s.model->step_of_cancel(), 2);
  EXPECT_EQ(s.engine->stats().generated_tokens, 0U);
}

TEST(Catalogue, H21_LeavingTheQueueCostsNothing) {
  EngineSetup setup = slow_steps(20ms);
  setup.runner.max_batch_sequences = 1;
  EngineServer s(std::move(setup));
  RawClient first(s.port());
  first.send(make_post(kCompletions, completion("a", 400, true)));
  first.read_until("data: ");
  RawClient second(s.port());
  second.send(make_post(kCompletions, completion("b", 400, true)));
  ASSERT_TRUE(s.wait_for([](const EngineStats& stats) { return stats.requests_waiting == 1; }));
  second.close();
  ASSERT_TRUE(s.wait_for([](const EngineStats& stats) { return stats.requests_waiting == 0; }));
  EXPECT_EQ(s.engine->stats().requests_running, 1);
  // The count of cancels follows the length of the queue in the next report of the engine.
  EXPECT_TRUE(s.wait_for([](const EngineStats& stats) { return stats.requests_cancelled == 1; }));
  first.close();
  EXPECT_TRUE(s.empty_within(10s));
}

// A thousand clients leave at random points, several at a time, with a pool that preempts.
TEST(Catalogue, H22_AThousandLeaveAtRandomPointsAndNoBlockIsLost) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  EngineSetup setup;
  setup.runner.num_blocks = 64;
  setup.runner.max_batch_sequences = 4;
  // Slow enough that many leave before their reply is complete.
  setup.hook = [](const Batch&) {
    std::this_thread::sleep_for(200us);
    return ok_status();
  };
  EngineServer s(std::move(setup));
  constexpr uint64_t kClients = 1000;
  constexpr uint64_t kAtOnce = 8;
  uint64_t finished = 0;
  for (uint64_t i = 0; i < kClients; i += kAtOnce) {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (uint64_t k = 0; k < kAtOnce; ++k) {
      clients.push_back(std::make_unique<RawClient>(s.port()));
      const std::string prompt(1 + random() % 60, 'p');
      clients.back()->send(
          make_post(kCompletions, completion(prompt, 20 + random() % 100, k % 2 == 0)));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 4));
    for (uint64_t k = 0; k < kAtOnce; ++k) {
      RawClient& client = *clients[k];
      if (k % 2 == 0 && random() % 4 == 0) {
        client.read_until("data: ");
      } else if (random() % 8 == 0) {
        finished += client.read_response().status == 200 ? 1 : 0;
      }
      leave(client, random());
    }
    clients.clear();
    ASSERT_TRUE(s.empty_within(10s)) << i;
  }
  const EngineStats stats = s.engine->stats();
  EXPECT_EQ(stats.requests_failed, 0U);
  EXPECT_GE(stats.requests_finished, finished);
  EXPECT_GT(stats.requests_cancelled, kClients / 10);
  // Those that left before they were read to the end never reached the engine.
  EXPECT_LE(stats.requests_finished + stats.requests_cancelled, kClients);
  EXPECT_EQ(s.post(completion("still here", 3, false)).status, 200);
}

TEST(Catalogue, O01_AFullQueueIs429AndNobodyElseIsHurt) {
  constexpr int64_t kQueue = 512;
  constexpr int64_t kRunning = 8;
  Gate gate;
  EngineSetup setup;
  setup.engine.max_waiting = kQueue;
  setup.server.limits.prepare_queue = 1024;
  setup.hook = [&gate](const Batch&) { return gate.pass(); };
  EngineServer s(std::move(setup));
  const OpenAtEnd opener{gate};
  RawClient warm(s.port());  // in the step that waits; the others queue behind it
  warm.send(make_post(kCompletions, completion("w", 2, false)));
  gate.wait_for_step();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 600; ++i) {
    clients.push_back(std::make_unique<RawClient>(s.port()));
    clients.back()->send(make_post(kCompletions, completion("a", 2, false)));
  }
  // Refusals come while nothing moves.
  ASSERT_TRUE(s.wait_for([&](const EngineStats&) {
    int answered = 0;
    for (const auto& client : clients) {
      answered += client->ready() ? 1 : 0;
    }
    return answered >= 600 - kQueue - kRunning;
  }));
  gate.open();
  int accepted = 0;
  int refused = 0;
  for (const auto& client : clients) {
    const RawResponse response = client->read_response();
    accepted += response.status == 200 ? 1 : 0;
    if (response.status == 429) {
      ++refused;
      EXPECT_TRUE(retry_within(response, 1, 60));
      EXPECT_EQ(text_at(at(error_of(response), "code")), "overloaded");
    }
  }
  EXPECT_EQ(accepted + refused, 600);
  EXPECT_GE(accepted, kQueue);
  EXPECT_LE(accepted, kQueue + kRunning);
  EXPECT_EQ(warm.read_response().status, 200);
  EXPECT_TRUE(s.empty_within(10s));
}

TEST(Catalogue, O02_TenTimesTheKvPoolEndsWithTheSameText) {
  EngineSetup setup;
  setup.runner.num_blocks = 84;
  setup.runner.max_batch_sequences = 32;
  // Slow enough that the streams meet in the pool, however late their connections are served.
  setup.hook = [](const Batch&) {
    std::this_thread::sleep_for(1ms);
    return ok_status();
  };
  EngineServer s(std::move(setup));
  constexpr int kStreams = 64;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<RawClient>(s.port()));
    clients.back()->send(
        make_post(kCompletions, completion(fmt::format("prompt {}", i), 40 + i % 20, true)));
  }
  SamplingParams greedy;
  greedy.temperature = 0.0F;
  greedy.seed = 7;
  for (int i = 0; i < kStreams; ++i) {
    std::string text;
    for (const std::string& event :
         sse_events(clients[static_cast<size_t>(i)]->read_response().body)) {
      text += event == "[DONE]" ? "" : text_at(at(*parse_json(event), "choices", 0, "text"));
    }
    std::vector<int32_t> prompt;
    for (const char c : fmt::format("prompt {}", i)) {
      prompt.push_back(c);
    }
    std::string want;
    for (const int32_t token :
         fake_output(prompt, greedy, 0, 40 + i % 20, {}, s.runner->limits().vocab_size)) {
      want += fmt::format("<{}>", token);
    }
    EXPECT_EQ(text, want) << i;
  }
  EXPECT_GT(s.engine->stats().preemptions, 0U);
  EXPECT_TRUE(s.empty_within(10s));
}

TEST(Catalogue, O03_P03_WhatCanNeverFitIs400AtTheDoor) {
  EngineSetup setup;
  setup.runner.num_blocks = 16;  // 64 tokens of a context of 1024
  EngineServer s(std::move(setup));
  for (const size_t tokens :
       {size_t{64}, size_t{65}, size_t{1023}, size_t{1024}, size_t{1025}, size_t{100'000}}) {
    const RawResponse response = s.post(completion(std::string(tokens, 'x'), 5, false));
    EXPECT_EQ(response.status, 400) << tokens;
    EXPECT_EQ(text_at(at(error_of(response), "code")), "context_length_exceeded");
    EXPECT_EQ(text_at(at(error_of(response), "param")), "prompt");
  }
  EXPECT_EQ(s.post(completion(std::string(63, 'x'), 2, false)).status, 400);
  EXPECT_EQ(s.engine->stats().steps, 0U);
  EXPECT_EQ(s.post(completion(std::string(63, 'x'), 1, false)).status, 200);
  EXPECT_TRUE(s.empty_within(10s));
}

// Steps are the clock: one long request must not make short ones wait for it.
TEST(Catalogue, O04_ALongRequestDoesNotStarveShortOnes) {
  EngineSetup setup;
  setup.runner.num_blocks = 512;
  setup.runner.max_batch_tokens = 32;
  EngineServer s(std::move(setup));
  const auto short_steps = [&] {
    const int64_t begun = s.runner->steps();
    EXPECT_EQ(s.post(completion("short", 8, false)).status, 200);
    return s.runner->steps() - begun;
  };
  int64_t alone = 0;
  for (int i = 0; i < 20; ++i) {
    alone = std::max(alone, short_steps());
  }
  EngineSetup paced = slow_steps(1ms);
  paced.runner = s.runner->limits();
  EngineServer busy(std::move(paced));
  RawClient client(busy.port());
  client.send(make_post(kCompletions, completion(std::string(900, 'x'), 120, true)));
  client.read_until("data: ");
  for (int i = 0; i < 4; ++i) {
    const int64_t begun = busy.runner->steps();
    EXPECT_EQ(busy.post(completion("short", 8, false)).status, 200);
    // The engine never idles here, so steps also pass while a request is on its way in and out.
    EXPECT_LE(busy.runner->steps() - begun, 3 * alone + 40);
  }
  EXPECT_EQ(sse_events(client.read_response().body).back(), "[DONE]");
}

// As OpenAI and vLLM do: an answer that cannot be as long as asked for is refused, not cut short.
TEST(Catalogue, P03_MoreTokensThanThereIsRoomForAreRefusedByTheirName) {
  EngineServer s;  // a context of 1024
  const auto verdict = [&](const char* path, const std::string& fields) {
    const RawResponse response = ask(s.port(), make_post(path, "{" + fields + "}"));
    return response.status == 200 ? ""
                                  : fmt::format("{} {} {}",
                                                response.status,
                                                text_at(at(error_of(response), "code")),
                                                text_at(at(error_of(response), "param")));
  };
  const std::string text(1000, 'a');  // a token a byte
  const std::string prompt = "\"prompt\":\"" + text + "\",\"ignore_eos\":true";
  EXPECT_EQ(verdict(kCompletions, prompt + R"(,"max_tokens":24)"), "");
  EXPECT_EQ(verdict(kCompletions, prompt + R"(,"max_tokens":25)"),
            "400 context_length_exceeded max_tokens");
  EXPECT_EQ(verdict(kCompletions, prompt + R"(,"max_tokens":25,"stream":true)"),
            "400 context_length_exceeded max_tokens");
  EXPECT_EQ(verdict(kCompletions, prompt + R"(,"max_completion_tokens":2147483647)"),
            "400 context_length_exceeded max_completion_tokens");
  const std::string chat = R"("messages":[{"role":"user","content":"hi"}])";
  EXPECT_EQ(verdict("/v1/chat/completions", chat + R"(,"max_tokens":2000)"),
            "400 context_length_exceeded max_tokens");
  // Nobody asked for the default of 16: it may be less.
  const std::string close = "\"prompt\":\"" + std::string(1020, 'a') + "\"";
  EXPECT_EQ(verdict(kCompletions, close), "");
}

TEST(Catalogue, O05_AClientsTimeOutEndsItsRequest) {
  EngineServer s(slow_steps(10ms));
  const RawResponse whole = s.post(R"({"prompt":"a","max_tokens":900,"timeout":0.2})");
  EXPECT_EQ(whole.status, 504);
  EXPECT_EQ(text_at(at(error_of(whole), "code")), "deadline_exceeded");
  EXPECT_EQ(whole.header("x-should-retry"), "false");
  const RawResponse stream =
      s.post(R"({"prompt":"a","max_tokens":900,"timeout":0.2,"stream":true})");
  EXPECT_EQ(stream.status, 200);
  EXPECT_NE(sse_events(stream.body).back().find("deadline_exceeded"), std::string::npos);
  EXPECT_TRUE(s.empty_within(10s));
}

// What waited longer than the queue's time-out is told to come back; nothing was computed for it.
TEST(Catalogue, O05_WhatWaitsTooLongIs503) {
  EngineSetup setup = slow_steps(5ms);
  setup.runner.max_batch_sequences = 1;
  setup.server.limits.queue_timeout = 300ms;
  EngineServer s(std::move(setup));
  RawClient first(s.port());
  first.send(make_post(kCompletions, completion("a", 500, true)));
  first.read_until("data: ");
  for (const bool stream : {false, true}) {
    const auto begun = std::chrono::steady_clock::now();
    const RawResponse late = s.post(completion("b", 5, stream));
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 250ms);
    if (stream) {
      EXPECT_NE(sse_events(late.body).back().find("\"code\":\"unavailable\""), std::string::npos);
    } else {
      EXPECT_EQ(late.status, 503);
      EXPECT_TRUE(retry_within(late, 1, 60));
    }
  }
  EXPECT_EQ(s.engine->stats().requests_running, 1);
  EXPECT_EQ(s.engine->stats().requests_waiting, 0);
  EXPECT_EQ(s.engine->stats().requests_failed, 2U);
  first.close();
  EXPECT_TRUE(s.empty_within(10s));
}

TEST(Catalogue, X01_AFailedStepIsOneFailedRequest) {
  for (const int64_t bad_step : {1, 11, 20}) {
    std::atomic<int64_t> step{0};
    EngineSetup setup;
    setup.hook = [&step, bad_step](const Batch&) {
      return ++step == bad_step ? Status(StatusCode::kInternal, "planted") : Status();
    };
    EngineServer s(std::move(setup));
    const bool stream = bad_step == 11;
    const RawResponse response = s.post(completion("a", 20, stream));
    if (stream) {
      EXPECT_NE(sse_events(response.body).back().find("internal_error"), std::string::npos);
    } else {
      EXPECT_EQ(response.status, 500) << bad_step;
      EXPECT_EQ(response.header("x-should-retry"), "false");
    }
    EXPECT_TRUE(s.empty_within(10s));
    EXPECT_EQ(s.post(completion("a", 20, false)).status, 200);
    EXPECT_EQ(ask(s.port(), make_request("GET", "/ready")).status, 200);
    const std::string metrics = ask(s.port(), make_request("GET", "/metrics")).body;
    EXPECT_THAT(metrics, ::testing::HasSubstr("tutti:engine_steps_lost_total{"));
    EXPECT_EQ(s.engine->stats().steps_lost, 1U);
  }
}

// Ranks are threads of this process, so there is no worker to kill; a device that fails for good is
// the same to a client.
TEST(Catalogue, X02_ADeadDeviceEndsStreamsAndReadinessAtOnce) {
  std::atomic<int64_t> step{0};
  EngineSetup setup;
  setup.hook = [&step](const Batch&) {
    std::this_thread::sleep_for(1ms);
    return ++step >= 10 ? Status(StatusCode::kDevice, "planted") : Status();
  };
  EngineServer s(std::move(setup));
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<RawClient>(s.port()));
    clients.back()->send(make_post(kCompletions, completion("a", 500, true)));
  }
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& client : clients) {
    const RawResponse response = client->read_response();
    EXPECT_TRUE(response.status == 503 ||
                sse_events(response.body).back().find("\"error\"") != std::string::npos);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_EQ(ask(s.port(), make_request("GET", "/ready")).status, 503);
  // Only a new process helps: whoever watches it must learn of it.
  EXPECT_EQ(ask(s.port(), make_request("GET", "/health/live")).status, 503);
  EXPECT_EQ(s.post(completion("a", 2, false)).status, 503);
  EXPECT_TRUE(s.empty_within(10s));
}

// A full queue is no reason to take the server out of the balancer.
TEST(Catalogue, R05_ReadyMeansCanTakeWorkNotHasRoomNow) {
  Gate gate;
  EngineSetup setup;
  setup.engine.max_waiting = 1;
  setup.hook = [&gate](const Batch&) { return gate.pass(); };
  EngineServer s(std::move(setup));
  const OpenAtEnd opener{gate};
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<RawClient>(s.port()));
    clients.back()->send(make_post(kCompletions, completion("a", 2, false)));
  }
  ASSERT_TRUE(s.wait_for([&](const EngineStats&) {
    return std::any_of(clients.begin(), clients.end(), [](const auto& c) { return c->ready(); });
  }));
  EXPECT_EQ(ask(s.port(), make_request("GET", "/health/ready")).status, 200);
  EXPECT_EQ(ask(s.port(), make_request("GET", "/health/live")).status, 200);
  gate.open();
}

}  // namespace
}  // namespace tutti::testing
