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
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "stream_load.h"

namespace tutti::loadgen {
namespace {

constexpr double kMaxP99Milliseconds = 100;
constexpr double kMaxBytesPerStream = 30'000;

Result<bool> run(const StreamSetting& setting) {
  const BenchProcess server("stream_server",
                            {std::to_string(setting.steps_per_second),
                             std::to_string(setting.streams + 48),
                             std::to_string(setting.io_threads)});
  TUTTI_TRY(const Json hello, server.hello());
  TUTTI_TRY(const StreamLoad load,
            load_streams(setting, string_of(hello, "url"), StepClock::of(hello), {server.pid()}));
  const LoadResult& result = load.result;
  const Summary late = summarize(load.milliseconds);
  const auto tokens = static_cast<double>(std::max<size_t>(1, load.milliseconds.size()));
  const double server_cpu = load.cpu_seconds[0];
  const double per_stream =
      static_cast<double>(load.grown_bytes[0]) / static_cast<double>(setting.streams);
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
  fmt::print("tokens               {}; missing {}, out of order {}\n",
             load.milliseconds.size(),
             load.missing,
             load.disorder);
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
             load.resident_bytes[0] - load.grown_bytes[0],
             load.resident_bytes[0]);
  const bool kept = load.whole(setting);
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
  tutti::loadgen::StreamSetting setting;
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
