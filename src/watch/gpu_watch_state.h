// What a server has seen of its GPUs: counts, and what is worth a line in the log, once.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "watch/gpu_status.h"

namespace tutti {

/// Of one thread.
class GpuWatchState {
 public:
  /// UUIDs of the GPUs on which ranks run.
  void set_used(std::set<std::string> uuids) { used_ = std::move(uuids); }

  /// Takes readings that were made `seconds` after the ones before, at `unix_time`. Sentences for
  /// the log, one for each thing that has begun: a GPU that is slowed down, has new memory errors,
  /// no longer answers, or stands idle while the others of the server work.
  std::vector<std::string> take(std::vector<GpuReading> gpus, double seconds, int64_t unix_time);

  /// The sentence for an error of a GPU; empty if one of its code was told already.
  std::string take_xid(int64_t gpu, int64_t code, int64_t unix_time);

  /// The device files can no longer be opened: a restart of the server would fail.
  std::string take_node_error(const std::string& error, int64_t unix_time);

  /// Nothing can be read, for this reason.
  void fail(std::string error) { status_.error = std::move(error); }

  const GpuStatus& status() const { return status_; }

 private:
  // Of one GPU, over readings.
  struct Memory {
    std::map<int64_t, int64_t> xids;
    std::map<std::string, double> slowed_seconds;
    std::set<std::string> slowed_by;  // now
    std::optional<int64_t> ecc;
    double idle_seconds = 0;
    double idle_in_a_row = 0;
    bool idle_told = false;
    bool lost = false;
  };

  void notice(std::vector<std::string>& lines, int64_t gpu, std::string text, int64_t unix_time);
  void take_slowdowns(GpuReading& gpu,
                      double seconds,
                      int64_t now,
                      std::vector<std::string>& lines);
  void take_idleness(double seconds, int64_t now, std::vector<std::string>& lines);

  std::set<std::string> used_;
  std::map<int64_t, Memory> memory_;  // by index
  std::string node_error_;
  GpuStatus status_;
};

}  // namespace tutti
