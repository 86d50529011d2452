// How the GPUs of a machine are at one moment: what `tutti top`, /metrics and /v1/cluster/gpus
// show.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "inventory/inventory.h"

namespace tutti {

/// One GPU. What the driver does not tell is empty.
struct GpuReading {
  int64_t index = 0;  ///< NVML's
  std::optional<std::string> uuid;
  std::optional<std::string> pci;
  std::optional<std::string> name;
  std::optional<double> busy;         ///< share of the last moments in which a kernel ran, 0 to 1
  std::optional<double> memory_busy;  ///< the same, of its memory being read or written
  Bytes memory_total_bytes;
  Bytes memory_used_bytes;
  std::optional<int64_t> temperature_celsius;
  std::optional<int64_t> clock_mhz;
  std::optional<int64_t> clock_max_mhz;
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;
  std::optional<double> pcie_sent_bytes_per_second;
  std::optional<double> pcie_received_bytes_per_second;
  std::optional<int64_t> ecc_uncorrected;  ///< since the driver was loaded
  std::vector<std::string> slowed_by;      ///< hw_thermal, ...: why clocks are lower than asked for
  std::vector<GpuProcess> processes;
  bool lost = false;  ///< it does not answer

  // Of a server that watches.
  bool used = false;                             ///< by a rank of this server
  std::map<int64_t, int64_t> xids;               ///< errors by code, since the server started
  std::map<std::string, double> slowed_seconds;  ///< by reason
  double idle_seconds = 0;  ///< used, and idle while others of the server worked
};

struct GpuNotice {
  std::string time;  ///< UTC
  int64_t gpu = 0;   ///< index
  std::string text;
};

struct GpuStatus {
  std::string time;   ///< "2026-11-30T02:22:48Z"; empty: not looked yet
  std::string error;  ///< why nothing is known; empty: it is
  std::vector<GpuReading> gpus;
  std::vector<GpuNotice> notices;  ///< the latest, oldest first
};

/// {"schema": 1, "time", "error", "gpus": [...], "notices": [...]}; docs/top.md.
Json status_json(const GpuStatus& status);

/// The reverse, for `tutti top` of another server. Unknown fields are passed over; kInvalidArgument
/// names what is of a wrong type.
Result<GpuStatus> parse_status(const Json& json);

/// Of several servers of one machine, as one: a GPU is used if any of them uses it; of counts that
/// each keeps, the largest.
GpuStatus merge_statuses(const std::vector<GpuStatus>& statuses);

/// "2026-11-30T02:22:48Z"
std::string utc_time(int64_t unix_seconds);

}  // namespace tutti
