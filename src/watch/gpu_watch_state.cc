#include "watch/gpu_watch_state.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tutti {

namespace {

constexpr size_t kMostNotices = 64;
// A rank that does less than this while another does more than that waits for nothing it is told.
constexpr double kIdle = 0.05;
constexpr double kWorking = 0.5;
constexpr double kIdleTold = 30;  // seconds in a row

std::string name_of(const GpuReading& gpu) {
  return fmt::format("GPU {}{}", gpu.index, gpu.pci ? " (" + *gpu.pci + ")" : "");
}

}  // namespace

void GpuWatchState::notice(std::vector<std::string>& lines,
                           int64_t gpu,
                           std::string text,
                           int64_t unix_time) {
  status_.notices.push_back({.time = utc_time(unix_time), .gpu = gpu, .text = text});
  if (status_.notices.size() > kMostNotices) {
    status_.notices.erase(status_.notices.begin());
  }
  lines.push_back(std::move(text));
}

void GpuWatchState::take_slowdowns(GpuReading& gpu,
                                   double seconds,
                                   int64_t now,
                                   std::vector<std::string>& lines) {
  Memory& memory = memory_[gpu.index];
  const std::set<std::string> reasons(gpu.slowed_by.begin(), gpu.slowed_by.end());
  for (const std::string& reason : reasons) {
    memory.slowed_seconds[reason] += seconds;
    if (!memory.slowed_by.contains(reason)) {
      notice(lines,
             gpu.index,
             fmt::format("{} is slowed down: {} (all ranks wait for it)", name_of(gpu), reason),
             now);
    }
  }
  memory.slowed_by = reasons;
  gpu.slowed_seconds = memory.slowed_seconds;
}

void GpuWatchState::take_idleness(double seconds, int64_t now, std::vector<std::string>& lines) {
  double most = 0;
  for (const GpuReading& gpu : status_.gpus) {
    most = gpu.used ? std::max(most, gpu.busy.value_or(0)) : most;
  }
  for (GpuReading& gpu : status_.gpus) {
    Memory& memory = memory_[gpu.index];
    const bool idle = gpu.used && !gpu.lost && gpu.busy && *gpu.busy < kIdle && most > kWorking;
    memory.idle_in_a_row = idle ? memory.idle_in_a_row + seconds : 0;
    memory.idle_seconds += idle ? seconds : 0;
    gpu.idle_seconds = memory.idle_seconds;
    if (memory.idle_in_a_row >= kIdleTold && !memory.idle_told) {
      memory.idle_told = true;
      notice(lines,
             gpu.index,
             fmt::format("{} has stood idle for {:.0f} s while other GPUs of this server worked",
                         name_of(gpu),
                         memory.idle_in_a_row),
             now);
    }
    memory.idle_told = memory.idle_told && memory.idle_in_a_row > 0;
  }
}

std::vector<std::string> GpuWatchState::take(std::vector<GpuReading> gpus,
                                             double seconds,
                                             int64_t unix_time) {
  std::vector<std::string> lines;
  status_.time = utc_time(unix_time);
  status_.error.clear();
  status_.gpus = std::move(gpus);
  for (GpuReading& gpu : status_.gpus) {
    Memory& memory = memory_[gpu.index];
    gpu.used = gpu.uuid && used_.contains(*gpu.uuid);
    gpu.xids = memory.xids;
    if (gpu.lost && !memory.lost) {
      notice(
          lines, gpu.index, fmt::format("{} does not answer its driver", name_of(gpu)), unix_time);
    }
    memory.lost = gpu.lost;
    if (gpu.ecc_uncorrected) {
      if (memory.ecc && *gpu.ecc_uncorrected > *memory.ecc) {
        notice(lines,
               gpu.index,
               fmt::format("{}: {} new uncorrectable memory errors",
                           name_of(gpu),
                           *gpu.ecc_uncorrected - *memory.ecc),
               unix_time);
      }
      memory.ecc = gpu.ecc_uncorrected;
    }
    take_slowdowns(gpu, seconds, unix_time, lines);
  }
  take_idleness(seconds, unix_time, lines);
  return lines;
}

std::string GpuWatchState::take_xid(int64_t gpu, int64_t code, int64_t unix_time) {
  int64_t& count = memory_[gpu].xids[code];
  ++count;
  for (GpuReading& reading : status_.gpus) {
    if (reading.index == gpu) {
      reading.xids = memory_[gpu].xids;
    }
  }
  if (count > 1) {
    return "";
  }
  std::vector<std::string> lines;
  notice(lines, gpu, fmt::format("GPU {}: the driver reports error Xid {}", gpu, code), unix_time);
  return lines.front();
}

std::string GpuWatchState::take_node_error(const std::string& error, int64_t unix_time) {
  const bool told = !error.empty() && !node_error_.empty();
  node_error_ = error;
  if (error.empty() || told) {
    return "";
  }
  std::vector<std::string> lines;
  notice(lines,
         0,
         fmt::format("{}: this server goes on, but one that is started now would find no GPU; make "
                     "the container anew when it suits",
                     error),
         unix_time);
  return lines.front();
}

}  // namespace tutti
