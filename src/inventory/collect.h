// Takes the inventory of a machine.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "inventory/inventory.h"
#include "inventory/libraries.h"
#include "inventory/system.h"

namespace tutti {

struct CollectOptions {
  System system;
  LibraryNames libraries;  ///< none: not looked for
  std::string version;     ///< of this program
  std::chrono::system_clock::time_point now;
  /// As CUDA shows them to this process: index, uuid, pci, name, compute_capability, sms and
  /// memory_total_bytes. Empty: `cuda_error` says why.
  std::optional<std::vector<Gpu>> cuda;
  std::string cuda_error;
  /// What add_nvml_facts() told another process, since a sick driver may hang; empty: asked here.
  std::optional<Inventory> nvml;
  std::optional<int64_t> last_good;  ///< GPUs at the last good start
};

/// Never fails: what could not be known is null, and `errors` says why. Reads files of /proc, /sys
/// and /dev, and asks NVML, which on a machine with a broken GPU may take seconds.
Inventory collect_inventory(const CollectOptions& options);

}  // namespace tutti
