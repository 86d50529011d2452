// An HTTP server whose models are fake engines in processes of their own: what clients see of it,
// also when engines die.
#include "supervise/gateway.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "http/test_server.h"
#include "supervise/engine_processes.h"

namespace tutti {
namespace {

using namespace std::chrono_literals;
using testing::at;
using testing::body_json;
using testing::error_of;
using testing::make_post;
using testing::make_request;
using testing::RawClient;
using testing::RawResponse;
using testing::retry_within;
using testing::sse_events;
using testing::text_at;
using testing::wait_until;
using State = ReplicaState;

constexpr const char* kChat = "/v1/chat/completions";
// Makes an answer long: seconds, if nobody ends it.
constexpr const char* kLong = R"(,"ignore_eos":true,"max_tokens":3000)";

std::string chat(const std::string& content, const std::string& more = "") {
  return R"({"messages":[{"role":"user","content":")" + content + "\"}]" + more + "}";
}

std::string long_chat(const std::string& more = "") {
  return chat("long", kLong + more);
}

class GatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory = testing::make_runtime_directory();
    ASSERT_NE(directory, nullptr);
    engines = testing::fake_engines(TUTTI_FAKE_ENGINE, directory->path());
    engines.rules.crashes = 1000;
    engines.on_change = [this] {
      if (Supervisor* now = supervisor_now) {
        gateway->update(now->replicas());
      }
    };
    server_config.port = 0;
    server_config.remote = gateway;
  }

  void TearDown() override {
    if (server != nullptr) {
      server->stop();
    }
    if (supervisor != nullptr) {
      supervisor->shut_down();
    }
    EXPECT_EQ(gateway->outstanding_tokens(), 0);
  }

  void start(const std::vector<EngineSpec>& specs) {
    auto started = Supervisor::start(engines);
    ASSERT_TRUE(started.ok());
    supervisor = std::move(started).value();
    supervisor_now = supervisor.get();
    for (const EngineSpec& spec : specs) {
      ids.push_back(supervisor->launch(spec));
    }
    auto listening = HttpServer::start(server_config, std::make_shared<ServedModels>());
    ASSERT_TRUE(listening.ok()) << listening.status().message();
    server = std::move(listening).value();
  }

  void start_ready(const std::vector<EngineSpec>& specs = {{.model = "m", .arguments = {}}}) {
    start(specs);
    ASSERT_TRUE(all_ready());
  }

  bool all_ready() const {
    return wait_until([&] {
      const auto all = supervisor->replicas();
      return gateway->engines().size() == all.size() &&
             std::all_of(all.begin(), all.end(), [](const ReplicaView& view) {
               return view.state == State::kReady;
             });
    });
  }

  RawResponse post(const std::string& body) const {
    return testing::ask(server->port(), make_post(kChat, body));
  }

  RawResponse get(const std::string& path) const {
    return testing::ask(server->port(), make_request("GET", path));
  }

  std::unique_ptr<RuntimeDirectory> directory;
  SupervisorConfig engines;
  std::shared_ptr<Gateway> gateway = std::make_shared<Gateway>();
  std::atomic<Supervisor*> supervisor_now = nullptr;
  ServerConfig server_config;
  std::unique_ptr<Supervisor> supervisor;
  std::unique_ptr<HttpServer> server;
  std::vector<uint64_t> ids;
};

TEST_F(GatewayTest, WholeRepliesComeThrough) {
  start_ready();
  const RawResponse response =
      testing::ask(server->port(), make_post(kChat, chat("hello"), {"X-Request-Id: trace-7"}));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.header("x-request-id"), "trace-7");
  EXPECT_EQ(response.header("content-type"), "application/json");
  const Json json = body_json(response);
  EXPECT_EQ(text_at(at(json, "model")), "m");
  EXPECT_FALSE(text_at(at(json, "choices", 0, "message", "content")).empty());
}

