// Many concurrent streams against the whole server over a paced model, on the cores of this machine
// that both share: how late does each token arrive, is any lost or out of order, what does a stream
// cost in CPU time and memory?
//
//   stream_bench [STREAMS=2000] [TOKENS=600] [STEPS_PER_SECOND=20] [RAMP_UP_SECONDS=5]
//   [IO_THREADS=1]
//
// Starts stream_server (beside itself) and ends it. Lateness of a token: its arrival at the client
// minus the time its step was due, both by the machine's monotonic clock. Prints the figures and
// exits 0 if all bounds hold.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "loadgen/load_run.h"
#include "loadgen/process_stats.h"
#include "loadgen/statistics.h"

namespace tutti::loadgen {
namespace {

constexpr double kMaxP99Milliseconds = 100;
constexpr double kMaxBytesPerStream = 30'000;

struct Setting {
  int64_t streams = 2000;
  int64_t tokens = 600;
  double steps_per_second = 20;
  double ramp_up_seconds = 5;
  int io_threads = 1;
};

/// stream_server as a child process; ended by closing its standard input.
class Server {
 public:
  explicit Server(const Setting& setting) {
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
      return;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    const std::string program =
        std::filesystem::read_symlink("/proc/self/exe").parent_path() / "stream_server";
    std::vector<std::string> words{program,
                                   std::to_string(setting.steps_per_second),
                                   std::to_string(setting.streams + 48),
                                   std::to_string(setting.io_threads)};
    std::vector<char*> args;
    for (std::string& word : words) {
      args.push_back(word.data());
    }
    args.push_back(nullptr);
    if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, args.data(), environ) != 0) {
      pid_ = -1;
    }
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    char c = 0;
    while (read(out[0], &c, 1) == 1 && c != '\n') {
      line_ += c;
    }
    close(out[0]);
  }

  ~Server() {
    close(input_);
    if (pid_ > 0) {
      waitpid(pid_, nullptr, 0);
    }
  }

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// What it printed when it was ready.
  const std::string& line() const { return line_; }

  int64_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  std::string line_;
};

/// Checks the numbers of each stream and keeps how late they came.
class Lateness final : public ChunkObserver {
 public:
  Lateness(const Setting& setting, Clock::time_point begin, Clock::duration period)
      : begin_(begin), period_(period), streams_(static_cast<size_t>(setting.streams)) {
    for (Stream& stream : streams_) {
      stream.milliseconds.reserve(static_cast<size_t>(setting.tokens));
    }
  }

  void on_text(int64_t request, std::string_view text, Clock::time_point arrival) override {
    Stream& stream = streams_[static_cast<size_t>(request)];
    const char* at = text.data();
    const char* end = at + text.size();
    while (at != end) {
      int64_t step = -1;
      const auto [next, ec] = std::from_chars(*at == ' ' ? at + 1 : at, end, step);
      if (ec != std::errc()) {
        ++stream.disorder;
        return;
      }
      at = next;
      stream.disorder += stream.last >= 0 && step != stream.last + 1 ? 1 : 0;
      stream.last = step;
      stream.milliseconds.push_back(
          std::chrono::duration<float, std::milli>(arrival - (begin_ + step * period_)).count());
    }
  }

  struct Stream {
    int64_t last = -1;
    int64_t disorder = 0;
    std::vector<float> milliseconds;
  };

  const std::vector<Stream>& streams() const { return streams_; }

 private:
  const Clock::time_point begin_;
  const Clock::duration period_;
  std::vector<Stream> streams_;
};

int64_t int_of(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value != nullptr && value->is_int() ? value->as_int() : 0;
}

