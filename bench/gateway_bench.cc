// What a gateway costs: CPU time for each chunk of a stream that it passes on, and how much later
// the chunk arrives than straight from the engine.
//
//   gateway_bench [STREAMS=2000] [TOKENS=300] [STEPS_PER_SECOND=20] [LIGHT_STREAMS=8] [ROUNDS=3]
//
// Starts stream_server and gateway_server (beside itself) and ends them. Latency is compared under
// light load, where nobody waits for a CPU: rounds straight and through the gateway in turn, the
// median of their p50. The cost is measured with STREAMS at once. Exits 0 if all bounds hold.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include "stream_load.h"

namespace tutti::loadgen {
namespace {

constexpr double kMaxMicrosecondsPerChunk = 12;
constexpr double kMaxAddedMicroseconds = 100;
constexpr double kMaxP99Milliseconds = 100;
constexpr double kLightRate = 50;
constexpr int64_t kLightTokens = 250;

struct BenchSetting {
  StreamSetting heavy{.streams = 2000, .tokens = 300};
  int64_t light_streams = 8;
  int rounds = 3;
};

/// An engine and a gateway in front of it.
class Pair {
 public:
  explicit Pair(const StreamSetting& setting)
      : socket_(std::filesystem::temp_directory_path() /
                fmt::format("tutti_gateway_bench_{}.sock", getpid())),
        engine_("stream_server",
                {std::to_string(setting.steps_per_second),
                 std::to_string(setting.streams + 48),
                 "1",
                 socket_}),
        gateway_("gateway_server", {socket_, std::to_string(setting.streams)}) {}

  ~Pair() { std::filesystem::remove(socket_); }

  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  Result<StreamLoad> load(const StreamSetting& setting, bool through_gateway) const {
    TUTTI_TRY(const Json engine, engine_.hello());
    TUTTI_TRY(const Json gateway, gateway_.hello());
    return load_streams(setting,
                        string_of(through_gateway ? gateway : engine, "url"),
                        StepClock::of(engine),
                        {engine_.pid(), gateway_.pid()});
  }

 private:
  const std::string socket_;
  const BenchProcess engine_;
  const BenchProcess gateway_;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

/// Microseconds; and whether every token came.
Result<std::pair<double, bool>> added_latency(const BenchSetting& setting) {
  const StreamSetting light{.streams = setting.light_streams,
                            .tokens = kLightTokens,
                            .steps_per_second = kLightRate,
                            .ramp_up_seconds = 0.2};
  const Pair pair(light);
  std::vector<double> straight;
  std::vector<double> behind;
  bool whole = true;
  for (int round = 0; round < setting.rounds; ++round) {
    for (const bool through_gateway : {false, true}) {
      TUTTI_TRY(const StreamLoad load, pair.load(light, through_gateway));
      (through_gateway ? behind : straight).push_back(summarize(load.milliseconds).p50 * 1e3);
      whole = whole && load.whole(light);
    }
  }
  fmt::print("light load           {} streams, {} tokens each at {} per second, {} rounds\n",
             light.streams,
             light.tokens,
             light.steps_per_second,
             setting.rounds);
  fmt::print("lateness p50 (us)    straight {:.0f}, through the gateway {:.0f}: added {:.0f}\n",
             median(straight),
             median(behind),
             median(behind) - median(straight));
  return std::pair(median(behind) - median(straight), whole);
}

Result<bool> run(const BenchSetting& setting) {
  TUTTI_TRY(const auto light, added_latency(setting));
  const auto [added, light_whole] = light;
  const StreamSetting& heavy = setting.heavy;
  const Pair pair(heavy);
  TUTTI_TRY(const StreamLoad load, pair.load(heavy, true));
  const auto chunks = static_cast<double>(std::max<size_t>(1, load.milliseconds.size()));
  const Summary late = summarize(load.milliseconds);
  const double per_chunk = load.cpu_seconds[1] * 1e6 / chunks;
  fmt::print("streams              {} at once (peak {}), {} tokens each at {} per second\n",
             heavy.streams,
             load.result.peak_concurrent,
             heavy.tokens,
             heavy.steps_per_second);
  fmt::print("tokens               {}; missing {}, out of order {}; failed {}\n",
             load.milliseconds.size(),
             load.missing,
             load.disorder,
             load.result.failed);
  for (const auto& [kind, e] : load.result.errors) {
    fmt::print("  {} x {}: {}\n", e.count, kind, e.example);
  }
  fmt::print("lateness (ms)        mean {:.2f}, p50 {:.2f}, p90 {:.2f}, p99 {:.2f}, max {:.2f}\n",
             late.mean,
             late.p50,
             late.p90,
             late.p99,
             late.max);
  fmt::print("gateway              {:.2f} CPU s, {:.2f} us per chunk; {:.0f} bytes per stream\n",
             load.cpu_seconds[1],
             per_chunk,
             static_cast<double>(load.grown_bytes[1]) / static_cast<double>(heavy.streams));
  fmt::print("engine               {:.2f} CPU s, {:.2f} us per token\n",
             load.cpu_seconds[0],
             load.cpu_seconds[0] * 1e6 / chunks);
  const bool kept = light_whole && load.whole(heavy);
  const bool cheap = per_chunk <= kMaxMicrosecondsPerChunk;
  const bool quick = added <= kMaxAddedMicroseconds;
  const bool in_time = late.p99 <= kMaxP99Milliseconds;
  const auto word = [](bool good) { return good ? "yes" : "NO"; };
  const bool all = kept && cheap && quick && in_time;
  fmt::print(
      "verdict              {}: no token lost or out of order {}, <= {:.0f} us per chunk {}, <= "
      "{:.0f} us added {}, p99 <= {:.0f} ms {}\n",
      all ? "PASS" : "FAIL",
      word(kept),
      kMaxMicrosecondsPerChunk,
      word(cheap),
      kMaxAddedMicroseconds,
      word(quick),
      kMaxP99Milliseconds,
      word(in_time));
  return all;
}

}  // namespace
}  // namespace tutti::loadgen

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  tutti::loadgen::BenchSetting setting;
  setting.heavy.streams = argc > 1 ? std::atoll(argv[1]) : setting.heavy.streams;
  setting.heavy.tokens = argc > 2 ? std::atoll(argv[2]) : setting.heavy.tokens;
  setting.heavy.steps_per_second = argc > 3 ? std::atof(argv[3]) : setting.heavy.steps_per_second;
  setting.light_streams = argc > 4 ? std::atoll(argv[4]) : setting.light_streams;
  setting.rounds = argc > 5 ? std::atoi(argv[5]) : setting.rounds;
  if (setting.heavy.streams < 1 || setting.heavy.tokens < 2 ||
      setting.heavy.steps_per_second <= 0 || setting.light_streams < 1 || setting.rounds < 1) {
    std::fprintf(stderr,
                 "usage: gateway_bench [STREAMS] [TOKENS] [STEPS_PER_SECOND] [LIGHT_STREAMS] "
                 "[ROUNDS]\n");
    return 64;
  }
  const auto verdict = tutti::loadgen::run(setting);
  if (!verdict.ok()) {
    std::fprintf(stderr, "gateway_bench: %s\n", verdict.status().message().c_str());
    return 1;
  }
  return *verdict ? 0 : 1;
}