TEST_F(GatewayTest, StreamsComeThroughAsTheyAre) {
  start_ready();
  const std::string whole =
      text_at(at(body_json(post(chat("hello"))), "choices", 0, "message", "content"));
  const RawResponse response = post(chat("hello", R"(,"stream":true)"));
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(response.header("content-type"), "text/event-stream");
  EXPECT_EQ(response.header("x-accel-buffering"), "no");
  const std::vector<std::string> events = sse_events(response.body);
  ASSERT_GT(events.size(), 3U);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_GT(response.chunks.size(), 3U) << "pieces come one by one";
  std::string text;
  for (const std::string& event : events) {
    const auto parsed = parse_json(event);
    if (parsed.ok()) {
      const Json& content = at(*parsed, "choices", 0, "delta", "content");
      text += content.is_string() ? content.as_string() : "";
    }
  }
  EXPECT_EQ(text, whole);
}

TEST_F(GatewayTest, OneConnectionCarriesManyRequests) {
  start_ready();
  RawClient client(server->port());
  for (int i = 0; i < 20; ++i) {
    const std::string more = i % 3 == 1 ? R"(,"stream":true)" : i % 3 == 2 ? R"(,"n":0)" : "";
    ASSERT_TRUE(client.send(make_post(kChat, chat("hello", more))));
    ASSERT_EQ(client.read_response().status, i % 3 == 2 ? 400 : 200);
  }
}