Result<bool> run(const Setting& setting) {
  const Server server(setting);
  if (server.line().empty()) {
    return error(StatusCode::kUnavailable,
                 "stream_server did not start; build it, it must lie beside this program");
  }
  TUTTI_TRY(const Json hello, parse_json(server.line()));
  const Json* url = hello.find("url");
  if (url == nullptr || !url->is_string()) {
    return error(StatusCode::kCorrupt, "stream_server said {}, wanted its url", server.line());
  }
  const Clock::time_point begin{std::chrono::nanoseconds(int_of(hello, "begin_ns"))};
  const std::chrono::nanoseconds period(int_of(hello, "period_ns"));
  TUTTI_TRY(const Target target, Target::parse(url->as_string()));

  RequestOptions options;
  options.model = "steps";
  options.input_length = LengthDistribution(16);
  options.output_length = LengthDistribution(4);
  options.temperature = 0.0;
  {
    // What the first request makes the server set up is no cost of a stream.
    const RequestMaker maker(target, options);
    LoadRun first(target, maker, {.concurrency = 1, .requests = 2});
    TUTTI_RETURN_IF_ERROR(first.start());
    first.join();
  }
  options.output_length = LengthDistribution(setting.tokens);
  const RequestMaker maker(target, options);
  Lateness lateness(setting, begin, period);
  TUTTI_TRY(const ProcessStats before, process_stats(server.pid()));
  LoadRun load(target,
               maker,
               {.concurrency = setting.streams,
                .requests = setting.streams,
                .ramp_up_seconds = setting.ramp_up_seconds},
               {},
               &lateness);
  TUTTI_RETURN_IF_ERROR(load.start());
  int64_t resident = 0;
  while (!load.done()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    TUTTI_TRY(const ProcessStats now, process_stats(server.pid()));
    resident = std::max(resident, now.resident_bytes);
  }
  const LoadResult result = load.join();
  TUTTI_TRY(const ProcessStats after, process_stats(server.pid()));

  std::vector<float> all;
  int64_t disorder = 0;
  int64_t missing = 0;
  for (const Lateness::Stream& stream : lateness.streams()) {
    all.insert(all.end(), stream.milliseconds.begin(), stream.milliseconds.end());
    disorder += stream.disorder;
    missing += setting.tokens - static_cast<int64_t>(stream.milliseconds.size());
  }
  const Summary late = summarize(all);
  const auto tokens = static_cast<double>(std::max<size_t>(1, all.size()));
  const double server_cpu = after.cpu_seconds - before.cpu_seconds;
  const double per_stream =
      static_cast<double>(resident - before.resident_bytes) / static_cast<double>(setting.streams);
  fmt::print(
      "streams              {} at once (peak {}), {} tokens each at {} per second, {:.1f} s\n",
      setting.streams,
      result.peak_concurrent,
      setting.tokens,
      setting.steps_per_second,
      result.seconds);
  fmt::print("ended well           {} of {}; failed {}\n",
             result.completed,
             setting.streams,
             result.failed);
  for (const auto& [kind, e] : result.errors) {
    fmt::print("  {} x {}: {}\n", e.count, kind, e.example);
  }
  fmt::print(
      "tokens               {}; missing {}, out of order {}\n", all.size(), missing, disorder);
  fmt::print("lateness (ms)        mean {:.2f}, p50 {:.2f}, p90 {:.2f}, p99 {:.2f}, max {:.2f}\n",
             late.mean,
             late.p50,
             late.p90,
             late.p99,
             late.max);
  fmt::print("server               {:.2f} CPU s, {:.2f} us per token, {:.2f} cores\n",
             server_cpu,
             server_cpu * 1e6 / tokens,
             server_cpu / result.seconds);
  fmt::print("client               {:.2f} CPU s, {:.2f} us per token, {:.2f} cores\n",
             result.client_cpu_seconds,
             result.client_cpu_seconds * 1e6 / tokens,
             result.client_cpu_seconds / result.seconds);
  fmt::print("server memory        {:.0f} bytes per stream ({} before, {} at most)\n",
             per_stream,
             before.resident_bytes,
             resident);
  const bool kept = result.completed == setting.streams && missing == 0 && disorder == 0;
  const bool in_time = late.p99 <= kMaxP99Milliseconds;
  const bool small = per_stream <= kMaxBytesPerStream;
  fmt::print(
      "verdict              {}: no token lost or out of order {}, p99 <= {:.0f} ms {}, "
      "<= {:.0f} bytes per stream {}\n",
      kept && in_time && small ? "PASS" : "FAIL",
      kept ? "yes" : "NO",
      kMaxP99Milliseconds,
      in_time ? "yes" : "NO",
      kMaxBytesPerStream,
      small ? "yes" : "NO");
  return kept && in_time && small;
}

}  // namespace
}  // namespace tutti::loadgen

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  tutti::loadgen::Setting setting;
  setting.streams = argc > 1 ? std::atoll(argv[1]) : setting.streams;
  setting.tokens = argc > 2 ? std::atoll(argv[2]) : setting.tokens;
  setting.steps_per_second = argc > 3 ? std::atof(argv[3]) : setting.steps_per_second;
  setting.ramp_up_seconds = argc > 4 ? std::atof(argv[4]) : setting.ramp_up_seconds;
  setting.io_threads = argc > 5 ? std::atoi(argv[5]) : setting.io_threads;
  if (setting.streams < 1 || setting.tokens < 2 || setting.steps_per_second <= 0) {
    std::fprintf(
        stderr,
        "usage: stream_bench [STREAMS] [TOKENS] [STEPS_PER_SECOND] [RAMP_UP] [IO_THREADS]\n");
    return 64;
  }
  const auto verdict = tutti::loadgen::run(setting);
  if (!verdict.ok()) {
    std::fprintf(stderr, "stream_bench: %s\n", verdict.status().message().c_str());
    return 1;
  }
  return *verdict ? 0 : 1;
}
