#include "stream_load.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"

namespace tutti::loadgen {

namespace {

/// Checks the numbers of each stream and keeps how late they came.
class Lateness final : public ChunkObserver {
 public:
  Lateness(const StreamSetting& setting, const StepClock& clock)
      : clock_(clock), streams_(static_cast<size_t>(setting.streams)) {
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
          std::chrono::duration<float, std::milli>(arrival - (clock_.begin + step * clock_.period))
              .count());
    }
  }

  struct Stream {
    int64_t last = -1;
    int64_t disorder = 0;
    std::vector<float> milliseconds;
  };

  const std::vector<Stream>& streams() const { return streams_; }

 private:
  const StepClock clock_;
  std::vector<Stream> streams_;
};

}  // namespace

BenchProcess::BenchProcess(const std::string& name, const std::vector<std::string>& arguments)
    : name_(name) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) {
    return;
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
  std::vector<std::string> words{program};
  words.insert(words.end(), arguments.begin(), arguments.end());
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

BenchProcess::~BenchProcess() {
  close(input_);
  if (pid_ > 0) {
    waitpid(pid_, nullptr, 0);
  }
}

Result<Json> BenchProcess::hello() const {
  if (line_.empty()) {
    return error(StatusCode::kUnavailable,
                 "{} did not start; build it, it must lie beside this program",
                 name_);
  }
  TUTTI_TRY(Json said, parse_json(line_));
  if (string_of(said, "url").empty()) {
    return error(StatusCode::kCorrupt, "{} said {}, wanted its url", name_, line_);
  }
  return said;
}

int64_t int_of(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value != nullptr && value->is_int() ? value->as_int() : 0;
}

std::string string_of(const Json& json, const char* key) {
  const Json* value = json.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

StepClock StepClock::of(const Json& hello) {
  return {.begin = Clock::time_point{std::chrono::nanoseconds(int_of(hello, "begin_ns"))},
          .period = std::chrono::nanoseconds(int_of(hello, "period_ns"))};
}

Result<StreamLoad> load_streams(const StreamSetting& setting,
                                const std::string& url,
                                const StepClock& clock,
                                const std::vector<pid_t>& processes) {
  TUTTI_TRY(const Target target, Target::parse(url));
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
  Lateness lateness(setting, clock);
  std::vector<ProcessStats> before;
  for (const pid_t process : processes) {
    TUTTI_TRY(const ProcessStats stats, process_stats(process));
    before.push_back(stats);
  }
  LoadRun load(target,
               maker,
               {.concurrency = setting.streams,
                .requests = setting.streams,
                .ramp_up_seconds = setting.ramp_up_seconds},
               {},
               &lateness);
  TUTTI_RETURN_IF_ERROR(load.start());
  StreamLoad out;
  out.resident_bytes.resize(processes.size());
  while (!load.done()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    for (size_t i = 0; i < processes.size(); ++i) {
      TUTTI_TRY(const ProcessStats now, process_stats(processes[i]));
      out.resident_bytes[i] = std::max(out.resident_bytes[i], now.resident_bytes);
    }
  }
  out.result = load.join();
  for (size_t i = 0; i < processes.size(); ++i) {
    TUTTI_TRY(const ProcessStats after, process_stats(processes[i]));
    out.cpu_seconds.push_back(after.cpu_seconds - before[i].cpu_seconds);
    out.grown_bytes.push_back(out.resident_bytes[i] - before[i].resident_bytes);
  }
  for (const Lateness::Stream& stream : lateness.streams()) {
    out.milliseconds.insert(
        out.milliseconds.end(), stream.milliseconds.begin(), stream.milliseconds.end());
    out.disorder += stream.disorder;
    out.missing += setting.tokens - static_cast<int64_t>(stream.milliseconds.size());
  }
  return out;
}

}  // namespace tutti::loadgen