TEST_F(GatewayTest, Http10StreamsEndWithTheConnection) {
  start_ready();
  const std::string body = chat("hello", R"(,"stream":true)");
  RawClient client(server->port());
  ASSERT_TRUE(client.send("POST " + std::string(kChat) +
                          " HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body));
  const auto all = client.read_to_end();
  ASSERT_TRUE(all);
  EXPECT_EQ(all->find("Transfer-Encoding"), std::string::npos);
  EXPECT_TRUE(all->ends_with("data: [DONE]\n\n")) << *all;
}

TEST_F(GatewayTest, ErrorsOfTheEngineComeThrough) {
  start_ready();
  const RawResponse response = post(chat("hello", R"(,"temperature":9)"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(text_at(at(error_of(response), "param")), "temperature");
  const RawResponse broken = post("{");
  EXPECT_EQ(broken.status, 400);
  (void)error_of(broken);
}

TEST_F(GatewayTest, WarningsComeThrough) {
  start_ready();
  const RawResponse response = post(chat("hello", R"(,"no_such_field":1)"));
  EXPECT_EQ(response.status, 200);
  EXPECT_NE(response.header("x-tutti-warning").find("no_such_field"), std::string::npos);
}

TEST_F(GatewayTest, ModelsAreFoundByName) {
  start_ready({{.model = "a", .arguments = {}}, {.model = "b/c", .arguments = {}}});
  const Json list = body_json(get("/v1/models"));
  EXPECT_EQ(text_at(at(list, "data", 0, "id")), "a");
  EXPECT_EQ(text_at(at(list, "data", 1, "id")), "b/c");
  EXPECT_EQ(at(list, "data", 1, "max_model_len").as_int(), 4096);
  EXPECT_EQ(text_at(at(body_json(get("/v1/models/b%2Fc")), "id")), "b/c");
  for (const char* name : {"a", "b/c"}) {
    const RawResponse response = post(chat("hi", R"(,"model":")" + std::string(name) + "\""));
    ASSERT_EQ(response.status, 200) << response.body;
    EXPECT_EQ(text_at(at(body_json(response), "model")), name);
  }
  const RawResponse unknown = post(chat("hi", R"(,"model":"x")"));
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(text_at(at(error_of(unknown), "code")), "model_not_found");
  EXPECT_NE(unknown.body.find("this server has a, b/c"), std::string::npos);
  const RawResponse none = post(chat("hi"));
  EXPECT_EQ(none.status, 400);
  EXPECT_EQ(text_at(at(error_of(none), "param")), "model");
  EXPECT_EQ(get("/v1/models/x").status, 404);
}

TEST_F(GatewayTest, TellsWhatItWaitsFor) {
  start({{.model = "m", .arguments = {"stuck"}}});
  ASSERT_TRUE(wait_until(
      [&] { return get("/health/ready").body.find("loading (0 %)") != std::string::npos; }));
  EXPECT_EQ(get("/health/ready").status, 503);
  EXPECT_EQ(get("/health/live").status, 200);
  const RawResponse response = post(chat("hi"));
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(retry_within(response, 1, 60));
  EXPECT_NE(text_at(at(error_of(response), "message")).find("\"m\" is loading"), std::string::npos);
  EXPECT_EQ(at(body_json(get("/v1/models")), "data").as_array().size(), 0U);
}

TEST_F(GatewayTest, TellsWhyAModelFailed) {
  start({{.model = "m", .arguments = {"refuse"}}});
  ASSERT_TRUE(
      wait_until([&] { return gateway->ready().message().find("failed") != std::string::npos; }));
  const RawResponse response = post(chat("hi"));
  EXPECT_EQ(response.status, 503);
  EXPECT_NE(response.body.find("the model does not fit: 9 GB short"), std::string::npos);
}

TEST_F(GatewayTest, MetricsAreThoseOfTheEngines) {
  start_ready();
  ASSERT_EQ(post(chat("hello")).status, 200);
  const std::string page = get("/metrics").body;
  EXPECT_NE(page.find("tutti:request_success_total{model_name=\"m\",finished_reason=\"stop\"} 1\n"),
            std::string::npos)
      << page;
  EXPECT_NE(page.find("tutti:http_requests_total{route=\"/v1/chat/completions\",code=\"200\"} 1\n"),
            std::string::npos)
      << page;
  EXPECT_EQ(page.find("tutti:num_requests_running{model_name=\"m\"}"),
            page.rfind("tutti:num_requests_running{model_name=\"m\"}"));
}

TEST_F(GatewayTest, GpusAreThoseThatEnginesSee) {
  start_ready({{.model = "m", .arguments = {}}, {.model = "m", .arguments = {}}});
  const Result<Json> json = parse_json(get("/v1/cluster/gpus").body);
  ASSERT_TRUE(json.ok());
  const JsonArray& gpus = json->find("gpus")->as_array();
  ASSERT_EQ(gpus.size(), 1U) << "both engines see the same one";
  EXPECT_EQ(gpus[0].find("uuid")->as_string(), "GPU-fake");
  EXPECT_TRUE(gpus[0].find("used")->as_bool());
  const std::string page = get("/metrics").body;
  const std::string sample = "\ntutti:gpu_used{gpu=\"0\",uuid=\"GPU-fake\",name=\"\"} 1\n";
  EXPECT_NE(page.find(sample), std::string::npos) << page;
  EXPECT_EQ(page.find(sample), page.rfind(sample));
}

TEST_F(GatewayTest, H20_ClientsThatLeaveStopTheirEngine) {
  start_ready();
  const auto running = [&](int count) {
    return get("/metrics")
               .body.find("tutti:num_requests_running{model_name=\"m\"} " + std::to_string(count) +
                          "\n") != std::string::npos;
  };
  {
    RawClient stream(server->port());
    ASSERT_TRUE(stream.send(make_post(kChat, long_chat(R"(,"stream":true)"))));
    (void)stream.read_until("data: ");
    RawClient whole(server->port());
    ASSERT_TRUE(whole.send(make_post(kChat, long_chat())));
    ASSERT_TRUE(wait_until([&] { return running(2); }));
  }
  EXPECT_TRUE(wait_until([&] { return running(0); }));
}

TEST_F(GatewayTest, ReplicasShareTheWork) {
  start_ready({{.model = "m", .arguments = {}}, {.model = "m", .arguments = {}}});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    // All begin alike, but so many tokens outweigh a prefix that may be cached.
    ASSERT_TRUE(clients.back()->send(make_post(kChat, long_chat(R"(,"stream":true)"))));
    (void)clients.back()->read_until("data: ");
  }
  const std::string page = get("/metrics").body;
  int all = 0;
  for (const uint64_t id : ids) {
    const std::string sample =
        "tutti:num_requests_running{replica=\"" + std::to_string(id) + "\",model_name=\"m\"} ";
    const size_t at = page.find(sample);
    ASSERT_NE(at, std::string::npos) << page;
    const int running = std::atoi(page.c_str() + at + sample.size());
    EXPECT_GE(running, 3) << page;
    all += running;
  }
  EXPECT_EQ(all, 8);
}

TEST_F(GatewayTest, DrainsWhatIsUnderWay) {
  start_ready();
  RawClient client(server->port());
  ASSERT_TRUE(client.send(make_post(kChat, chat("hello", R"(,"stream":true)"))));
  (void)client.read_until("data: ");
  server->drain(10s);
  const RawResponse response = client.read_response();
  EXPECT_EQ(sse_events(response.body).back(), "[DONE]");
}

// X-02: an engine is killed at a random moment of its replies; each client gets its answer or one
// error, and the next engine answers as if nothing had been.
TEST_F(GatewayTest, X02_AnEngineThatDiesIsOneErrorForEach) {
  start_ready();
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 generator(seed);
  int lost = 0;
  int answered = 0;
  for (int round = 0; round < 4; ++round) {
    ASSERT_TRUE(all_ready());
    const pid_t pid = supervisor->replicas().front().pid;
    const std::string socket = gateway->engines().front().socket;
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(std::make_unique<RawClient>(server->port()));
      const std::string stream = i % 2 == 0 ? R"(,"stream":true)" : "";
      ASSERT_TRUE(clients.back()->send(
          make_post(kChat, i % 4 < 2 ? long_chat(stream) : chat("hello", stream))));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(generator() % 60'000));
    ASSERT_EQ(kill(pid, round % 2 == 0 ? SIGKILL : SIGSEGV), 0);
    for (const auto& client : clients) {
      const RawResponse response = client->read_response();
      if (response.status == 503) {
        EXPECT_TRUE(retry_within(response, 1, 60));
        EXPECT_EQ(text_at(at(error_of(response), "code")), "unavailable");
        ++lost;
        continue;
      }
      ASSERT_EQ(response.status, 200) << response.body;
      if (response.header("content-type") == "application/json") {
        (void)body_json(response);
        ++answered;
        continue;
      }
      const std::vector<std::string> events = sse_events(response.body);
      ASSERT_FALSE(events.empty());
      for (size_t i = 0; i < events.size(); ++i) {
        const bool last = i + 1 == events.size();
        if (last && events[i] == "[DONE]") {
          ++answered;
          continue;
        }
        const auto parsed = parse_json(events[i]);
        ASSERT_TRUE(parsed.ok()) << events[i];
        EXPECT_EQ(parsed->find("error") != nullptr, last) << events[i];
        lost += last ? 1 : 0;
      }
    }
    // The connections are of use again.
    ASSERT_TRUE(wait_until([&] {
      const std::vector<EngineAddress> now = gateway->engines();
      return !now.empty() && now.front().socket != socket;
    }));
    ASSERT_TRUE(clients[1]->send(make_post(kChat, chat("hello"))));
    EXPECT_EQ(clients[1]->read_response().status, 200);
  }
  EXPECT_EQ(lost + answered, 32);
  EXPECT_GT(lost, 0);
}

// What asks engines waits for them on a thread of its own.
TEST_F(GatewayTest, AnEngineThatHangsHoldsNobodyUp) {
  start_ready();
  const pid_t pid = supervisor->replicas().front().pid;
  for (const char* path : {"/metrics", "/v1/cluster/gpus"}) {
    ASSERT_EQ(kill(pid, SIGSTOP), 0);
    RawClient asking(server->port());
    ASSERT_TRUE(asking.send(make_request("GET", path)));
    std::this_thread::sleep_for(50ms);  // it waits for the engine now, up to a second
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(get("/health/live").status, 200);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 500ms) << path;
    EXPECT_EQ(asking.read_response().status, 200) << path;
    ASSERT_EQ(kill(pid, SIGCONT), 0);
  }
}

TEST_F(GatewayTest, NeighboursOfADyingEngineNoticeNothing) {
  start_ready({{.model = "a", .arguments = {"crash-at:1"}}, {.model = "b", .arguments = {}}});
  RawClient neighbour(server->port());
  ASSERT_TRUE(neighbour.send(make_post(kChat, chat("hello", R"(,"model":"b","stream":true)"))));
  (void)neighbour.read_until("data: ");
  const RawResponse lost = post(long_chat(R"(,"model":"a")"));
  EXPECT_EQ(lost.status, 503);
  EXPECT_EQ(sse_events(neighbour.read_response().body).back(), "[DONE]");
  EXPECT_EQ(post(chat("hello", R"(,"model":"b")")).status, 200);
}

TEST_F(GatewayTest, BigBodiesAndManyAtOnce) {
  start_ready();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      const std::string content(3000, 'x');
      for (int k = 0; k < 5; ++k) {
        good += post(chat(content, k % 2 == 0 ? R"(,"stream":true)" : "")).status == 200 ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(good, 80);
}

}  // namespace
}  // namespace tutti
