// The load generator against real sockets: what it counts, what it calls an error, how it uses
// connections.
#include "loadgen/load_run.h"

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/test_server.h"

namespace tutti::loadgen {
namespace {

using testing::FakeLanguageModel;
using testing::TestServer;

Target target_at(uint16_t port) {
  auto target = Target::parse(fmt::format("http://127.0.0.1:{}", port));
  EXPECT_TRUE(target.ok());
  return *std::move(target);
}

RequestOptions requests(int64_t output_tokens) {
  RequestOptions options;
  options.model = "fake/model 1";
  options.input_length = LengthDistribution(5);
  options.output_length = LengthDistribution(output_tokens);
  options.ignore_eos = true;
  return options;
}

LoadResult run(uint16_t port,
               const RequestOptions& options,
               const LoadOptions& load_options,
               ChunkObserver* observer = nullptr) {
  const Target target = target_at(port);
  const RequestMaker maker(target, options);
  LoadRun load(target, maker, load_options, {}, observer);
  EXPECT_TRUE(load.start().ok());
  return load.join();
}

/// Answers every request on every connection with the same bytes, `piece` bytes at a time; then
/// closes the connection if told to.
class ScriptedServer {
 public:
  ScriptedServer(std::string reply, size_t piece, bool close_after)
      : reply_(std::move(reply)), piece_(piece), close_after_(close_after) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }

  ~ScriptedServer() {
    shutdown(fd_, SHUT_RDWR);
    thread_.join();
    for (std::thread& thread : serving_) {
      thread.join();
    }
    close(fd_);
  }

  ScriptedServer(const ScriptedServer&) = delete;
  ScriptedServer& operator=(const ScriptedServer&) = delete;

  uint16_t port() const { return port_; }

  int connections() const { return connections_; }

 private:
  void accept_all() {
    int fd = 0;
    while ((fd = accept(fd_, nullptr, nullptr)) >= 0) {
      ++connections_;
      serving_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) const {
    std::string in;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
      in.append(buffer, static_cast<size_t>(got));
      if (!in.ends_with("}")) {  // requests are JSON bodies, sent one at a time
        continue;
      }
      in.clear();
      for (size_t at = 0; at < reply_.size(); at += piece_) {
        (void)!send(fd, reply_.data() + at, std::min(piece_, reply_.size() - at), MSG_NOSIGNAL);
      }
      if (close_after_) {
        break;
      }
    }
    close(fd);
  }

