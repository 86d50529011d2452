// Many streams against a paced server (stream_server.cc), for the benchmarks of streams: how late
// each token arrives, whether one is lost or out of order, what processes spend.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/json.h"
#include "loadgen/load_run.h"
#include "loadgen/process_stats.h"
#include "loadgen/statistics.h"

namespace tutti::loadgen {

struct StreamSetting {
  int64_t streams = 2000;
  int64_t tokens = 600;
  double steps_per_second = 20;
  double ramp_up_seconds = 5;
  int io_threads = 1;
};

/// A program beside this one, as a child process: it prints a line of JSON when it is ready, and
/// ends with its standard input.
class BenchProcess {
 public:
  BenchProcess(const std::string& name, const std::vector<std::string>& arguments);
  ~BenchProcess();
  BenchProcess(const BenchProcess&) = delete;
  BenchProcess& operator=(const BenchProcess&) = delete;

  pid_t pid() const { return pid_; }

  /// kUnavailable: it did not start.
  Result<Json> hello() const;

 private:
  std::string name_;
  pid_t pid_ = -1;
  int input_ = -1;
  std::string line_;
};

/// The clock of a stream_server's steps, from its hello.
struct StepClock {
  Clock::time_point begin;
  Clock::duration period;

  static StepClock of(const Json& hello);
};

/// A member of an answer; 0 or "" if it is not there.
int64_t int_of(const Json& json, const char* key);
std::string string_of(const Json& json, const char* key);

struct StreamLoad {
  LoadResult result;
  std::vector<float> milliseconds;  ///< of each token, late
  int64_t missing = 0;
  int64_t disorder = 0;
  std::vector<double> cpu_seconds;      ///< of each process
  std::vector<int64_t> grown_bytes;     ///< the same
  std::vector<int64_t> resident_bytes;  ///< the most of each

  bool whole(const StreamSetting& setting) const {
    return result.completed == setting.streams && missing == 0 && disorder == 0;
  }
};

/// `processes` are watched meanwhile.
Result<StreamLoad> load_streams(const StreamSetting& setting,
                                const std::string& url,
                                const StepClock& clock,
                                const std::vector<pid_t>& processes);

}  // namespace tutti::loadgen