  std::string reply_;
  size_t piece_;
  bool close_after_;
  int fd_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::thread thread_;
  std::vector<std::thread> serving_;
};

std::string chunked(const std::string& events) {
  return fmt::format(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
      "{:x}\r\n{}\r\n0\r\n\r\n",
      events.size(),
      events);
}

TEST(LoadRunTest, ClosedLoopSendsEachRequestOnceAndCountsItsTokens) {
  const TestServer server({.step = std::chrono::microseconds(20)});
  for (const int threads : {1, 3}) {
    const LoadResult result =
        run(server.port(), requests(6), {.concurrency = 7, .requests = 50, .threads = threads});
    EXPECT_EQ(result.completed, 50);
    EXPECT_EQ(result.failed, 0);
    EXPECT_EQ(result.output_tokens, 300);
    EXPECT_EQ(result.chunks, 300);
    EXPECT_EQ(result.input_tokens, 250);
    EXPECT_EQ(result.without_usage, 0);
    EXPECT_LE(result.peak_concurrent, 7);
    EXPECT_EQ(result.ttft_ms.size(), 50U);
    EXPECT_EQ(result.tpot_ms.size(), 50U);
    EXPECT_EQ(result.itl_ms.size(), 250U);
  }
}

TEST(LoadRunTest, WholeRepliesAndChats) {
  const TestServer server({.step = std::chrono::microseconds(20)});
  RequestOptions options = requests(4);
  options.stream = false;
  const LoadResult whole = run(server.port(), options, {.concurrency = 2, .requests = 6});
  EXPECT_EQ(whole.completed, 6);
  EXPECT_EQ(whole.output_tokens, 24);
  EXPECT_EQ(whole.chunks, 0);
  EXPECT_EQ(whole.e2el_ms.size(), 6U);
  options = requests(4);
  options.endpoint = Endpoint::kChat;
  options.token_ids = false;
  const LoadResult chat = run(server.port(), options, {.concurrency = 2, .requests = 6});
  EXPECT_EQ(chat.completed, 6);
  EXPECT_EQ(chat.output_tokens, 24);
  EXPECT_EQ(chat.chunks, 24);
}

TEST(LoadRunTest, PoissonArrivalsTakeTheirTime) {
  const TestServer server({.step = std::chrono::microseconds(20)});
  const LoadResult result = run(
      server.port(), requests(2), {.concurrency = 0, .rate = 400.0, .requests = 200, .threads = 2});
  EXPECT_EQ(result.completed, 200);
  // 200 gaps of 2.5 ms: 0.5 s with a deviation of 35 ms; the upper end is the machine's.
  EXPECT_GT(result.seconds, 0.3);
}

TEST(LoadRunTest, ARateWithABoundNeverExceedsIt) {
  const TestServer server({.step = std::chrono::microseconds(100)});
  const LoadResult result =
      run(server.port(), requests(5), {.concurrency = 3, .rate = 5000.0, .requests = 40});
  EXPECT_EQ(result.completed, 40);
  EXPECT_LE(result.peak_concurrent, 3);
}

TEST(LoadRunTest, NoRequestStartsAfterTheDuration) {
  const TestServer server({.step = std::chrono::microseconds(50)});
  const LoadResult result =
      run(server.port(), requests(3), {.concurrency = 4, .duration_seconds = 0.3});
  EXPECT_GT(result.completed, 4);
  EXPECT_EQ(result.failed, 0);
  EXPECT_LT(result.seconds, 5);
}

TEST(LoadRunTest, EventsSplitAtEveryByteAreReadAndTheConnectionIsKept) {
  const std::string events =
      "data: {\"choices\":[{\"index\":0,\"text\":\"one\"}]}\n\n"
      ": comment\n\n"
      "data: {\"choices\":[{\"index\":0,\"text\":\" two\"}]}\n\n"
      "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n"
      "data: [DONE]\n\n";
  const ScriptedServer server(chunked(events), 1, false);
  const LoadResult result = run(server.port(), requests(2), {.concurrency = 2, .requests = 20});
  EXPECT_EQ(result.completed, 20) << (result.errors.empty() ? "" : result.errors.begin()->first);
  EXPECT_EQ(result.output_tokens, 40);
  EXPECT_EQ(result.chunks, 40);
  EXPECT_LE(server.connections(), 2 + 1);  // and the one that looks which address answers
}

TEST(LoadRunTest, WithoutUsageChunksAreCounted) {
  const ScriptedServer server(
      chunked("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n"), 4096, false);
  const LoadResult result = run(server.port(), requests(1), {.requests = 3});
  EXPECT_EQ(result.completed, 3);
  EXPECT_EQ(result.output_tokens, 3);
  EXPECT_EQ(result.without_usage, 3);
  EXPECT_EQ(result.input_tokens, 15);
}

TEST(LoadRunTest, ErrorsAreCountedByKindWithWhatWasSaid) {
  struct Case {
    std::string reply;
    bool close_after;
    const char* kind;
    const char* detail;
  };

  const std::string json = R"({"error":{"message":"queue full"}})";
  const std::string busy = fmt::format(
      "HTTP/1.1 429 Too Many Requests\r\nContent-Length: {}\r\n\r\n{}", json.size(), json);
  const std::string good = chunked("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n");
  for (const Case& c : {Case{busy, false, "http 429", "queue full"},
                        Case{chunked("data: " + json + "\n\n"), false, "error event", "queue full"},
                        Case{chunked("data: {\"choices\":[{\"text\":\"a\"}]}\n\n"),
                             false,
                             "incomplete stream",
                             "[DONE]"},
                        Case{chunked("data: nonsense\n\n"), false, "malformed reply", "nonsense"},
                        Case{good.substr(0, good.size() / 2), true, "connection closed", "closed"},
                        Case{"220 smtp ready\r\n\r\n", true, "malformed reply", "HTTP"}}) {
    const ScriptedServer server(c.reply, 4096, c.close_after);
    const LoadResult result = run(server.port(), requests(1), {.requests = 3});
    EXPECT_EQ(result.completed, 0) << c.kind;
    EXPECT_EQ(result.failed, 3) << c.kind;
    ASSERT_EQ(result.errors.size(), 1U) << c.kind;
    EXPECT_EQ(result.errors.begin()->first, c.kind);
    EXPECT_EQ(result.errors.begin()->second.count, 3);
    EXPECT_NE(result.errors.begin()->second.example.find(c.detail), std::string::npos)
        << result.errors.begin()->second.example;
  }
}

TEST(LoadRunTest, AServerThatClosesIdleConnectionsCostsNoRequest) {
  const ScriptedServer server(
      chunked("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n"), 4096, true);
  const LoadResult result = run(server.port(), requests(1), {.concurrency = 2, .requests = 30});
  EXPECT_EQ(result.completed, 30) << (result.errors.empty()
                                          ? ""
                                          : result.errors.begin()->second.example);
}

TEST(LoadRunTest, ConnectionRefused) {
  uint16_t port = 0;
  {
    const ScriptedServer gone("", 1, true);
    port = gone.port();
  }
  const LoadResult result = run(port, requests(1), {.concurrency = 2, .requests = 5});
  EXPECT_EQ(result.failed, 5);
  ASSERT_EQ(result.errors.count("connect"), 1U);
  EXPECT_NE(result.errors.at("connect").example.find("connection refused"), std::string::npos);
}

TEST(LoadRunTest, TimeoutAndStop) {
  const TestServer server(testing::manual_model());  // never says anything
  const LoadResult late =
      run(server.port(), requests(1), {.concurrency = 3, .requests = 3, .timeout_seconds = 0.2});
  EXPECT_EQ(late.failed, 3);
  EXPECT_EQ(late.errors.count("timeout"), 1U);

  const Target target = target_at(server.port());
  const RequestMaker maker(target, requests(1));
  LoadRun load(target, maker, {.concurrency = 3, .requests = 1000});
  ASSERT_TRUE(load.start().ok());
  while (load.progress().running < 3) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  load.stop();
  const LoadResult stopped = load.join();
  EXPECT_EQ(stopped.completed, 0);
  EXPECT_EQ(stopped.failed, 0);
}

/// Text of each request as the observer saw it.
class Texts final : public ChunkObserver {
 public:
  void on_text(int64_t request, std::string_view text, Clock::time_point arrival) override {
    const std::lock_guard lock(mutex_);
    EXPECT_GE(arrival, last_[request]);
    last_[request] = arrival;
    texts_[request] += text;
  }

  std::map<int64_t, std::string> texts_;

 private:
  std::mutex mutex_;
  std::map<int64_t, Clock::time_point> last_;
};

TEST(LoadRunTest, TheObserverSeesEveryTextInOrder) {
  const TestServer server({.step = std::chrono::microseconds(20)});
  Texts texts;
  const auto count = static_cast<int64_t>(testing::reply_pieces().size());
  const LoadResult result =
      run(server.port(), requests(count), {.concurrency = 5, .requests = 25, .threads = 2}, &texts);
  EXPECT_EQ(result.completed, 25);
  std::string whole;
  for (const std::string& piece : testing::reply_pieces()) {
    whole += piece;
  }
  ASSERT_EQ(texts.texts_.size(), 25U);
  for (const auto& [request, text] : texts.texts_) {
    EXPECT_EQ(text, whole) << "request " << request;
  }
}

}  // namespace
}  // namespace tutti::loadgen
